from __future__ import annotations

import hashlib
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import (
    LogLine,
    read_lines,
    value_of,
)

LIMIT = 1_000_000

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def lines_of(raw: bytes, limit: int = LIMIT) -> list[LogLine]:
    return list(read_lines(io.BytesIO(raw), file="f.jsonl", max_bytes=limit))


def parsed(line: LogLine) -> dict[str, Any]:
    return {key: value_of(raw) for key, raw in line.fields.items()}


def error_of(raw: bytes, limit: int = LIMIT) -> LogFormatError:
    with pytest.raises(LogFormatError) as caught:
        lines_of(raw, limit)
    assert caught.value.file == "f.jsonl"
    return caught.value


def test_fields_stay_as_they_stand() -> None:
    (line,) = lines_of(b'{"a": {"x" :1e5 }, "b": "\\u00e9"}\n')

    assert {key: bytes(raw) for key, raw in line.fields.items()} == {
        "a": b'{"x" :1e5 }',
        "b": b'"\\u00e9"',
    }
    assert line.number == 1
    assert line.json() == '{"a": {"x" :1e5 }, "b": "\\u00e9"}'


def test_lines_end_at_newlines_only() -> None:
    text = "\u2028\u2029\x85\x0b"
    raw = json.dumps({"a": text.replace("\x0b", "")}, ensure_ascii=False).encode()

    assert len(lines_of(raw + b"\n" + raw)) == 2


def test_blank_lines_crlf_and_a_byte_order_mark_are_passed_over() -> None:
    found = lines_of(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}\n\n')

    assert [line.number for line in found] == [1, 4]
    assert [parsed(line) for line in found] == [{"a": 1}, {"a": 2}]


def test_every_byte_reaches_the_digest() -> None:
    raw = b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": 2}'
    digest = hashlib.sha256()

    list(read_lines(io.BytesIO(raw), file="f", max_bytes=LIMIT, digest=digest))

    assert digest.digest() == hashlib.sha256(raw).digest()


def test_what_only_python_reads_is_read() -> None:
    raw = b'{"n": [NaN, -Infinity], "s": "\\ud83d", "i": 123456789012345678901234567890, "z": -0.0}'
    (line,) = lines_of(raw)
    found = parsed(line)

    assert math.isnan(found["n"][0])
    assert found["s"] == "\ud83d"
    assert found["i"] == 123456789012345678901234567890
    assert math.copysign(1, found["z"]) == -1
    for span in line.fields.values():
        assert bytes(span).decode()  # every span is UTF-8


@given(st.dictionaries(st.text(), values, max_size=4))
def test_any_line_that_python_writes_comes_back(value: dict[str, Any]) -> None:
    raw = json.dumps(value, ensure_ascii=False)
    try:
        encoded = raw.encode()
    except UnicodeEncodeError:  # lone surrogates can only be written as escapes
        encoded = json.dumps(value).encode()

    (line,) = lines_of(encoded + b"\n")

    back = parsed(line)
    assert json.dumps(back) == json.dumps(value)
    assert list(back) == list(value)


@pytest.mark.parametrize(
    ("raw", "number", "words"),
    [
        (b'{"a": 1}\n{"a": \n{"a": 2}\n', 2, "not valid JSON"),
        (b'{"a": 1}\n{"a": "cut', 2, "ends in the middle"),
        (b'{"a": 1}\n[1, 2]\n', 2, "a JSON object, this one is a list"),
        (b'{"a": 1}\n{"a": "\xe9"}\n', 2, "UTF-8"),
        ('{"a": 1}\n'.encode("utf-16"), 1, "UTF-8"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 1, "nested too deeply"),
        (b'{"a": 1} {"a": 2}\n', 1, "not valid JSON"),
    ],
)
def test_a_bad_line_names_its_number_and_what_to_do(raw: bytes, number: int, words: str) -> None:
    error = error_of(raw)

    assert error.line == number
    assert words in error.message


def test_a_line_over_the_limit_is_refused_before_it_is_read_whole() -> None:
    error = error_of(b'{"a": 1}\n{"a": "' + b"x" * 200 + b'"}\n', limit=100)

    assert error.line == 2
    assert "RESCORE_MAX_LINE_MB" in error.message
    assert lines_of(b'{"a": 1}\n', limit=9)
