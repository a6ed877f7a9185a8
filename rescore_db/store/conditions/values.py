"""The values of users' conditions, and how each becomes the kind that its place needs.

Conditions know texts, numbers (doubles, whatever the database has) and truths.  A part of a
document is none of these until it meets one: `doc->>'level' > 3` reads it as a number, `= 'x'` as
a text, `= true` as a truth.  What can't be read that way is NULL, never an error, so that one odd
document does not spoil a question.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import Boolean, Double, Text, cast, false, literal, null, true

from rescore_db.errors import BadSqlError
from rescore_db.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection
    from sqlglot import exp

SHOWN: Final = 60  # characters of a condition in a message

Path = tuple[str | int, ...]
"""Keys and indexes that lead from a document to a part of it; a negative index counts back."""


class Kind(Enum):
    """What a value is; the names stand in messages."""

    TEXT = "a text"
    NUMBER = "a number"
    TRUTH = "true or false"
    PART = "a part of the document"
    RUN = "a run"
    NULL = "NULL"


@dataclass(frozen=True, slots=True)
class Value:
    """A value whose kind is settled.

    Attributes:
        kind: TEXT, NUMBER, TRUTH or NULL.
        sql: the expression.
        constant: what it is, where that is known; a text or a number.
    """

    kind: Kind
    sql: ColumnElement[Any]
    constant: str | float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the document, not read yet.

    Attributes:
        path: where it is.
        is_json: True after `->`: as a text it is JSON, strings in quotes.  False after `->>`.
    """

    path: Path
    is_json: bool
    kind: Kind = Kind.PART


@dataclass(frozen=True, slots=True)
class Run:
    """The run: its id as a number, its name as a text."""

    kind: Kind = Kind.RUN


AnyValue = Value | Part | Run


class Dialect(Protocol):
    """What conditions need and the databases spell differently."""

    def prepare(self, conn: Connection) -> None:
        """Give a connection what the expressions below call."""

    def part_text(self, part: Part, *, is_plain: bool = False) -> ColumnElement[str]:
        """Return a part as a text: strings as they are, the rest as JSON.

        JSON is spelled the way PostgreSQL spells JSONB, everywhere; `is_plain` says that the
        text is only compared with texts for which the spelling does not matter.
        """

    def part_number(self, part: Part) -> ColumnElement[float]:
        """Return a part as a number: a JSON number, or a string that holds one; else NULL."""

    def part_truth(self, part: Part) -> ColumnElement[bool]:
        """Return a part that is JSON's true or false, else NULL."""

    def is_absent(self, part: Part) -> ColumnElement[bool]:
        """Answer whether a part is missing (or, after `->>`, null)."""

    def number(self, text: ColumnElement[str]) -> ColumnElement[float]:
        """Return the number that a text holds in JSON's spelling, else NULL."""

    def constant(self, number: float) -> ColumnElement[float]:
        """Return a number."""

    def ordered(self, text: ColumnElement[str]) -> ColumnElement[str]:
        """Return a text that is compared by its code points, whatever the locale."""

    def like(
        self, text: ColumnElement[str], pattern: Value, escape: str | None
    ) -> ColumnElement[bool]:
        """Answer LIKE, in which letters' case matters; no escape character unless one is given."""

    def ilike(
        self, text: ColumnElement[str], pattern: Value, escape: str | None
    ) -> ColumnElement[bool]:
        """Answer ILIKE, in which the case of ASCII letters does not matter."""

    def position(self, text: ColumnElement[str], piece: ColumnElement[str]) -> ColumnElement[Any]:
        """Return where a piece begins, from 1, in characters; 0 if nowhere."""

    def whole(self, number: ColumnElement[float]) -> ColumnElement[float]:
        """Return a number without its fraction (towards zero)."""

    def last(self, text: ColumnElement[str], count: int) -> ColumnElement[str]:
        """Return the last `count` characters."""


class Reader:
    """Reads values as the kind that is needed, for one database."""

    def __init__(self, dialect: Dialect) -> None:
        """Keep what spells the expressions."""
        self.dialect = dialect

    def text(self, value: AnyValue, *, is_plain: bool = False) -> ColumnElement[str]:
        """Return a value as a text.

        Raises:
            BadSqlError: it is a computed number or a truth, whose spelling would be arbitrary.
        """
        if isinstance(value, Part):
            return self.dialect.part_text(value, is_plain=is_plain)
        if isinstance(value, Run):
            return schema.run.c.name
        if value.kind in (Kind.TEXT, Kind.NULL):
            return value.sql if value.kind is Kind.TEXT else cast(null(), Text)
        msg = f"{value.kind.value} can't be used as a text"
        raise BadSqlError(msg)

    def number(self, value: AnyValue) -> ColumnElement[float]:
        """Return a value as a number, NULL where a text holds none.

        Raises:
            BadSqlError: it is a truth, or a constant text that is no number.
        """
        if isinstance(value, Part):
            return self.dialect.part_number(value)
        if isinstance(value, Run):
            return cast(schema.run.c.id, Double)
        if value.kind is Kind.NUMBER:
            return value.sql
        if value.kind is Kind.NULL:
            return cast(null(), Double)
        if value.kind is Kind.TEXT and isinstance(value.constant, str):
            return self.dialect.constant(finite(value.constant))
        if value.kind is Kind.TEXT:
            return self.dialect.number(value.sql)
        msg = "true and false can't be used as a number"
        raise BadSqlError(msg)

    def truth(self, value: AnyValue) -> ColumnElement[bool]:
        """Return a value as a truth.

        Raises:
            BadSqlError: it is a text or a number.
        """
        if isinstance(value, Part):
            return self.dialect.part_truth(value)
        if isinstance(value, Value) and value.kind is Kind.TRUTH:
            return value.sql
        if value.kind is Kind.NULL:
            return cast(null(), Boolean)
        msg = f"{value.kind.value} stands where a condition is needed; compare it with something"
        raise BadSqlError(msg)

    def read(self, value: AnyValue, kind: Kind) -> ColumnElement[Any]:
        """Return a value as TEXT, NUMBER or TRUTH; raises BadSqlError where it can't be."""
        if kind is Kind.NUMBER:
            return self.number(value)
        return self.truth(value) if kind is Kind.TRUTH else self.text(value)


def text_value(content: str) -> Value:
    """Return a constant text."""
    return Value(Kind.TEXT, literal(content, Text()), content)


def number_value(number: float, dialect: Dialect) -> Value:
    """Return a constant number."""
    return Value(Kind.NUMBER, dialect.constant(number), float(number))


def truth_value(*, is_true: bool) -> Value:
    """Return a constant truth."""
    return Value(Kind.TRUTH, true() if is_true else false())


NOTHING: Final = Value(Kind.NULL, null())


def finite(text: str) -> float:
    """Return the number that a user wrote.

    Raises:
        BadSqlError: it is none, or too large for a double.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        msg = f"{text!r} is not a number that can be compared with"
        raise BadSqlError(msg)
    return number


def shown(node: exp.Expr) -> str:
    """Return a part of a condition as it can stand in a message."""
    text = " ".join(node.sql(dialect="postgres").split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def common_kind(values: Iterable[AnyValue]) -> Kind:
    """Return the kind as which values that meet are read: TEXT, NUMBER or TRUTH.

    A number makes numbers of the others, true and false make truths of parts.

    Raises:
        BadSqlError: a truth meets a text or a number.
    """
    kinds = {value.kind for value in values} - {Kind.NULL}
    if Kind.TRUTH in kinds:
        others = kinds - {Kind.TRUTH, Kind.PART}
        if others:
            msg = f"{others.pop().value} can't be compared or mixed with true and false"
            raise BadSqlError(msg)
        return Kind.TRUTH
    return Kind.NUMBER if Kind.NUMBER in kinds else Kind.TEXT
