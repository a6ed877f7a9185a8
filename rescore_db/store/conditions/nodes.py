"""What users' conditions are made of: each kind of node, and the expression that it becomes."""

from __future__ import annotations

import difflib
import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
from sqlglot import exp

from rescore_db.errors import BadSqlError
from rescore_db.store import schema
from rescore_db.store.conditions import functions
from rescore_db.store.conditions.values import (
    NOTHING,
    Kind,
    Part,
    Reader,
    Run,
    Value,
    common_kind,
    finite,
    number_value,
    shown,
    text_value,
    truth_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement

    from rescore_db.store.conditions.values import AnyValue, Dialect

    Build: TypeAlias = Callable[["Compiler", exp.Expr], AnyValue]

FIELDS: Final = ("doc", "task", "run", "model", "date", "prompt", "target", "response")
MAX_INDEX: Final = 2**31 - 1

_COLUMNS: Final[dict[str, ColumnElement[str]]] = {
    "task": schema.task.c.name,
    "model": schema.run.c.model,
    "date": sa.func.nullif(schema.run.c.date, "", type_=sa.Text()),
    "prompt": schema.context.c.text,
    "target": schema.target.c.text,
    "response": schema.sample.c.response,
}

# Texts that JSON has one spelling for: neither an object, nor an array, nor a number that may be
# written with an exponent.
_SPELLED_ONE_WAY: Final = re.compile(r"(?![\[{])(?!-?\d+[.eE])(?!-?\d{15})")
_ESCAPES: Final = frozenset("!\"#$&'()*+,-./:;<=>?@[\\]^`{|}~")


class Scope(Enum):
    """What a bare name means.

    SAMPLE: one of `FIELDS`.  DOC: a key of the document, except for `doc` and `task`; the fields
    of samples are refused, since it would not be clear whose is meant.
    """

    SAMPLE = "sample"
    DOC = "doc"


class Compiler:
    """Turns one parsed condition into an expression; `fields` gathers those that it reads."""

    def __init__(self, dialect: Dialect, scope: Scope) -> None:
        """Start with no fields."""
        self.dialect = dialect
        self.scope = scope
        self.reader = Reader(dialect)
        self.fields: set[str] = set()

    def value(self, node: exp.Expr) -> AnyValue:
        """Return the value of a node; raises BadSqlError for what conditions don't know."""
        known = _TABLE.get(type(node))
        if known is None:
            raise _unknown(node)
        build, arguments = known
        given = {name for name, content in node.args.items() if _is_given(content)}
        if given - set(arguments.split()):
            raise _unknown(node)
        return build(self, node)

    def text(self, node: exp.Expr) -> ColumnElement[str]:
        """Return a node as a text."""
        return self.reader.text(self.value(node))

    def number(self, node: exp.Expr) -> ColumnElement[float]:
        """Return a node as a number."""
        return self.reader.number(self.value(node))

    def truth(self, node: exp.Expr) -> ColumnElement[bool]:
        """Return a node as a truth."""
        return self.reader.truth(self.value(node))


def _is_given(content: object) -> bool:
    return content is not None and content is not False and content != []


def _unknown(node: exp.Expr) -> BadSqlError:
    names = functions.NAMES
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        near = difflib.get_close_matches(name.lower(), names, n=2, cutoff=0.7)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(names)}"
        return BadSqlError(f"conditions don't know `{shown(node)}`; {hint}")
    if isinstance(node, exp.Column):
        hint = f"a document's own field is written doc->>'{node.name}'"
        return BadSqlError(f"conditions don't know `{shown(node)}`; {hint}")
    return BadSqlError(
        f"conditions don't know `{shown(node)}`; they know fields, constants, comparisons, AND, "
        "OR, NOT, IN, BETWEEN, LIKE, ILIKE, IS NULL, CASE, ||, + - * / %, casts and functions "
        f"({', '.join(names)})"
    )


# -------------------------------------------------------------------------- fields and constants


def _field(compiler: Compiler, node: exp.Expr) -> AnyValue:
    identifier = node.this
    if not isinstance(identifier, exp.Identifier):
        raise _unknown(node)
    name = str(identifier.this)
    field = name if identifier.args.get("quoted") else name.lower()
    if compiler.scope is Scope.DOC and field not in ("doc", "task"):
        if field in FIELDS:
            raise _whose(field)
        compiler.fields.add("doc")
        return Part((name,), is_json=False)
    if field not in FIELDS:
        raise _unknown_field(name)
    compiler.fields.add(field)
    if field == "doc":
        return Part((), is_json=True)
    return Run() if field == "run" else Value(Kind.TEXT, _COLUMNS[field])


def _whose(field: str) -> BadSqlError:
    return BadSqlError(
        f"{field!r} belongs to a sample, and here documents are chosen, not samples; a document's "
        f"own field of that name is written doc->>'{field}'"
    )


def _unknown_field(name: str) -> BadSqlError:
    near = difflib.get_close_matches(name.lower(), FIELDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    quoted = name.replace("'", "''")
    return BadSqlError(
        f"there is no field {name!r}{hint} The fields are {', '.join(FIELDS)}. A document's own "
        f"field is written doc->>'{quoted}'; texts stand in single quotes"
    )


def _literal(compiler: Compiler, node: exp.Expr) -> AnyValue:
    if node.args["is_string"]:
        return text_value(node.this)
    return number_value(finite(node.this), compiler.dialect)


def _boolean(_compiler: Compiler, node: exp.Expr) -> AnyValue:
    return truth_value(is_true=node.this)


def _null(_compiler: Compiler, _node: exp.Expr) -> AnyValue:
    return NOTHING


def _inner(compiler: Compiler, node: exp.Expr) -> AnyValue:
    return compiler.value(node.this)


def _part(compiler: Compiler, node: exp.Expr) -> AnyValue:
    whole = compiler.value(node.this)
    is_name = isinstance(node.this, exp.Column)  # a bare name is a part that may have parts
    if not isinstance(whole, Part) or not (whole.is_json or is_name):
        msg = f"`{shown(node)}` asks for a part of a text; doc has parts: doc->'a'->>'b'"
        raise BadSqlError(msg)
    step = _step(node.expression)
    if step is None:
        msg = f"`{shown(node)}`: after -> and ->> stands a key in single quotes or a whole number"
        raise BadSqlError(msg)
    return Part((*whole.path, step), is_json=isinstance(node, exp.JSONExtract))


def _step(node: exp.Expr) -> str | int | None:
    """Return the key or the index that stands after an arrow, None if it is neither."""
    if isinstance(node, exp.Paren):
        return _step(node.this)
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.this)
    if isinstance(node, exp.JSONPath):
        last = node.expressions[-1]
        found = last.this if isinstance(last, exp.JSONPathKey | exp.JSONPathSubscript) else None
        is_one_step = len(node.expressions) == 2  # noqa: PLR2004 - the root and a step
        step = found if is_one_step and isinstance(found, str | int) else None
    else:
        step = functions.whole_constant(node)
    return None if isinstance(step, int) and abs(step) > MAX_INDEX else step


# ---------------------------------------------------------------------------------------- truths


def _connected(join: Callable[..., ColumnElement[bool]]) -> Build:
    def build(compiler: Compiler, node: exp.Expr) -> AnyValue:
        if not isinstance(node, exp.Connector):
            raise _unknown(node)
        parts = [compiler.truth(part) for part in node.flatten(unnest=False)]
        return Value(Kind.TRUTH, join(*parts))

    return build


def _not(compiler: Compiler, node: exp.Expr) -> AnyValue:
    return Value(Kind.TRUTH, sa.not_(compiler.truth(node.this)))


def _compared(operator: str) -> Build:
    def build(compiler: Compiler, node: exp.Expr) -> AnyValue:
        left, right = compiler.value(node.this), compiler.value(node.expression)
        return Value(Kind.TRUTH, _comparison(compiler, left, operator, right))

    return build


def _comparison(
    compiler: Compiler, left: AnyValue, operator: str, right: AnyValue
) -> ColumnElement[bool]:
    _refuse_null((left, right), operator)
    kind = common_kind((left, right))
    is_ordering = operator not in ("=", "<>")
    if kind is Kind.TEXT:
        is_plain = not is_ordering and (_is_plain(left) or _is_plain(right))
        a, b = (compiler.reader.text(side, is_plain=is_plain) for side in (left, right))
        a = compiler.dialect.ordered(a) if is_ordering else a
    else:
        if kind is Kind.TRUTH and is_ordering:
            msg = f"true and false have no order: {operator} can't compare them"
            raise BadSqlError(msg)
        a, b = (compiler.reader.read(side, kind) for side in (left, right))
    return a.op(operator, is_comparison=True, return_type=sa.Boolean())(b)


def _refuse_null(values: Sequence[AnyValue], operator: str) -> None:
    if any(value.kind is Kind.NULL for value in values):
        msg = f"{operator} NULL is never true; write IS NULL or IS NOT NULL"
        raise BadSqlError(msg)


def _is_plain(value: AnyValue) -> bool:
    """Answer whether a value is a constant that needs no care about how JSON is spelled."""
    constant = value.constant if isinstance(value, Value) else None
    return isinstance(constant, str) and _SPELLED_ONE_WAY.match(constant) is not None


def _between(compiler: Compiler, node: exp.Expr) -> AnyValue:
    value = compiler.value(node.this)
    low, high = compiler.value(node.args["low"]), compiler.value(node.args["high"])
    above = _comparison(compiler, value, ">=", low)
    return Value(Kind.TRUTH, sa.and_(above, _comparison(compiler, value, "<=", high)))


def _in(compiler: Compiler, node: exp.Expr) -> AnyValue:
    value = compiler.value(node.this)
    among = [compiler.value(item) for item in node.expressions]
    if not among:
        raise _unknown(node)
    _refuse_null((value, *among), "IN")
    kind = common_kind((value, *among))
    if kind is Kind.TEXT:
        is_plain = all(map(_is_plain, among))
        found = compiler.reader.text(value, is_plain=is_plain)
    else:
        found = compiler.reader.read(value, kind)
    return Value(Kind.TRUTH, found.in_([compiler.reader.read(item, kind) for item in among]))


def _is(compiler: Compiler, node: exp.Expr) -> AnyValue:
    value = compiler.value(node.this)
    if isinstance(node.expression, exp.Null):
        found = _is_null(compiler, value)
    elif isinstance(node.expression, exp.Boolean):
        truth = compiler.reader.truth(value)
        wanted = truth if node.expression.this else sa.not_(truth)
        found = sa.case((wanted, sa.true()), else_=sa.false())
    else:
        raise _unknown(node)
    return Value(Kind.TRUTH, sa.not_(found) if node.args.get("negate") else found)


def _is_null(compiler: Compiler, value: AnyValue) -> ColumnElement[bool]:
    if isinstance(value, Part):
        return compiler.dialect.is_absent(value)
    expression = schema.run.c.name if isinstance(value, Run) else value.sql
    return expression.is_(sa.null())


def _like(compiler: Compiler, node: exp.Expr, escape: str | None = None) -> AnyValue:
    text = compiler.text(node.this)
    value = compiler.value(node.expression)
    _refuse_null((value,), "LIKE")
    constant = value.constant if isinstance(value, Value) and value.kind is Kind.TEXT else None
    if escape is not None:
        _check_escape(constant, escape)
    pattern = Value(Kind.TEXT, compiler.reader.text(value), constant)
    is_like = isinstance(node, exp.Like)
    match = compiler.dialect.like if is_like else compiler.dialect.ilike
    found = match(text, pattern, escape)
    return Value(Kind.TRUTH, sa.not_(found) if node.args.get("negate") else found)


def _check_escape(pattern: str | float | None, escape: str) -> None:
    if not isinstance(pattern, str):
        msg = "ESCAPE needs a pattern that is written out, in quotes"
        raise BadSqlError(msg)
    is_open = (len(pattern) - len(pattern.rstrip(escape))) % 2 == 1
    if escape not in _ESCAPES or is_open:
        msg = f"ESCAPE {escape!r}: one ASCII sign but % and _, and the pattern can't end with it"
        raise BadSqlError(msg)


def _escaped_like(compiler: Compiler, node: exp.Expr) -> AnyValue:
    like, escape = node.this, node.expression
    is_known = isinstance(like, exp.Like | exp.ILike) and isinstance(escape, exp.Literal)
    if not is_known or {name for name, it in like.args.items() if _is_given(it)} - _LIKE_ARGUMENTS:
        raise _unknown(node)
    return _like(compiler, like, str(escape.this))


def _case(compiler: Compiler, node: exp.Expr) -> AnyValue:
    subject = None if node.this is None else compiler.value(node.this)
    branches: list[tuple[ColumnElement[bool], AnyValue]] = []
    for branch in node.args["ifs"]:
        if subject is None:
            when = compiler.truth(branch.this)
        else:
            when = _comparison(compiler, subject, "=", compiler.value(branch.this))
        branches.append((when, compiler.value(branch.args["true"])))
    default = node.args.get("default")
    other = NOTHING if default is None else compiler.value(default)
    kind = common_kind([*(value for _, value in branches), other])
    read: list[tuple[ColumnElement[bool], Any]] = [
        (when, compiler.reader.read(value, kind)) for when, value in branches
    ]
    return Value(kind, sa.case(*read, else_=compiler.reader.read(other, kind)))


_LIKE_ARGUMENTS: Final = frozenset({"this", "expression", "negate"})

_TABLE: Final[dict[type[exp.Expr], tuple[Build, str]]] = {
    exp.Column: (_field, "this"),
    exp.Literal: (_literal, "this is_string"),
    exp.Boolean: (_boolean, "this"),
    exp.Null: (_null, ""),
    exp.Paren: (_inner, "this"),
    exp.JSONExtract: (_part, "this expression only_json_types"),
    exp.JSONExtractScalar: (_part, "this expression only_json_types"),
    exp.And: (_connected(sa.and_), "this expression"),
    exp.Or: (_connected(sa.or_), "this expression"),
    exp.Not: (_not, "this"),
    exp.EQ: (_compared("="), "this expression"),
    exp.NEQ: (_compared("<>"), "this expression"),
    exp.GT: (_compared(">"), "this expression"),
    exp.GTE: (_compared(">="), "this expression"),
    exp.LT: (_compared("<"), "this expression"),
    exp.LTE: (_compared("<="), "this expression"),
    exp.Between: (_between, "this low high"),
    exp.In: (_in, "this expressions"),
    exp.Is: (_is, "this expression negate"),
    exp.Like: (_like, "this expression negate"),
    exp.ILike: (_like, "this expression negate"),
    exp.Escape: (_escaped_like, "this expression"),
    exp.Case: (_case, "this ifs default"),
    **functions.TABLE,
}
"""What builds each kind of node, and the arguments of it that may be given."""
