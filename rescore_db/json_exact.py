r"""JSON in and out without loss.

lm-eval writes JSON with Python's `json`, which knows NaN, Infinity, lone surrogates and integers
of any size.  Databases know less: text columns refuse NUL and lone surrogates, JSONB refuses NaN
and `\u0000`.  So every value is kept twice where the two differ: `text` is what a database can
hold (U+FFFD in place of what it can't) and `exact` is the escaped JSON literal that gives the
value back; `exact` is None where `text` says it all.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

REPLACEMENT = "\ufffd"
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
MAX_QUERY_DEPTH = 200  # far below what SQLite, PostgreSQL and our own recursion can take


def dumps(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return JSON text as lm-eval writes a line: non-ASCII raw, keys in their order.

    A value with lone surrogates comes out with them as such; `storable_text` tells.
    """
    return json.dumps(value, ensure_ascii=False)


def escaped(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return pure ASCII JSON text, which any database and any encoding can hold."""
    return json.dumps(value)


def loads(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON as Python's `json` does: NaN, big integers and lone surrogates included.

    Raises:
        ValueError: not JSON (json.JSONDecodeError, UnicodeDecodeError), or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        msg = "nested too deeply to be read"
        raise ValueError(msg) from None


def storable(text: str) -> tuple[str, str | None]:
    """Split a string into what a text column can hold and, where that loses something, the rest.

    Returns:
        `(text, None)` for ordinary strings, else `(text with U+FFFD, escaped JSON literal)`.
    """
    if "\x00" not in text and text.isascii():
        return text, None
    if UNSTORABLE.search(text) is None:
        return text, None
    return UNSTORABLE.sub(REPLACEMENT, text), escaped(text)


def restored(text: str, exact: str | None) -> str:
    """Give back the string that `storable` split."""
    if exact is None:
        return text
    value: str = json.loads(exact)
    return value


def text_hash(text: str) -> bytes:
    """Return the SHA-256 of a string as UTF-8, lone surrogates included."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def doc_hash(doc: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return lm-eval's `doc_hash` of a parsed document, as 32 bytes.

    The formula is `lm_eval.evaluator.evaluate`'s: SHA-256 of
    `json.dumps(doc, indent=2, ensure_ascii=False)`.
    """
    return text_hash(json.dumps(doc, indent=2, ensure_ascii=False))


def differing_keys(left: str | None, right: str | None) -> list[str]:
    """Return the keys in which two JSON objects differ; none where either text is no object."""
    a, b = (loads(text) if text is not None else None for text in (left, right))
    if not isinstance(a, dict) or not isinstance(b, dict):
        return []
    absent = object()
    return [key for key in sorted(a.keys() | b.keys()) if a.get(key, absent) != b.get(key, absent)]


def queryable(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    """Return the nearest value that every database's JSON functions accept.

    NaN and infinities become null, NUL and lone surrogates U+FFFD, and what lies deeper than
    `MAX_QUERY_DEPTH` null.  For predicates only: scoring and export read the exact text.
    """
    if isinstance(value, str):
        return UNSTORABLE.sub(REPLACEMENT, value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict | list) and depth >= MAX_QUERY_DEPTH:
        return None
    if isinstance(value, dict):
        return {queryable(k): queryable(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        return [queryable(item, depth + 1) for item in value]
    return value
