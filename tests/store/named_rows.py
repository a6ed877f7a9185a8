"""The simplest rows that a store has: subsets, which are little more than a unique name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from rescore_db.store import schema
from rescore_db.store.engine import reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def add_subset(conn: Connection, name: str | None) -> None:
    conn.execute(insert(schema.subset).values(name=name))


def subset_names(engine: Engine) -> list[str]:
    with reading(engine) as conn:
        return list(conn.scalars(select(schema.subset.c.name).order_by(schema.subset.c.id)))
