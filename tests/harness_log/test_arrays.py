from __future__ import annotations

import hashlib
import io
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescore_db.errors import LogFormatError
from rescore_db.harness_log import arrays
from rescore_db.harness_log.arrays import ArrayReader, read_array

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 1_000_000
texts = st.text(st.characters(), max_size=20) | st.sampled_from(
    ['a"b', "\\", "\\\\", "]}", '"}, {"', "\n  }", "\u2028", "\ud83d", "\udc00x", "\x00", "\\u0041"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(texts, values, max_size=4), max_size=4)


class Dripping(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a network may."""

    def __init__(self, raw: bytes, size: int) -> None:
        self._raw = io.BytesIO(raw)
        self._size = size

    def read(self, size: int = -1) -> bytes:
        del size
        return self._raw.read(self._size)


def read(raw: bytes, limit: int = LIMIT) -> list[dict[str, Any]]:
    stream = io.BytesIO(raw)
    return [parsed(line.fields) for line in read_array(stream, file="x", max_bytes=limit)]


def parsed(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: json.loads(bytes(raw)) for key, raw in fields.items()}


def text(value: Any) -> str:
    return json.dumps(value)


@given(
    content=records,
    indent=st.sampled_from([None, 0, 1, 2, 4, "\t"]),
    is_ascii=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n"]),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
@settings(max_examples=150, deadline=None)
def test_any_array_comes_out_element_by_element(
    content: list[dict[str, Any]], indent: Any, is_ascii: bool, ending: str, bom: bytes
) -> None:
    written = json.dumps(content, indent=indent, ensure_ascii=is_ascii)
    try:
        raw = bom + written.replace("\n", ending).encode()
    except UnicodeEncodeError:
        raw = json.dumps(content, indent=indent).encode()

    assert text(read(raw)) == text(content)


@given(content=records, size=st.integers(1, 7), indent=st.sampled_from([None, 2]))
@settings(max_examples=100, deadline=None)
def test_it_does_not_matter_how_the_bytes_arrive(
    content: list[dict[str, Any]], size: int, indent: int | None
) -> None:
    raw = json.dumps(content, indent=indent).encode()

    found = read_array(Dripping(raw, size), file="x", max_bytes=LIMIT)  # type: ignore[arg-type]

    assert text([parsed(line.fields) for line in found]) == text(content)


@given(content=records, end=st.integers(1, 400), indent=st.sampled_from([None, 2]))
@settings(max_examples=100, deadline=None)
def test_a_cut_array_is_never_taken_for_a_whole_one(
    content: list[dict[str, Any]], end: int, indent: int | None
) -> None:
    whole = json.dumps(content, indent=indent).encode()
    raw = whole[: max(1, len(whole) - end)]
    found: list[dict[str, Any]] = []

    with pytest.raises(LogFormatError, match="the file is cut"):
        found.extend(
            parsed(line.fields) for line in read_array(io.BytesIO(raw), file="x", max_bytes=LIMIT)
        )

    assert text(found) == text(content[: len(found)])


def test_fields_are_written_as_newer_releases_write_them() -> None:
    raw = b'[\n  {\n    "doc": {\n      "a": [\n        1,\n        2.50\n      ]\n    },\n'
    raw += b'    "target": "\\u00e9"\n  }\n]'

    (line,) = read_array(io.BytesIO(raw), file="x", max_bytes=LIMIT)

    assert bytes(line.fields["doc"]) == b'{"a": [1, 2.5]}'
    assert bytes(line.fields["target"]) == '"é"'.encode()
    assert json.loads(line.text) == {"doc": {"a": [1, 2.5]}, "target": "é"}


def test_numbers_are_those_of_the_lines_where_elements_begin() -> None:
    raw = json.dumps([{"a": 1, "b": 2}, {"a": 3}, {}], indent=2).encode()

    found = list(read_array(io.BytesIO(raw), file="x", max_bytes=LIMIT))

    assert [line.number for line in found] == [2, 6, 9]
    assert [raw.splitlines()[line.number - 1].strip(b", ") for line in found] == [b"{", b"{", b"{}"]


def test_what_only_python_reads_is_read_too() -> None:
    raw = b'[{"a": NaN, "b": -Infinity}, {"a": 1e16, "b": -0.0, "c": %d}]' % 10**69

    first, second = read(raw)

    assert math.isnan(first["a"])
    assert first["b"] == -math.inf
    assert repr(second) == "{'a': 1e+16, 'b': -0.0, 'c': 1%s}" % ("0" * 69)


@pytest.mark.parametrize("raw", [b"", b"  \n", b"[]", b"[\n]\n", b"\xef\xbb\xbf[ ]"])
def test_an_empty_array_has_no_records(raw: bytes) -> None:
    assert read(raw) == []


@pytest.mark.parametrize(
    ("raw", "number", "words"),
    [
        (b'{"a": 1}', 1, "no JSON array"),
        ("[]".encode("utf-16"), 1, "no JSON array"),
        (b'[\n  {"a": 1}\n  {"a": 2}\n]', 3, "no comma"),
        (b'[\n  {"a": 1},\n]', 3, "no element follows the comma"),
        (b'[\n  {"a": 1}\n]\n[]', 4, "goes on behind"),
        (b'[\n  {"a": 1},\n  3\n]', 3, "is an object"),
        (b'[\n  {"a": 1},\n  [1]\n]', 3, "this one is a list"),
        (b'[\n  {"a": 1},\n  {\n    "a": nan\n  }\n]', 3, r"line 4, column 10"),
        (b'[\n  {"a": 1},\n  {\n    "a": 1', 3, "the file is cut"),
        (b'[\n  {"a": 1},\n', 3, "the file is cut"),
        (b'[\n  {"a": "\xe9"}\n]', 2, "UTF-8"),
        (b'[\n  {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}\n]", 2, "too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(raw: bytes, number: int, words: str) -> None:
    with pytest.raises(LogFormatError, match=words) as caught:
        read(raw)

    assert caught.value.line == number
    assert "x" in str(caught.value)


@pytest.mark.parametrize("indent", [None, 2])
def test_an_element_over_the_limit_is_refused_before_it_is_held(indent: int | None) -> None:
    stream = io.BytesIO(json.dumps([{"a": 1}, {"a": "x" * 10_000_000}], indent=indent).encode())
    reader = ArrayReader(stream, file="x", max_bytes=1000)
    next(reader)

    with pytest.raises(LogFormatError, match=r"longer than 0\.001 MB.*RESCORE_MAX_LINE_MB"):
        next(reader)

    assert stream.tell() < 3 * arrays.CHUNK


def test_reading_goes_on_behind_an_element_that_is_no_record() -> None:
    raw = b'[{"a": 1}, [2], {"a": nan}, {"a": 4}]'
    reader = ArrayReader(io.BytesIO(raw), file="x", max_bytes=LIMIT)
    found: list[Any] = []

    while True:
        try:
            found.append(parsed(next(reader).fields))
        except LogFormatError:
            found.append(None)
        except StopIteration:
            break

    assert found == [{"a": 1}, None, None, {"a": 4}]


def test_the_digest_is_that_of_the_file() -> None:
    raw, digest = json.dumps([{"a": 1}] * 50_000, indent=2).encode(), hashlib.sha256()

    found = list(read_array(io.BytesIO(raw), file="x", max_bytes=LIMIT, digest=digest))

    assert len(found) == 50_000
    assert digest.digest() == hashlib.sha256(raw).digest()


@pytest.mark.parametrize("indent", [None, 2])
def test_memory_does_not_grow_with_the_file(indent: int | None) -> None:
    import tracemalloc

    element = json.dumps([{"doc": {"text": "word " * 500}, "n": [1] * 50}], indent=indent).encode()
    inside = element.strip()[1:-1]

    def chunks() -> Iterator[bytes]:
        yield b"[" + inside
        for _ in range(8000):
            yield b"," + inside
        yield b"\n]" if indent else b"]"

    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self._chunks = chunks()

        def read(self, size: int = -1) -> bytes:
            del size
            return next(self._chunks, b"")

    tracemalloc.start()
    reader = read_array(Endless(), file="x", max_bytes=LIMIT)  # type: ignore[arg-type]
    count = sum(1 for _ in reader)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert count == 8001
    assert peak < 2_000_000


def test_a_string_of_escapes_takes_no_long(tmp_path: Path) -> None:
    content = [{"a": '\n"\\' * 700_000}]
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(content))

    with path.open("rb") as stream:
        (line,) = read_array(stream, file="x", max_bytes=10_000_000)

    assert parsed(line.fields) == content[0]
