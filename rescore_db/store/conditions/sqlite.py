"""Users' conditions in SQLite."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    Boolean,
    Double,
    Integer,
    Text,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    true,
    type_coerce,
)

from rescore_db.store import schema

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from rescore_db.store.conditions.values import Part, Path, Value

LARGEST: Final = "1.797e308"
MOST_DIGITS: Final = 1000  # of a text that is read as a number; no double needs as many
_PLAIN_KEY: Final = re.compile(r'[^"\\\x00-\x1f]+')

# The document as JSON that SQLite reads; expression indexes are built on this very expression.
DOCUMENT: Final = func.coalesce(
    type_coerce(schema.doc.c.body, Text()), schema.doc.c.text, type_=Text()
)


def prepare(conn: Connection) -> None:
    """Give a connection the function that spells JSON, which conditions may call."""
    driver: Any = conn.connection.driver_connection
    driver.create_function("rescore_spelled", 2, json_at, deterministic=True)


def part_text(part: Part, *, is_plain: bool = False) -> ColumnElement[str]:
    """Return a part as a text."""
    document, path = _place(part.path)
    kind = func.json_type(document, path)
    raw = document.op("->", return_type=Text())(path)
    spelled = func.rescore_spelled(raw, literal_column("'[]'"), type_=Text())
    if part.is_json:
        return case((kind.in_(_words("null", "true", "false", "integer")), raw), else_=spelled)
    string = document.op("->>", return_type=Text())(path)
    if is_plain:
        return case((kind == _word("text"), string), (kind != _word("null"), raw))
    as_it_is = _words("true", "false", "integer")
    return case(
        (kind == _word("text"), string), (kind.in_(as_it_is), raw), (kind != _word("null"), spelled)
    )


def part_number(part: Part) -> ColumnElement[float]:
    """Return a part as a number."""
    document, path = _place(part.path)
    kind = func.json_type(document, path)
    content = document.op("->>", return_type=Text())(path)
    is_number = (kind.in_(_words("integer", "real")), _in_range(cast(content, Double)))
    if part.is_json:
        return case(is_number)
    return case(is_number, (kind == _word("text"), number(content)))


def part_truth(part: Part) -> ColumnElement[bool]:
    """Return a part that is true or false."""
    kind = func.json_type(*_place(part.path))
    return type_coerce(
        case((kind == _word("true"), true()), (kind == _word("false"), false())), Boolean()
    )


def is_absent(part: Part) -> ColumnElement[bool]:
    """Answer whether a part is missing."""
    document, path = _place(part.path)
    return document.op("->" if part.is_json else "->>", return_type=Text())(path).is_(null())


def number(text: ColumnElement[str]) -> ColumnElement[float]:
    """Return the number that a text holds."""
    is_short_json = (func.length(text) <= literal_column(str(MOST_DIGITS))) & func.json_valid(
        text, type_=Boolean()
    )
    is_number = func.json_type(text).in_(_words("integer", "real"))
    return case((is_short_json, case((is_number, _in_range(cast(text, Double))))))


def _in_range(value: ColumnElement[float]) -> ColumnElement[float]:
    """Leave out what a double can't hold, which SQLite takes for infinity."""
    return case((func.abs(value, type_=Double()) < literal_column(LARGEST, Double()), value))


def constant(value: float) -> ColumnElement[float]:
    """Return a number, in digits: a document's digits then become the same double."""
    return literal_column(repr(float(value)), Double())


def ordered(text: ColumnElement[str]) -> ColumnElement[str]:
    """Return the text: SQLite compares bytes."""
    return text


def like(text: ColumnElement[str], pattern: Value, escape: str | None) -> ColumnElement[bool]:
    """Answer LIKE by GLOB, since SQLite's own ignores case."""
    if isinstance(pattern.constant, str):
        glob: ColumnElement[str] = literal(as_glob(pattern.constant, escape), Text())
    else:
        glob = pattern.sql
        for old, new in (("[", "[[]"), ("*", "[*]"), ("?", "[?]"), ("%", "*"), ("_", "?")):
            glob = func.replace(glob, old, new, type_=Text())
    return text.op("GLOB", is_comparison=True)(glob)


def as_glob(pattern: str, escape: str | None) -> str:
    """Translate a LIKE pattern into a GLOB pattern."""
    glob = []
    letters = iter(pattern)
    for letter in letters:
        if letter == escape:
            glob.append(_literally(next(letters)))
        else:
            glob.append({"%": "*", "_": "?"}.get(letter) or _literally(letter))
    return "".join(glob)


def _literally(letter: str) -> str:
    return f"[{letter}]" if letter in "[*?" else letter


def ilike(text: ColumnElement[str], pattern: Value, escape: str | None) -> ColumnElement[bool]:
    """Answer ILIKE by LIKE."""
    return text.like(pattern.sql, escape=escape)


def position(text: ColumnElement[str], piece: ColumnElement[str]) -> ColumnElement[Any]:
    """Return where a piece begins."""
    return func.instr(text, piece, type_=Integer())


def whole(value: ColumnElement[float]) -> ColumnElement[float]:
    """Return a number without its fraction; beyond 2**53 doubles have none."""
    is_small = func.abs(value, type_=Double()) < literal_column("9e15", Double())
    return case((is_small, cast(cast(value, Integer), Double)), else_=value)


def last(text: ColumnElement[str], count: int) -> ColumnElement[str]:
    """Return the last characters."""
    return func.substr(text, literal_column(str(-count)), type_=Text())


def json_at(text: str | None, path: str) -> str | None:
    """Return a part of a JSON text, spelled as PostgreSQL spells JSONB; None if it is missing.

    Args:
        text: JSON, or None.
        path: JSON list of keys and indexes.
    """
    if text is None:
        return None
    value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    for step in json.loads(path):
        if not _has(value, step):
            return None
        value = value[step]
    return spelled_json(value)


def _has(value: Any, step: str | int) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(step, str):
        return isinstance(value, dict) and step in value
    return isinstance(value, list) and -len(value) <= step < len(value)


def spelled_json(value: Any) -> str:  # noqa: ANN401 - any JSON value, numbers as Decimal
    """Return JSON text as PostgreSQL writes JSONB: keys by length, plain digits."""
    if isinstance(value, Decimal):
        return format(value or abs(value), "f")  # no -0
    if isinstance(value, list):
        return f"[{', '.join(map(spelled_json, value))}]"
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        pairs = (f"{spelled_json(key)}: {spelled_json(value[key])}" for key in keys)
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)


def _place(path: Path) -> tuple[ColumnElement[str], ColumnElement[str]]:
    """Return the document and SQLite's path into it, as literals: indexes are matched by text.

    Some keys can't be written in a path of every SQLite; those are looked up by our own function.
    """
    keys = (step for step in path if isinstance(step, str))
    if all(_PLAIN_KEY.fullmatch(key) for key in keys):
        return DOCUMENT, _text_literal("$" + "".join(map(_step, path)))
    inner = func.rescore_spelled(DOCUMENT, json.dumps(path), type_=Text())
    return inner, literal_column("'$'", Text())


def _step(step: str | int) -> str:
    if isinstance(step, str):
        return f'."{step}"'
    return f"[{step}]" if step >= 0 else f"[#{step}]"


def _text_literal(text: str) -> ColumnElement[str]:
    return literal(text, Text(), literal_execute=True)


def _word(word: str) -> ColumnElement[str]:
    return literal_column(f"'{word}'", Text())


def _words(*words: str) -> list[ColumnElement[str]]:
    return [_word(word) for word in words]
