"""Named recipes as they are stored: written once, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from rescore_db.json_exact import text_hash
from rescore_db.store import schema
from rescore_db.store.scores import now

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class NamedRecipe:
    """A recipe under its name.

    Attributes:
        name: unique in the store.
        hash: SHA-256 of the content.
        content_json: its entries, see `rescoring.recipes`; no path is in them.
        places_json: where each entry's files were when it was added.
        created_at: UTC, ISO 8601.
    """

    name: str
    hash: bytes
    content_json: str
    places_json: str
    created_at: str


def add_named_recipe(conn: Connection, name: str, content_json: str, places_json: str) -> None:
    """Store a recipe under a new name.

    Raises:
        AlreadyExistsError: the name is taken (raised by `atomic()`).
    """
    row = schema.named_recipe.insert().values(
        name=name,
        hash=text_hash(content_json),
        content_json=content_json,
        places_json=places_json,
        created_at=now(),
    )
    conn.execute(row)


def named_recipes(conn: Connection) -> list[NamedRecipe]:
    """Return every named recipe, in the order in which they were added."""
    table = schema.named_recipe
    columns = (table.c.name, table.c.hash, table.c.content_json, table.c.places_json)
    query = select(*columns, table.c.created_at).order_by(table.c.id)
    return [NamedRecipe(*row) for row in conn.execute(query)]
