"""From the JSON text of a line's fields to what the content tables hold.

Spans are taken as they stand wherever that cannot be told from parsing and writing them again;
in every doubtful case they are parsed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import value_of
from rescore_db.store.content import Columns, json_key, text_key

if TYPE_CHECKING:
    from collections.abc import Callable

_generated = msgspec.json.Decoder(list[list[str]]).decode
_likelihoods = msgspec.json.Decoder(list[list[list[str]]]).decode
_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_raw_lists = msgspec.json.Decoder(list[list[msgspec.Raw]]).decode
_strings = msgspec.json.Decoder(list[str]).decode
_string_lists = msgspec.json.Decoder(list[list[str]]).decode

NOTHING: Final = object()
"""The first responses of a sample that has none."""

UNREAD: Final = object()
"""Stands for first responses that were not looked at."""


def text_columns(text: str) -> Columns:
    """Return the columns of a string; most need only a look for what no database holds."""
    if "\x00" not in text:
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return False, text, None
    return (False, *json_exact.storable(text))


def text_content(text: str) -> tuple[bytes, Columns]:
    """Return the key and the columns of a string."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return text_key(text), (False, *json_exact.storable(text))
    key = hashlib.sha256(raw).digest()
    if b"\x00" in raw:
        return key, (False, *json_exact.storable(text))
    return key, (False, text, None)


def quick_doc_hash(raw: bytes, logged: bytes) -> bytes | None:
    """Return lm-eval's hash of a document from its JSON text, None where that may not be it.

    When indenting the text gives just the hash on its line, it is the hash of the parsed document
    as well; and when spacing it changes nothing, it is as `json.dumps` writes it.

    Args:
        raw: the document.
        logged: the hash on its line, as hexadecimal digits.
    """
    hash_ = hashlib.sha256(msgspec.json.format(raw, indent=2))
    if hash_.hexdigest().encode() == logged and msgspec.json.format(raw, indent=0) == raw:
        return hash_.digest()
    return None


def target_content(text: bytes) -> tuple[bytes, Columns, bytes]:
    """Return a target's key and columns, and lm-eval's hash of it (SHA-256 of `str(target)`)."""
    target = value_of(text)
    if isinstance(target, str):
        key, columns = text_content(target)
        return key, columns, key
    return json_key(text), (True, text.decode(), None), json_exact.text_hash(str(target))


def response_content(text: bytes) -> tuple[Columns, Any]:
    """Return the columns of a sample's responses, and the first response of each request.

    Exactly one request, one repeat and a string is kept as plain text, all else as JSON.

    Args:
        text: the field `resps`.
    """
    first: Any = NOTHING
    try:
        if text.startswith(b"[[["):
            first = Likelihoods(text)
        else:
            responses = _generated(text)
            if len(responses) == len(responses[0]) == 1:
                return text_columns(responses[0][0]), responses[0]
            first = [repeats[0] for repeats in responses]
    except (msgspec.DecodeError, RecursionError, IndexError):
        single = _single_text(text)
        if single is not None:
            return text_columns(single), [single]
    return (True, text.decode(), None), first


class Likelihoods:
    """The first log-likelihood of each request, compared as text where that tells."""

    def __init__(self, text: bytes) -> None:
        """Keep the field `resps`, which begins with three brackets."""
        self._text = text

    def are(self, filtered: bytes) -> bool:
        """Tell whether the field `filtered_resps` is just the first response of each request."""
        text = self._text
        try:
            if [repeats[0] for repeats in _raw_lists(text)] == _raws(filtered):
                return True
            firsts = [repeats[0] for repeats in _likelihoods(text)]  # it may be spaced otherwise
            return bool(_string_lists(filtered) == firsts)
        except (msgspec.DecodeError, RecursionError, IndexError):
            return False


def _single_text(text: bytes) -> str | None:
    """Return the string in `[["…"]]` that only Python's `json` can parse, else None."""
    if not text.startswith(b'[["'):
        return None
    match json_exact.loads(text):
        case [[str(single)]]:
            return single
    return None


def filtered_content(text: bytes, first: Any) -> Columns | None:  # noqa: ANN401 - as logged
    """Return the columns of a sample's filtered responses.

    None stands for "just the first response of each request", which takes no row.

    Args:
        text: the field `filtered_resps`.
        first: what `response_content` gave.
    """
    if isinstance(first, Likelihoods):
        if first.are(text):
            return None
        first = NOTHING
    try:
        decode: Callable[[bytes], Any] = _string_lists if text.startswith(b"[[") else _strings
        filtered = decode(text)
    except (msgspec.DecodeError, RecursionError):
        filtered = _single_filtered(text)
    if filtered is None:
        return True, text.decode(), None
    if filtered == first:
        return None
    if len(filtered) == 1 and isinstance(filtered[0], str):
        return text_columns(filtered[0])
    return True, text.decode(), None


def _single_filtered(text: bytes) -> list[str] | None:
    """Return `["…"]` that only Python's `json` can parse, else None."""
    if not text.startswith(b'["'):
        return None
    match json_exact.loads(text):
        case [str(single)]:
            return [single]
    return None


def storable_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return JSON text that any database can hold: lone surrogates as escapes."""
    text = json_exact.dumps(value)
    return json_exact.escaped(value) if json_exact.UNSTORABLE.search(text) else text


def unusable(file: str, number: int, error: Exception) -> LogFormatError:
    """Return the error for a line with a value that Python cannot hold; `number` is its line."""
    deep = isinstance(error, RecursionError)
    reason = "nested too deeply to be read" if deep else str(error)
    return LogFormatError(file, number, f"{reason}: mend or remove the line")
