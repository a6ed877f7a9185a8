"""Everything that a store holds, by value: ids stand for what they refer to, times are left out."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from rescore_db.store import schema
from rescore_db.store.engine import reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

WHEN: Final = frozenset({"read_at", "ingested_at", "created_at"})
LEFT_OUT: Final = frozenset({"deletion"})  # it only says what is not there

Keys = dict[tuple[str, int], str]
"""(table, id) → a digest of the row's values."""


def references(table: Table) -> dict[str, str]:
    """Column → the table whose ids it holds."""
    declared = {
        column.name: key.column.table.name for column in table.c for key in column.foreign_keys
    }
    return declared | schema.bulk_references.get(table.name, {})


def in_order() -> list[Table]:
    """The tables, each behind those that it refers to."""
    left = {name: table for name, table in schema.metadata.tables.items() if name not in LEFT_OUT}
    done: list[Table] = []
    while left:
        ready = [
            table
            for table in left.values()
            if not {name for name in references(table).values() if name != table.name} & set(left)
        ]
        done += [left.pop(table.name) for table in ready]
    return done


def contents(engine: Engine) -> dict[str, list[str]]:
    """Table → its rows, sorted."""
    keys: Keys = {}
    with reading(engine) as conn:
        return {table.name: sorted(_rows(conn, table, keys)) for table in in_order()}


def _rows(conn: Connection, table: Table, keys: Keys) -> list[str]:
    targets = references(table)
    found = []
    for row in conn.execute(select(table)).mappings():
        values: dict[str, Any] = {
            name: keys.get((targets[name], value), "?") if name in targets and value else value
            for name, value in row.items()
            if name not in WHEN and name != "id"
        }
        text = repr(sorted(values.items()))
        if "id" in row:
            keys[table.name, row["id"]] = hashlib.sha256(text.encode()).hexdigest()
        found.append(text)
    return found


def orphans(engine: Engine) -> list[str]:
    """Rows that refer to nothing, "table.column"."""
    found = []
    with reading(engine) as conn:
        for table in in_order():
            for column, target in references(table).items():
                ids = select(schema.metadata.tables[target].c.id)
                lost = select(table.c[column]).where(
                    table.c[column].is_not(None), table.c[column].not_in(ids)
                )
                if conn.execute(lost).first() is not None:
                    found.append(f"{table.name}.{column}")
    return found


def unused(engine: Engine) -> list[str]:
    """Contents that nothing refers to, but for subsets."""
    holders: dict[str, list[Any]] = {}
    for table in in_order():
        for column, target in references(table).items():
            holders.setdefault(target, []).append(table.c[column])
    names = ("doc", "context", "target", "request", "task", "source_file", "recipe", "environment")
    found = []
    with reading(engine) as conn:
        for name in names:
            own = schema.metadata.tables[name]
            query = select(own.c.id)
            for column in holders[name]:
                query = query.where(own.c.id.not_in(select(column).where(column.is_not(None))))
            if conn.execute(query).first() is not None:
                found.append(name)
    return found
