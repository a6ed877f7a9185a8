"""From the JSON text of a line's fields to what the content tables hold.

Spans are taken as they stand wherever that cannot be told from parsing and writing them again;
in every doubtful case they are parsed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rescore_db import json_exact
from rescore_db.harness_log.decode import argument_lists
from rescore_db.harness_log.lines import value_of
from rescore_db.store.content import Columns, NewPart, NewRequest, json_key, text_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

_parts_of = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]]).decode
_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode
_generated = msgspec.json.Decoder(list[list[str]]).decode
_likelihoods = msgspec.json.Decoder(list[list[list[str]]]).decode
_strings = msgspec.json.Decoder(list[str]).decode
_string_lists = msgspec.json.Decoder(list[list[str]]).decode

EMPTY: Final = msgspec.Raw()
NOTHING: Final = object()
"""The first responses of a sample that has none."""


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


def doc_hash(raw: Raw, logged: bytes) -> bytes:
    """Return lm-eval's hash of a document, from its JSON text.

    Args:
        raw: the document.
        logged: the hash on its line, as hexadecimal digits.  When indenting the text gives just
            that hash, it is the hash of the parsed document as well, and nothing is parsed.
    """
    try:
        quick = hashlib.sha256(msgspec.json.format(raw, indent=2))
    except (msgspec.DecodeError, RecursionError):
        pass
    else:
        if quick.hexdigest().encode() == logged:
            return quick.digest()
    return json_exact.doc_hash(json_exact.loads(bytes(raw)))


def target_content(raw: Raw) -> tuple[bytes, Columns, bytes]:
    """Return a target's key and columns, and lm-eval's hash of it (SHA-256 of `str(target)`)."""
    text = bytes(raw)
    if text.startswith(b'"'):
        target = value_of(raw)
        key = text_key(target)
        return key, text_columns(target), key
    hash_ = json_exact.text_hash(str(value_of(raw)))
    return json_key(text), (True, text.decode(), None), hash_


def response_content(raw: Raw) -> tuple[bytes, Columns, Any]:
    """Return the key and columns of a sample's responses, and the first of each request.

    Exactly one request, one repeat and a string is kept as plain text, all else as JSON.
    """
    text = bytes(raw)
    first: Any = NOTHING
    try:
        if text.startswith(b"[[["):
            first = [repeats[0] for repeats in _likelihoods(text)]
        else:
            responses = _generated(text)
            if len(responses) == len(responses[0]) == 1:
                response = responses[0][0]
                return text_key(response), text_columns(response), responses[0]
            first = [repeats[0] for repeats in responses]
    except (msgspec.DecodeError, RecursionError, IndexError):
        single = _single_text(text)
        if single is not None:
            return text_key(single), text_columns(single), [single]
    return json_key(text), (True, text.decode(), None), first


def _single_text(text: bytes) -> str | None:
    """Return the string in `[["…"]]` that only Python's `json` can parse, else None."""
    if not text.startswith(b'[["'):
        return None
    match json_exact.loads(text):
        case [[str(single)]]:
            return single
    return None


def filtered_content(raw: Raw, first: Any) -> Columns | None:  # noqa: ANN401 - as logged
    """Return the columns of a sample's filtered responses.

    None stands for "just the first response of each request", which takes no row.

    Args:
        raw: the field `filtered_resps`.
        first: what `response_content` gave.
    """
    text = bytes(raw)
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


class Requests:
    """Turns logged arguments into requests.

    Attributes:
        contexts: the contexts of all requests that were read since `clear`, by key.
    """

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.contexts: dict[bytes, Columns] = {}
        self._canonical_rests: dict[bytes, bool] = {}

    def clear(self) -> None:
        """Forget the contexts, which are in the store by now."""
        self.contexts.clear()
        if len(self._canonical_rests) > MAX_RESTS:
            self._canonical_rests.clear()

    def read(self, raw: Raw, raw_hash: bytes) -> tuple[bytes, NewRequest]:
        """Return the identity of some arguments, and what to store if it is new.

        Args:
            raw: the field `arguments`.
            raw_hash: the SHA-256 of that text, which is the identity if the text is canonical.
        """
        try:
            request = self._as_it_stands(raw)
        except (msgspec.DecodeError, RecursionError):
            request = None
        if request is not None:
            return raw_hash, request
        return self._parsed(json_exact.loads(bytes(raw)))

    def _as_it_stands(self, raw: Raw) -> NewRequest | None:
        """Read arguments by their spans; None unless writing them again gives the same text."""
        fragments: list[Raw | bytes] = [b"{"]
        parts = []
        last, context = EMPTY, b""
        for index, part in enumerate(_parts_of(raw).values()):
            spans = list(part.values())
            if not spans:
                return None
            if spans[0] != last:
                last, context = spans[0], self._context(bytes(spans[0]))
            rests = [bytes(span) for span in spans[1:]]
            if not context or not all(map(self._is_canonical, rests)):
                return None
            parts.append(NewPart(context, f"[{b', '.join(rests).decode()}]"))
            fragments.append(b'%b"gen_args_%d": {"arg_0": ' % (b", " if index else b"", index))
            fragments.append(last)
            fragments += [b', "arg_%d": %b' % pair for pair in enumerate(rests, 1)]
            fragments.append(b"}")
        fragments.append(b"}")
        if b"".join(fragments) != bytes(raw):
            return None
        return NewRequest(self._prompt_hash(parts), None, tuple(parts))

    def _is_canonical(self, span: bytes) -> bool:
        """Tell whether a span is what `json.dumps` writes."""
        if span.startswith(b'"'):
            return b"\\" not in span or _encode(_string(span)) == span
        known = self._canonical_rests.get(span)
        if known is None:
            known = json_exact.dumps(json_exact.loads(span)).encode() == span
            if len(span) <= MAX_REST_BYTES:
                self._canonical_rests[span] = known
        return known

    def _context(self, span: bytes) -> bytes:
        """Keep a context, return its key; b"" when it is not written as `json.dumps` does."""
        if span.startswith(b'"'):
            text = _string(span)
            if _encode(text) != span:  # the same as `json.dumps` for every character
                return b""
            key = text_key(text)
            self.contexts[key] = text_columns(text)
            return key
        if not self._is_canonical(span):
            return b""
        key = json_key(span)
        self.contexts[key] = (True, span.decode(), None)
        return key

    def _prompt_hash(self, parts: list[NewPart]) -> bytes | None:
        """Return lm-eval's `prompt_hash`: of the first context, or of the one text in its list."""
        if not parts:
            return None
        is_json, text, _ = self.contexts[parts[0].context]
        if not is_json:
            return parts[0].context
        match json_exact.loads(text):
            case [str(prompt)]:
                return json_exact.text_hash(prompt)
        return None

    def _parsed(self, value: Any) -> tuple[bytes, NewRequest]:  # noqa: ANN401 - any JSON value
        """Read arguments by parsing them, whatever they are."""
        hash_ = json_exact.text_hash(json_exact.dumps(value))
        lists = argument_lists(value)
        if not isinstance(value, dict) or lists is value or not all(lists):
            return hash_, NewRequest(None, storable_json(value), ())
        parts = []
        for context, *rest in lists:
            if isinstance(context, str):
                key = text_key(context)
                self.contexts[key] = text_columns(context)
            else:
                text = storable_json(context)
                key = json_key(text.encode())
                self.contexts[key] = (True, text, None)
            parts.append(NewPart(key, storable_json(rest)))
        return hash_, NewRequest(self._prompt_hash(parts), None, tuple(parts))


MAX_RESTS: Final = 1000
MAX_REST_BYTES: Final = 1000


def storable_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return JSON text that any database can hold: lone surrogates as escapes."""
    text = json_exact.dumps(value)
    return json_exact.escaped(value) if json_exact.UNSTORABLE.search(text) else text
