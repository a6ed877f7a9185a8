"""Users' conditions in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Boolean,
    Double,
    Integer,
    Numeric,
    Text,
    case,
    cast,
    collate,
    func,
    literal,
    literal_column,
    null,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB

from rescore_db.store import schema

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from rescore_db.store.conditions.values import Part, Value

LARGEST: Final = "1.797e308"
PLACES: Final = 323  # decimals of the smallest double; a cast of less than that is an error
MOST_DIGITS: Final = 1000  # of a text that is read as a number; no double needs as many
_JSON_NUMBER: Final = r"^[ \t\n\r]*-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]{1,3})?[ \t\n\r]*$"
_BYTEWISE: Final = "C"


def prepare(_conn: Connection) -> None:
    """Do nothing: the database has all that conditions need."""


def part_text(part: Part, *, is_plain: bool = False) -> ColumnElement[str]:  # noqa: ARG001 - SQLite's
    """Return a part as a text."""
    return cast(_part(part), Text) if part.is_json else _part(part)


def part_number(part: Part) -> ColumnElement[float]:
    """Return a part as a number."""
    return number(part_text(part))


def part_truth(part: Part) -> ColumnElement[bool]:
    """Return a part that is true or false."""
    value = _part(part, as_text=False)
    return case((func.jsonb_typeof(value) == _fixed("boolean"), cast(value, Boolean)))


def is_absent(part: Part) -> ColumnElement[bool]:
    """Answer whether a part is missing."""
    return _part(part).is_(null())


def number(text: ColumnElement[str]) -> ColumnElement[float]:
    """Return the number that a text holds; every cast is guarded, or it would be an error."""
    digits = cast(text, Numeric)
    is_short = func.length(text) <= literal_column(str(MOST_DIGITS))
    is_number = text.regexp_match(_fixed(_JSON_NUMBER)) & is_short
    is_small = func.abs(digits) < literal_column(LARGEST, Numeric())
    double = cast(func.round(digits, literal_column(str(PLACES))), Double)
    return case((is_number, case((is_small, double))))


def constant(value: float) -> ColumnElement[float]:
    """Return a number."""
    return cast(literal_column(repr(float(value))), Double)


def ordered(text: ColumnElement[str]) -> ColumnElement[str]:
    """Return a text that is compared by its code points."""
    return collate(text, _BYTEWISE)


def like(text: ColumnElement[str], pattern: Value, escape: str | None) -> ColumnElement[bool]:
    """Answer LIKE; an empty escape character turns the backslash off."""
    return text.like(pattern.sql, escape=escape or "")


def ilike(text: ColumnElement[str], pattern: Value, escape: str | None) -> ColumnElement[bool]:
    """Answer ILIKE."""
    return collate(text, _BYTEWISE).ilike(pattern.sql, escape=escape or "")


def position(text: ColumnElement[str], piece: ColumnElement[str]) -> ColumnElement[Any]:
    """Return where a piece begins."""
    return func.strpos(text, piece, type_=Integer())


def whole(value: ColumnElement[float]) -> ColumnElement[float]:
    """Return a number without its fraction."""
    return func.trunc(value, type_=Double())


def last(text: ColumnElement[str], count: int) -> ColumnElement[str]:
    """Return the last characters."""
    return func.right(text, literal_column(str(count)), type_=Text())


def _part(part: Part, *, as_text: bool = True) -> ColumnElement[Any]:
    """Return a part as JSONB, or as a text where `->>` made it one."""
    value: ColumnElement[Any] = type_coerce(schema.doc.c.body, JSONB)
    for depth, step in enumerate(part.path, start=1):
        is_last = depth == len(part.path) and as_text and not part.is_json
        arrow, result = ("->>", Text()) if is_last else ("->", JSONB)
        key = _fixed(step) if isinstance(step, str) else literal_column(str(step), Integer())
        value = value.op(arrow, return_type=result)(key)
    return value


def _fixed(text: str) -> ColumnElement[str]:
    """Return a text as a literal: an expression index is found only by what stands in it."""
    return literal(text, Text(), literal_execute=True)
