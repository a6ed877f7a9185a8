"""A samples file as fast as it can be read: each line in two parts.

lm-eval writes a line's `doc_id`, `doc`, `target` and `arguments` first.  This *head* is what was
asked, and no model has a part in it: a hash of it (see `key_of`) finds it in the store without
parsing a byte.  What follows, from `resps` on, is the *answer*; it is a tenth of the line, and
all that is parsed of most lines.

A line that does not look so is read as a whole by `lines`, and its key is made from its fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final

import msgspec

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import (
    BOM,
    LogLine,
    check_encoding,
    parse_line,
    too_long,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rescore_db.harness_log.lines import Digest

HEAD: Final = ("doc_id", "doc", "target", "arguments")
ANSWER: Final = b', "resps": '
HASHES: Final = ("doc_hash", "prompt_hash", "target_hash")
NO_HASH: Final = msgspec.Raw()
CHUNK: Final = 1 << 20
DIGEST_KIND: Final = b"\x01"
"""The first byte of a file's digest: made by `RecordDigest`."""

OnBad = Callable[[int, str, int, bytes], None]
"""Is told of a line left out: (number, reason, its length in bytes, its text or how it begins)."""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Record(msgspec.Struct, gc=False):
    """One record of a samples file.

    Attributes:
        number: 1-based line number, blank lines counted.
        text: the line as it stands in the file, with its line end.
        key: identifies head and logged hashes, 32 bytes.
        fields: field → its JSON text, in the line's order; of the answer alone where `cut`.
        cut: where the answer begins in `text`; 0 where the line is not split.
    """

    number: int
    text: bytes
    key: bytes
    fields: dict[str, msgspec.Raw]
    cut: int

    def line(self) -> LogLine:
        """Return the line with all its fields."""
        if not self.cut:
            return LogLine(self.number, self.text, self.fields)
        try:
            fields = {**_decode(self.text[: self.cut] + b"}"), **self.fields}
        except (msgspec.DecodeError, RecursionError):  # NaN, say, in a head that is known by now
            fields = parse_line(self.text.removeprefix(BOM), "", self.number)
        return LogLine(self.number, self.text, fields)


class RecordDigest:
    """Tells whether two samples files have the same content, at little more than their answers.

    It is the SHA-256 over all lines: of a split line its key and its answer, of any other the
    SHA-256 of the whole line; `DIGEST_KIND` stands in front.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._hash = hashlib.sha256()
        self.update = self._hash.update

    def digest(self) -> bytes:
        """Return the digest of what came so far, 33 bytes."""
        return DIGEST_KIND + self._hash.digest()


def read_records(
    stream: IO[bytes],
    *,
    file: str,
    max_bytes: int,
    digest: Digest,
    on_bad: OnBad | None = None,
) -> Iterator[Record]:
    r"""Yield the records of a samples file; lines end at `\n` only, blank ones are passed over.

    Args:
        stream: the file's content, uncompressed.
        file: its name for messages.
        max_bytes: the longest line that is read.
        digest: is given the content, if the file is read to its end.
        on_bad: is told of lines that cannot be read, in place of an error.

    Raises:
        LogFormatError: a line is too long, not UTF-8, not JSON or not an object.
    """
    readline, update = stream.readline, digest.update
    number = 0
    while text := readline(max_bytes + 1):
        number += 1
        if len(text) > max_bytes:
            size = _pass_over(stream, text, digest) if on_bad else 0
            _refuse(LogFormatError(file, number, too_long(max_bytes)), size, text, on_bad)
            continue
        record = split_line(number, text)
        if record is not None:
            update(record.key)
            update(text[record.cut :])
            yield record
            continue
        update(hashlib.sha256(text).digest())
        if text.isspace():
            continue
        try:
            record = whole_line(number, text, file)
        except LogFormatError as error:
            _refuse(error, len(text), text, on_bad)
        else:
            yield record


def _refuse(error: LogFormatError, size: int, text: bytes, on_bad: OnBad | None) -> None:
    """Tell of a bad line whoever wants to know; else it is an error."""
    if on_bad is None:
        raise error
    on_bad(error.line or 0, error.message, size, text)


def _pass_over(stream: IO[bytes], text: bytes, digest: Digest) -> int:
    """Read to the end of a line that is too long; return its length in bytes."""
    size = 0
    while text:
        size += len(text)
        digest.update(text)
        if text.endswith(b"\n"):
            break
        text = stream.readline(CHUNK)
    return size


def split_line(number: int, text: bytes) -> Record | None:
    """Split a line; None unless it surely is as lm-eval writes it.

    The head is not parsed: whoever does not find its key in the store has to.
    """
    cut = text.rfind(ANSWER)
    if cut <= 0:
        return None
    answer = b"{" + text[cut + 2 :]
    if not answer.isascii() and not _is_utf8(answer):
        return None
    try:
        fields = _decode(answer)
    except (msgspec.DecodeError, RecursionError):
        return None
    if "doc" in fields or "doc_id" in fields or "target" in fields or "arguments" in fields:
        return None
    get = fields.get
    hashes = get("doc_hash", NO_HASH), get("prompt_hash", NO_HASH), get("target_hash", NO_HASH)
    key = hashlib.sha256(b"\n".join((text[:cut], *hashes))).digest()
    return Record(number, text, key, fields, cut)


def whole_line(number: int, text: bytes, file: str) -> Record:
    """Read a line with all its fields.

    Raises:
        LogFormatError: it is not UTF-8, not JSON or not an object.
    """
    if number == 1 and text.startswith(BOM):
        text = text[len(BOM) :]
    return record_of(LogLine(number, text, parse_line(text, file, number)))


def record_of(line: LogLine, key: bytes | None = None) -> Record:
    """Return the record of a line that is parsed already; its key is made if it is not known."""
    return Record(line.number, line.text, key or key_of(line.fields), line.fields, 0)


def key_of(fields: dict[str, msgspec.Raw]) -> bytes:
    """Return the key of a line from its fields.

    It is the SHA-256 of the head as lm-eval writes it, without a closing brace, and the JSON text
    of each logged hash, each behind a newline; fields that are missing count as empty.
    """
    head = b", ".join(b'"%b": %b' % (name.encode(), fields.get(name, NO_HASH)) for name in HEAD)
    hashes = b"\n".join(fields.get(name, NO_HASH) for name in HASHES)
    return hashlib.sha256(b"{%b\n%b" % (head, hashes)).digest()


def checked(record: Record, file: str) -> Record:
    """Return a record whose key nobody knows, read as a whole unless it surely is split right.

    Raises:
        LogFormatError: the line is not UTF-8, or not JSON.
    """
    if not record.cut:
        return record
    if not record.text.isascii():
        check_encoding(record.text, file, record.number)
    try:
        fields = _decode(record.text[: record.cut] + b"}")
    except (msgspec.DecodeError, RecursionError):
        fields = {}
    is_split = tuple(fields) == HEAD
    return record if is_split else whole_line(record.number, record.text, file)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
