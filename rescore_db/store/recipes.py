"""Recipes and environments: what was applied, and in what; each text is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from rescore_db.json_exact import UNSTORABLE, escaped, loads, text_hash
from rescore_db.store import schema
from rescore_db.store.scores import now

if TYPE_CHECKING:
    from sqlalchemy import Table


def add_recipe(conn: Connection, content_json: str, config_json: str | None = None) -> int:
    """Return the id of a recipe, stored if it is new; the caller holds the content lock.

    Args:
        conn: inside `atomic()`.
        content_json: what identifies it.
        config_json: the config of its task, as lm-eval logs it; kept if there is none yet.
    """
    key = _add_once(conn, schema.recipe, content_json, created_at=now())
    table = schema.recipe_config
    is_known = select(table.c.recipe_id).where(table.c.recipe_id == key)
    if config_json is not None and conn.scalar(is_known) is None:
        if UNSTORABLE.search(config_json):
            config_json = escaped(loads(config_json))
        conn.execute(table.insert().values(recipe_id=key, config_json=config_json))
    return key


def add_environment(conn: Connection, content_json: str) -> int:
    """Return the id of an environment, stored if it is new; as `add_recipe`."""
    return _add_once(conn, schema.environment, content_json)


def _add_once(conn: Connection, table: Table, content_json: str, **more: str) -> int:
    digest = text_hash(content_json)
    find = select(table.c.id).where(table.c.hash == digest)
    known = conn.scalar(find)
    if known is not None:
        return int(known)
    row = table.insert().values(hash=digest, content_json=content_json, **more)
    return int(conn.execute(row.returning(table.c.id)).scalar_one())


def recipes_of(conn: Connection, scoring_id: int) -> dict[int, str]:
    """Return evaluation id → recipe (JSON) of everything that stands under a scoring."""
    table, recipe = schema.scored_evaluation, schema.recipe
    query = (
        select(table.c.evaluation_id, recipe.c.content_json)
        .join(recipe, recipe.c.id == table.c.recipe_id)
        .where(table.c.scoring_id == scoring_id)
    )
    return {row.evaluation_id: row.content_json for row in conn.execute(query)}
