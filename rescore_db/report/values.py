"""One value as text for people: sensible digits, one line, nothing that drives a terminal.

Data comes from log files that anyone may have written.  A response can hold escape sequences that
repaint a terminal or turn text around, so whatever is shown passes `one_line` or `lines`.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from rescore_db import json_exact

NOTHING: Final = "-"
UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")
THOUSAND: Final = 1000
TO_SECONDS: Final = len("2026-03-02T10:04:27")
LONG: Final = 4_000  # characters of a text that are looked at before it is cut to a cell

# C0 and C1 controls, marks that change the writing direction, other line ends, lone surrogates
_UNSEEMLY: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_READABLE: Final = {"\n": "↵", "\t": " "}
_LINE_ENDS: Final = re.compile("\r\n|\r|\n")


def one_line(text: str) -> str:
    r"""Return a text on one line: `↵` for line ends, `\x1b` and the like spelled out."""
    return _UNSEEMLY.sub(_spelled, _LINE_ENDS.sub("\n", text))


def lines(text: str) -> list[str]:
    """Return the lines of a text, each made harmless."""
    return [one_line(line.expandtabs(4)) for line in _LINE_ENDS.split(text)]


def _spelled(match: re.Match[str]) -> str:
    char = match.group()
    code = ord(char)
    return _READABLE.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def number(value: Any, *, signed: bool = False) -> str:  # noqa: ANN401 - a metric's value
    """Return a number with about four digits behind the point; other values as `plain_text`.

    Args:
        value: what a metric came to; lm-eval also logs "N/A" and lists.
        signed: put a plus before positive numbers, as differences have.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return plain_text(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0" if isinstance(value, int) else "0.0000"
    sign = "+" if signed else ""
    if isinstance(value, int):
        return f"{value:{sign}d}"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:  # noqa: PLR2004 - beyond these a fixed point hides the digits
        return f"{value:{sign}.3e}"
    digits = 4 if size < 10 else 3 if size < 100 else 2  # noqa: PLR2004 - five digits in all
    return f"{value:{sign}.{digits}f}"


def spread(value: Any) -> str:  # noqa: ANN401 - lm-eval logs "N/A" for some
    """Return a standard error as `± 0.0141`, nothing where there is none."""
    return f"± {number(value)}" if isinstance(value, int | float) else ""


def count(value: Any) -> str:  # noqa: ANN401 - an int, or None
    """Return a count with thousands set apart."""
    return NOTHING if value is None else f"{value:,}"


def size_text(size: float) -> str:
    """Return a number of bytes as people read it: "812 bytes", "4.1 MB"."""
    unit = 0
    while size >= THOUSAND and unit < len(UNITS) - 1:
        size /= THOUSAND
        unit += 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{size:.0f} {UNITS[0]}"


def moment(value: str | None) -> str:
    """Return a date to the second: without its microseconds and its offset, which is UTC."""
    return one_line(value)[:TO_SECONDS] if value else NOTHING


def plain_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return any value on one line: texts as they are, the rest as JSON."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return one_line(value[:LONG])
    if isinstance(value, float):
        return number(value)
    return one_line(json_text(value)[:LONG])


def last_asked(prompt: str | None) -> str:
    """Return the end of a prompt; of a chat, as API models log it, its last message's content."""
    if prompt is None:
        return NOTHING
    try:
        messages = chat_messages(json_exact.loads(prompt)) if prompt.startswith('["[') else None
    except ValueError:
        messages = None
    text = prompt if messages is None else messages[-1].get("content")
    return one_line(text[-LONG:]) if isinstance(text, str) else plain_text(text)


def chat_messages(context: Any) -> list[dict[str, Any]] | None:  # noqa: ANN401 - any JSON value
    """Return the messages of a chat's context: a list that holds their JSON; else None."""
    if not isinstance(context, list) or len(context) != 1 or not isinstance(context[0], str):
        return None
    try:
        messages = json_exact.loads(context[0]) if context[0].startswith("[{") else None
    except ValueError:
        return None
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and "content" in message for message in messages
    ):
        return None
    return messages


def gist(doc: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a document's first fields, `question: … · answer: …`."""
    if not isinstance(doc, dict):
        return plain_text(doc)
    parts = []
    length = 0
    for key, value in doc.items():
        part = f"{one_line(str(key)[:LONG])}: {plain_text(value)}"
        parts.append(part)
        length += len(part)
        if length > LONG:
            break
    return " · ".join(parts)


def json_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a value as JSON on one line; what JSON doesn't know comes out as its text."""
    from rescore_db.typed_values import plain

    try:
        return json.dumps(plain(value), ensure_ascii=False, default=str)
    except RecursionError:
        return "(nested too deeply to be shown)"
