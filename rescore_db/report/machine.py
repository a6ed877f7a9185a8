r"""Rows for programs: JSON and CSV, whole and exact.

JSON is one document: a list with one object a line, or one object with one key a line.  Floats
have all their digits.  JSON knows no NaN or infinity: they become null.  Characters that could
drive a terminal, and lone surrogates, are written as `\uXXXX`, which any parser reads back.

CSV (RFC 4180 but for its line ends, `\n`) has one column for each field; nested values are JSON
text, missing ones are empty, NaN and infinities are `nan`, `inf` and `-inf`.  A text that a
spreadsheet would take for a formula (it begins with = + - @ tab or return, and is no number)
gets a `'` in front, for responses are written by models and logs by anyone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from rescore_db.errors import UsageError
from rescore_db.typed_values import plain

_STRING_OR_CONSTANT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
_ESCAPED: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NEEDS_QUOTES: Final = re.compile('[",\r\n]|^\\s|\\s$')
_FORMULA: Final = re.compile("[=+\\-@\t\r]")


def json_list(rows: Sequence[Any]) -> str:
    """Return rows as a JSON list, one row a line."""
    if not rows:
        return "[]\n"
    return "[\n" + ",\n".join(json_value(row) for row in rows) + "\n]\n"


def json_object(value: Any) -> str:  # noqa: ANN401 - a dataclass or a mapping
    """Return a dataclass or a mapping as a JSON object, one key a line."""
    members = [f"  {json_value(key)}: {json_value(item)}" for key, item in items(value)]
    return "{\n" + ",\n".join(members) + "\n}\n"


def json_value(value: Any) -> str:  # noqa: ANN401 - anything that a row may hold
    """Return one value as JSON on one line."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_simpler)
    except ValueError:  # NaN or an infinity
        loose = json.dumps(value, ensure_ascii=False, default=_simpler)
        text = _STRING_OR_CONSTANT.sub(_null_for_constant, loose)
    except RecursionError:
        msg = "a value is nested too deeply to be written as JSON"
        raise UsageError(msg) from None
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def csv_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV under a line of names."""
    lines = [",".join(map(_csv_cell, row)) for row in (names, *rows)]
    return "".join(f"{line}\n" for line in lines)


def items(value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - a dataclass or a mapping
    """Return the fields of a dataclass, or the items of a mapping."""
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    return [(field.name, getattr(value, field.name)) for field in fields(value)]


def _simpler(value: Any) -> Any:  # noqa: ANN401, PLR0911 - one return for each kind of type
    """Return what `json` knows for what it doesn't: rows, dates, a database's own types."""
    if is_dataclass(value) and not isinstance(value, type):
        return dict(items(value))
    if isinstance(value, Decimal):  # PostgreSQL's sums of integers
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    simple = plain(value)
    return simple if simple is not value else str(value)


def _null_for_constant(match: re.Match[str]) -> str:
    text = match.group()
    return text if text.startswith('"') else "null"


def _csv_cell(value: Any) -> str:  # noqa: ANN401, PLR0911 - one return for each kind of type
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return float.__repr__(value)  # numpy's own says np.float64(…)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list | tuple | dict):
        return _quoted(json_value(value))
    return _csv_cell(_simpler(value))


def _quoted(text: str) -> str:
    if _FORMULA.match(text) and not _is_number(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
