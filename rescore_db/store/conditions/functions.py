"""The functions, arithmetic and casts of users' conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlglot import exp

from rescore_db.errors import BadSqlError
from rescore_db.store.conditions.values import (
    Kind,
    Value,
    common_kind,
    number_value,
    shown,
    text_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement

    from rescore_db.store.conditions.nodes import Compiler
    from rescore_db.store.conditions.values import AnyValue

NAMES: Final = (
    "abs", "coalesce", "instr", "length", "lower", "ltrim", "nullif", "replace", "round", "rtrim",
    "strpos", "substr", "trim", "upper",
)  # fmt: skip
MAX_PLACES: Final = 15  # decimal places that a double can be rounded to
SPACE: Final = " "

_TYPES: Final[dict[exp.DType, str]] = {
    exp.DType.TEXT: "text",
    exp.DType.VARCHAR: "text",
    exp.DType.INT: "whole",
    exp.DType.BIGINT: "whole",
    exp.DType.SMALLINT: "whole",
    exp.DType.DOUBLE: "number",
    exp.DType.FLOAT: "number",
    exp.DType.DECIMAL: "number",
    exp.DType.BOOLEAN: "truth",
}


# --------------------------------------------------------------------------------------- numbers


def negative(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `-x`."""
    value = compiler.value(node.this)
    if isinstance(value, Value) and isinstance(value.constant, float):
        return number_value(-value.constant, compiler.dialect)
    return Value(Kind.NUMBER, -compiler.reader.number(value))


def arithmetic(operator: str) -> Callable[[Compiler, exp.Expr], AnyValue]:
    """Return what builds `a + b`, `a - b` and `a * b`."""

    def build(compiler: Compiler, node: exp.Expr) -> AnyValue:
        left, right = compiler.number(node.this), compiler.number(node.expression)
        return Value(Kind.NUMBER, left.op(operator, return_type=sa.Double())(right))

    return build


def divided(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `a / b`, which never drops a fraction."""
    return Value(Kind.NUMBER, _quotient(*_both_numbers(compiler, node)))


def remainder(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `a % b`, which has the sign of `a`; fractions are allowed."""
    left, right = _both_numbers(compiler, node)
    whole = compiler.dialect.whole(_quotient(left, right))
    return Value(Kind.NUMBER, left - _times(right, whole))


def _both_numbers(
    compiler: Compiler, node: exp.Expr
) -> tuple[ColumnElement[float], ColumnElement[float]]:
    return compiler.number(node.this), compiler.number(node.expression)


def _quotient(left: ColumnElement[float], right: ColumnElement[float]) -> ColumnElement[float]:
    divisor: ColumnElement[float] = sa.func.nullif(
        right, sa.literal_column("0.0", sa.Double()), type_=sa.Double()
    )
    return left.op("/", return_type=sa.Double())(divisor)


def _times(left: ColumnElement[float], right: ColumnElement[float]) -> ColumnElement[float]:
    return left.op("*", return_type=sa.Double())(right)


def absolute(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `abs(x)`."""
    return Value(Kind.NUMBER, sa.func.abs(compiler.number(node.this), type_=sa.Double()))


def rounded(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `round(x)` and `round(x, places)`: halves away from zero, in double arithmetic."""
    places = whole_constant(node.args.get("decimals"), default=0)
    if places is None or not 0 <= places <= MAX_PLACES:
        msg = f"`{shown(node)}`: the places of round are a whole number from 0 to {MAX_PLACES}"
        raise BadSqlError(msg)
    value = compiler.number(node.this)
    number = compiler.dialect.constant
    scaled = _times(sa.func.abs(value, type_=sa.Double()), number(10.0**places))
    size = _quotient(compiler.dialect.whole(scaled + number(0.5)), number(10.0**places))
    is_small = sa.func.abs(value, type_=sa.Double()) < number(1e15 / 10**places)
    signed = sa.case((value < number(0.0), -size), else_=size)
    return Value(Kind.NUMBER, sa.case((is_small, signed), else_=value))


def length(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `length(text)`, in characters."""
    return _count(sa.func.length(compiler.text(node.this), type_=sa.Integer()))


def position(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `instr(text, piece)`, `strpos(text, piece)`, `position(piece in text)`."""
    text, piece = compiler.text(node.this), compiler.text(node.args["substr"])
    return _count(compiler.dialect.position(text, piece))


def _count(number: ColumnElement[Any]) -> Value:
    return Value(Kind.NUMBER, sa.cast(number, sa.Double()))


# ----------------------------------------------------------------------------------------- texts


def concatenated(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `a || b`."""
    left, right = compiler.value(node.this), compiler.value(node.expression)
    if isinstance(left, Value) and isinstance(right, Value):
        a, b = left.constant, right.constant
        if isinstance(a, str) and isinstance(b, str):
            return text_value(a + b)
    texts = compiler.reader.text(left), compiler.reader.text(right)
    return Value(Kind.TEXT, texts[0].op("||", return_type=sa.Text())(texts[1]))


def in_case(function: str) -> Callable[[Compiler, exp.Expr], AnyValue]:
    """Return what builds `lower(text)` and `upper(text)`: ASCII letters, whatever the locale."""

    def build(compiler: Compiler, node: exp.Expr) -> AnyValue:
        text = compiler.dialect.ordered(compiler.text(node.this))
        return Value(Kind.TEXT, getattr(sa.func, function)(text, type_=sa.Text()))

    return build


def part_of_text(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `substr(text, start, count)`: start from 1, or negative, counted from the end."""
    start = whole_constant(node.args["start"])
    count = whole_constant(node.args.get("length"), default=-1)
    is_counted = node.args.get("length") is not None
    if not start or count is None or (is_counted and count < 0):
        msg = f"`{shown(node)}`: start and count are whole numbers; the first character is 1"
        raise BadSqlError(msg)
    text = compiler.text(node.this)
    if start < 0:
        text, start = compiler.dialect.last(text, -start), 1
    arguments: list[ColumnElement[Any]] = [sa.literal_column(str(start))]
    if is_counted:
        arguments.append(sa.literal_column(str(count)))
    return Value(Kind.TEXT, sa.func.substr(text, *arguments, type_=sa.Text()))


def replaced(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `replace(text, old, new)`."""
    if node.args.get("replacement") is None:
        msg = f"`{shown(node)}`: replace needs a text, what to replace, and what by"
        raise BadSqlError(msg)
    text, old, new = (
        compiler.text(node.args[name]) for name in ("this", "expression", "replacement")
    )
    replaced_text: ColumnElement[str] = sa.func.replace(text, old, new, type_=sa.Text())
    # SQLite does not look at `new` where `old` is empty.
    return Value(Kind.TEXT, sa.case((new.is_not(sa.null()), replaced_text)))


def trimmed(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `trim`, `ltrim`, `rtrim`; without a second argument they cut spaces, no line ends."""
    where = str(node.args.get("position") or "BOTH").upper()
    letters = node.args.get("expression")
    cut = compiler.text(letters) if letters is not None else text_value(SPACE).sql
    text = compiler.text(node.this)
    if where in ("LEADING", "BOTH"):
        text = sa.func.ltrim(text, cut, type_=sa.Text())
    if where in ("TRAILING", "BOTH"):
        text = sa.func.rtrim(text, cut, type_=sa.Text())
    return Value(Kind.TEXT, text)


# ------------------------------------------------------------------------------------- any kind


def first_known(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `coalesce(a, b …)`."""
    values = [compiler.value(item) for item in (node.this, *node.expressions)]
    kind = common_kind(values)
    read = [compiler.reader.read(value, kind) for value in values]
    return Value(kind, sa.func.coalesce(*read, type_=read[0].type))


def null_if(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `nullif(a, b)`."""
    values = compiler.value(node.this), compiler.value(node.expression)
    kind = common_kind(values)
    left, right = (compiler.reader.read(value, kind) for value in values)
    return Value(kind, sa.func.nullif(left, right, type_=left.type))


def converted(compiler: Compiler, node: exp.Expr) -> AnyValue:
    """Build `cast(x as type)`; what can't be read as the type is NULL."""
    wanted = node.args["to"]
    name = None if wanted.expressions else _TYPES.get(wanted.this)
    if name is None:
        msg = f"`{shown(node)}`: casts are to text, integer, double precision or boolean"
        raise BadSqlError(msg)
    value = compiler.value(node.this)
    if name == "text":
        return Value(Kind.TEXT, compiler.reader.text(value))
    if name == "truth":
        return Value(Kind.TRUTH, compiler.reader.truth(value))
    number = compiler.reader.number(value)
    return Value(Kind.NUMBER, compiler.dialect.whole(number) if name == "whole" else number)


def whole_constant(node: exp.Expr | None, default: int | None = None) -> int | None:
    """Return the whole number that a node writes, `default` where there is no node."""
    if node is None:
        return default
    is_negative = isinstance(node, exp.Neg)
    inner = node.this if is_negative else node
    if not isinstance(inner, exp.Literal) or not inner.is_int:
        return None
    return -int(inner.this) if is_negative else int(inner.this)


TABLE: Final[dict[type[exp.Expr], tuple[Callable[[Compiler, exp.Expr], AnyValue], str]]] = {
    exp.Neg: (negative, "this"),
    exp.Add: (arithmetic("+"), "this expression"),
    exp.Sub: (arithmetic("-"), "this expression"),
    exp.Mul: (arithmetic("*"), "this expression"),
    exp.Div: (divided, "this expression typed safe"),
    exp.Mod: (remainder, "this expression"),
    exp.Abs: (absolute, "this"),
    exp.Round: (rounded, "this decimals"),
    exp.Length: (length, "this"),
    exp.StrPosition: (position, "this substr"),
    exp.DPipe: (concatenated, "this expression safe"),
    exp.Lower: (in_case("lower"), "this"),
    exp.Upper: (in_case("upper"), "this"),
    exp.Substring: (part_of_text, "this start length"),
    exp.Replace: (replaced, "this expression replacement"),
    exp.Trim: (trimmed, "this expression position"),
    exp.Coalesce: (first_known, "this expressions"),
    exp.Nullif: (null_if, "this expression"),
    exp.Cast: (converted, "this to"),
}
"""What builds each kind of node, and the arguments of it that may be given."""
