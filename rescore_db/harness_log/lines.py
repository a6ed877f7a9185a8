"""A samples file, line by line, with its fields left as the JSON text that they are.

The fast path never parses a document, a prompt or a response: msgspec finds where each field of
a line begins and ends.  It refuses what only Python's `json` accepts (NaN, Infinity, escaped lone
surrogates); such a line is parsed by Python and its fields are written out again, so that
whoever reads `LogLine.fields` need not know.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import msgspec

from rescore_db import json_exact
from rescore_db.errors import LogFormatError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

BOM: Final = b"\xef\xbb\xbf"
SURROGATE: Final = re.compile("[\ud800-\udfff]")
FIELDS: Final = frozenset({
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
    "doc_hash", "prompt_hash", "target_hash",
})  # fmt: skip
"""What lm-eval writes on each line beside the metrics' values."""

REQUIRED: Final = ("doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics")
"""Without these a line cannot be stored; `filter` and `metrics` came with lm-eval 0.4.7."""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


class Digest(Protocol):
    """What `hashlib` makes."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""


class LogLine(msgspec.Struct, gc=False):
    """One record of a samples file.

    Attributes:
        number: 1-based line number, blank lines counted.
        text: the line as it stands in the file, valid UTF-8, with its line end.
        fields: field → its JSON text, in the line's order.
    """

    number: int
    text: bytes
    fields: dict[str, msgspec.Raw]

    def json(self) -> str:
        """Return the whole line as JSON text, without the line's end."""
        return self.text.decode().strip()


def value_of(raw: msgspec.Raw | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse one field's JSON text, exactly as Python's `json` would.

    Raises:
        ValueError: it cannot be held: nested too deeply, or an integer of thousands of digits.
    """
    try:
        return _decode_any(raw)
    except (msgspec.DecodeError, RecursionError):
        return json_exact.loads(bytes(raw))


def read_lines(
    stream: IO[bytes], *, file: str, max_bytes: int, digest: Digest | None = None
) -> Iterator[LogLine]:
    r"""Yield the records of a samples file; lines end at `\n` only, blank ones are passed over.

    Args:
        stream: the file's content, uncompressed.
        file: its name for messages.
        max_bytes: the longest line that is read.
        digest: is given every byte of the file, if the file is read to its end.

    Raises:
        LogFormatError: a line is too long, not UTF-8, not JSON or not an object.
    """
    readline = stream.readline
    number = 0
    while text := readline(max_bytes + 1):
        number += 1
        if digest is not None:
            digest.update(text)
        if number == 1 and text.startswith(BOM):
            text = text[len(BOM) :]
        if len(text) > max_bytes:
            raise LogFormatError(file, number, too_long(max_bytes))
        if not text.isspace():
            yield LogLine(number, text, parse_line(text, file, number))


def parse_line(text: bytes, file: str, number: int) -> dict[str, msgspec.Raw]:
    """Return field → JSON text of a line.

    Raises:
        LogFormatError: it is not UTF-8, not JSON or not an object.
    """
    if not text.isascii():
        check_encoding(text, file, number)
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _parse_exactly(text, file, number)


def too_long(max_bytes: int) -> str:
    """Say that a line is longer than the limit, and what to do."""
    return (
        f"the line is longer than {max_bytes / 1e6:g} MB: remove it, or raise the limit "
        "by RESCORE_MAX_LINE_MB"
    )


def check_fields(fields: Collection[str], number: int, file: str) -> None:
    """Refuse a line that lacks a field that every line of lm-eval 0.4.7 or newer has.

    Raises:
        LogFormatError: naming the fields that are missing.
    """
    missing = [name for name in REQUIRED if name not in fields]
    if missing:
        message = f"no {', '.join(missing)}: not a line that lm-eval wrote; mend or remove it"
        raise LogFormatError(file, number, message)


def refuse_unstorable(names: Iterable[str], file: str, number: int | None) -> None:
    """Refuse names with characters that no database's text column holds.

    Raises:
        LogFormatError: naming the first; `number` is its line, None where the whole file is meant.
    """
    for name in names:
        if json_exact.UNSTORABLE.search(name):
            message = f"the name {name!r} holds a character that no database holds: mend it"
            raise LogFormatError(file, number, message)


def check_encoding(text: bytes, file: str, number: int) -> None:
    """Check UTF-8, which msgspec does not do inside the fields that it leaves alone.

    Raises:
        LogFormatError: naming the byte, and what to do.
    """
    try:
        text.decode()
    except UnicodeDecodeError as error:
        message = (
            f"byte {error.start + 1} of the line is not UTF-8, the encoding that lm-eval writes: "
            "convert the file, for instance with iconv -f ISO-8859-1 -t UTF-8"
        )
        raise LogFormatError(file, number, message) from None


def _parse_exactly(text: bytes, file: str, number: int) -> dict[str, msgspec.Raw]:
    """Parse a line with Python's `json` and write each field out again."""
    try:
        values = json_exact.loads(text)
        if isinstance(values, dict):
            return {key: msgspec.Raw(span_of(value)) for key, value in values.items()}
    except (ValueError, RecursionError) as error:
        raise LogFormatError(file, number, _what_is_wrong(text, error)) from None
    message = (
        f"a line of lm-eval is a JSON object, this one is a {type(values).__name__}: "
        "mend or remove the line"
    )
    raise LogFormatError(file, number, message)


def span_of(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Write a value as lm-eval does, but with lone surrogates escaped, so that it is UTF-8."""
    text = json_exact.dumps(value)
    return SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _what_is_wrong(text: bytes, error: Exception) -> str:
    """Say why a line cannot be parsed, and what to do."""
    if isinstance(error, RecursionError):
        return "nested too deeply to be read: mend or remove the line"
    if not text.endswith(b"\n") and not text.rstrip().endswith(b"}"):
        return (
            "the file ends in the middle of this line, as when a run is killed while writing: "
            "remove the line, or copy the file again"
        )
    column = getattr(error, "colno", None)
    where = f" at column {column}" if column else ""
    reason = getattr(error, "msg", None) or str(error)
    return f"not valid JSON{where} ({reason}): mend or remove the line"
