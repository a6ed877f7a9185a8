"""The kinds of columns that the tables are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    Text,
    TypeDecorator,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

Id = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite assigns ids by itself only to INTEGER PRIMARY KEY."""


class QueryJson(TypeDecorator[str]):
    """The copy of a JSON value that predicates read: JSONB, or text where there is none.

    The type is looked up when a database is met: PostgreSQL's types take as long to import as a
    third of SQLAlchemy.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the database's own type."""
        if dialect.name != "postgresql":
            return dialect.type_descriptor(Text())
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB())


def new_id(*, assigned: bool = False) -> Column[int]:
    """A primary key; `assigned` when the bulk writer hands out the numbers."""
    return Column("id", Id, primary_key=True, autoincrement=not assigned)


def ref(name: str, target: str, *, null: bool = False, primary_key: bool = False) -> Column[int]:
    """A foreign key to another table's id."""
    key = ForeignKey(f"{target}.id")
    return Column(name, Id, key, nullable=null, primary_key=primary_key, autoincrement=False)


def bulk_ref(name: str, *, null: bool = False, primary_key: bool = False) -> Column[int]:
    """A reference in a table that is written in bulk, see `bulk_references`."""
    return Column(name, Id, nullable=null, primary_key=primary_key, autoincrement=False)


def text(name: str, *, null: bool = False) -> Column[str]:
    """A text."""
    return Column(name, Text, nullable=null)


def whole(name: str, *, null: bool = False) -> Column[int]:
    """A whole number of up to 64 bits."""
    return Column(name, Id, nullable=null)


def flag(name: str) -> Column[bool]:
    """Yes or no."""
    return Column(name, Boolean(create_constraint=False), nullable=False)


def digest(*, unique: bool = True) -> Column[bytes]:
    """A SHA-256, 32 bytes."""
    return Column("hash", LargeBinary, nullable=False, unique=unique)
