"""A samples file that is one JSON array, as lm-eval 0.4.0 to 0.4.2 wrote it, element by element.

The file is never held as a whole.  lm-eval's own layout shows where an element may end: what
parses up to there is the element.  In any other layout brackets are counted.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import BOM, LogLine, check_encoding
from rescore_db.harness_log.written import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rescore_db.harness_log.lines import Digest

CHUNK: Final = 1 << 18  # bytes read at a time, more while an element goes on
BLANKS: Final = re.compile(rb"[ \t\r\n]*+")
BRACKET: Final = re.compile(
    rb'(?:[^"\[\]{}]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([\[\]{}"])', re.DOTALL
)
"""The next bracket outside strings; a quote begins a string that goes on behind the buffer."""

OPENING: Final = frozenset(b"[{")
CLOSE: Final = ord("]")
COMMA: Final = ord(",")
QUOTE: Final = ord('"')
INDENT: Final = b"\n  "
"""What lm-eval writes before an element's first and last bracket; no string holds a line's end."""

LAST: Final = INDENT + b"}"
CUT: Final = (
    "the array has no end: the file is cut, as when a run is killed while writing: copy it again, "
    "or close the array with ] behind its last whole element"
)
SHOWN: Final = 20  # bytes of what stands in the way

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class ArrayReader:
    """The records of a samples file that is one JSON array, in constant memory.

    An element that is no record raises when its turn comes; reading may go on behind it.  Where
    the array itself is broken nothing can be read any more.

    Attributes:
        text: the element that was read last, also if it is no record.
    """

    def __init__(
        self, stream: IO[bytes], *, file: str, max_bytes: int, digest: Digest | None = None
    ) -> None:
        """Prepare to read.

        Args:
            stream: the file's content, uncompressed.
            file: its name for messages.
            max_bytes: the longest element that is read.
            digest: is given every byte of the file, if the file is read to its end.
        """
        self.text = b""
        self._file = file
        self._elements = _Splitter(stream, file, max_bytes, digest).elements()

    def __iter__(self) -> Iterator[LogLine]:
        """Return the reader."""
        return self

    def __next__(self) -> LogLine:
        """Return the next record; its number is that of the line in which the element begins.

        Raises:
            LogFormatError: the element is no object or not UTF-8, or the array is broken.
        """
        self.text = b""
        number, self.text, fields = next(self._elements)
        if fields is None:
            fields = element_fields(self.text, self._file, number)
        return LogLine(number, self.text, fields)


def read_array(
    stream: IO[bytes], *, file: str, max_bytes: int, digest: Digest | None = None
) -> Iterator[LogLine]:
    """Return an iterator over the records of a samples file that is one JSON array.

    See `ArrayReader` for arguments and errors.
    """
    return ArrayReader(stream, file=file, max_bytes=max_bytes, digest=digest)


def element_fields(text: bytes, file: str, number: int) -> dict[str, msgspec.Raw]:
    """Return field → JSON text of an element, in one line, as newer releases of lm-eval write it.

    Raises:
        LogFormatError: it is not UTF-8, not JSON or not an object.
    """
    if not text.isascii():
        check_encoding(text, file, number)
    fields = _quick_fields(text)
    if fields is not None:
        return fields
    try:
        values = json_exact.loads(text)
    except ValueError as error:
        raise LogFormatError(file, number, _what_is_wrong(error, number)) from None
    if not isinstance(values, dict):
        message = (
            f"an element of lm-eval's array is an object, this one is a {type(values).__name__}: "
            "mend or remove it"
        )
        raise LogFormatError(file, number, message)
    try:
        return _written(values)
    except RecursionError:
        message = "nested too deeply to be read: mend or remove the element"
        raise LogFormatError(file, number, message) from None


def _quick_fields(text: bytes) -> dict[str, msgspec.Raw] | None:
    """Return field → JSON text where no escape makes that text another one than today's."""
    if b"\\u" in text:
        return None
    try:
        return _decode(msgspec.json.format(text, indent=0))
    except (msgspec.DecodeError, RecursionError):
        return None


def _escaped_fields(text: bytes) -> dict[str, msgspec.Raw] | None:
    """Return field → JSON text of what may be a whole element with escapes."""
    try:
        values = json_exact.loads(text)
        return _written(values) if isinstance(values, dict) else None
    except (ValueError, RecursionError):
        return None


def _written(values: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return {key: msgspec.Raw(encoded(json_exact.dumps(value))) for key, value in values.items()}


def _what_is_wrong(error: ValueError, number: int) -> str:
    line, column = getattr(error, "lineno", None), getattr(error, "colno", None)
    where = "" if line is None else f" at line {number + line - 1}, column {column}"
    reason = getattr(error, "msg", None) or str(error)
    return f"not valid JSON{where} ({reason}): mend or remove the element that begins here"


class _Splitter:
    """Finds where the elements of an array begin and end."""

    def __init__(self, stream: IO[bytes], file: str, max_bytes: int, digest: Digest | None) -> None:
        self._stream = stream
        self._file = file
        self._max_bytes = max_bytes
        self._digest = digest
        self._buffer = b""
        self._at = 0  # in the buffer; what is before it is done with
        self._line = 1  # of that place in the file

    def elements(self) -> Iterator[tuple[int, bytes, dict[str, msgspec.Raw] | None]]:
        """Yield the number of its first line and the text of each element, its fields if known.

        Raises:
            LogFormatError: the file is no array, is cut or goes on behind it, or an element is
                longer than the limit.
        """
        if not self._open():
            return
        opened = self._at
        byte = self._next()
        is_indented = self._buffer[opened : self._at] == INDENT
        while byte != CLOSE:
            self._check_opening(byte)
            line = self._line
            found = self._indented_element() if is_indented else None
            if found is None:
                found = self._element(), None
                is_indented = is_indented and found[0].endswith(LAST)
            yield (line, *found)
            byte = self._next()
            if byte == COMMA:
                self._advance(self._at + 1)
                byte = self._next()
                if byte == CLOSE:
                    self._refuse("no element follows the comma")
            elif byte not in {CLOSE, None}:
                self._refuse("no comma between two elements")
        self._advance(self._at + 1)
        if self._next() is not None:
            self._refuse("the file goes on behind the end of the array")

    def _open(self) -> bool:
        """Step behind the opening bracket; False if the file holds nothing."""
        self._more()
        if self._buffer.startswith(BOM):
            self._at = len(BOM)
        byte = self._next()
        if byte is None:
            return False
        if byte != ord("["):
            self._refuse("the file is no JSON array")
        self._advance(self._at + 1)
        return True

    def _refuse(self, what: str) -> NoReturn:
        shown = self._buffer[self._at : self._at + SHOWN]
        message = f"{what}, here stands {shown!r}: mend the file, or copy it again"
        raise LogFormatError(self._file, self._line, message)

    def _advance(self, to: int) -> None:
        self._line += self._buffer.count(b"\n", self._at, to)
        self._at = to

    def _more(self) -> bool:
        """Read on, twice as far each time while an element goes on; False at the file's end."""
        left = self._buffer[self._at :]
        chunk = self._stream.read(max(CHUNK, len(left)))
        if self._digest is not None:
            self._digest.update(chunk)
        self._buffer, self._at = left + chunk, 0
        return bool(chunk)

    def _next(self) -> int | None:
        """Step to the next byte that is not blank and return it, None at the file's end."""
        while True:
            blanks = BLANKS.match(self._buffer, self._at)
            self._advance(blanks.end() if blanks else self._at)
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return None

    def _indented_element(self) -> tuple[bytes, dict[str, msgspec.Raw] | None] | None:
        """Take the element that ends where lm-eval's layout has its last bracket, if it does."""
        scanned = 0
        while (end := self._buffer.find(LAST, self._at + scanned)) < 0:
            scanned = max(0, len(self._buffer) - self._at - len(LAST))
            if scanned > self._max_bytes or not self._more():
                return None
        end += len(LAST)
        text = self._buffer[self._at : end]
        if len(text) > self._max_bytes or not (text.isascii() or _is_utf8(text)):
            return None
        fields = _escaped_fields(text) if b"\\u" in text else _quick_fields(text)
        if fields is None:
            return None
        self._advance(end)
        return text, fields

    def _check_opening(self, byte: int | None) -> None:
        if byte is None:
            raise LogFormatError(self._file, self._line, CUT)
        if byte not in OPENING:
            self._refuse("an element of lm-eval's array is an object")

    def _element(self) -> bytes:
        """Step behind the element that begins here and return it."""
        depth, scanned = 0, 0  # `scanned`: bytes of the element that need no second look
        while True:
            # Not `finditer`: it would search on inside a string that the buffer cuts.
            while found := BRACKET.match(self._buffer, self._at + scanned):
                bracket = self._buffer[found.end() - 1]
                if bracket == QUOTE:
                    break
                depth += 1 if bracket in OPENING else -1
                if not depth:
                    return self._taken(found.end())
                scanned = found.end() - self._at
            if len(self._buffer) - self._at > self._max_bytes:
                self._refuse_long()
            if not self._more():
                raise LogFormatError(self._file, self._line, CUT)

    def _taken(self, end: int) -> bytes:
        text = self._buffer[self._at : end]
        if len(text) > self._max_bytes:
            self._refuse_long()
        self._advance(end)
        return text

    def _refuse_long(self) -> NoReturn:
        message = (
            f"the element that begins in this line is longer than {self._max_bytes / 1e6:g} MB: "
            "remove it, or raise the limit by RESCORE_MAX_LINE_MB"
        )
        raise LogFormatError(self._file, self._line, message)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
