from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import read_lines
from rescore_db.harness_log.records import (
    DIGEST_KIND,
    Record,
    RecordDigest,
    checked,
    key_of,
    read_records,
)

if TYPE_CHECKING:
    import msgspec

LIMIT = 100_000
HASHES = {"doc_hash": "d" * 64, "prompt_hash": "p" * 64, "target_hash": "t" * 64}
LINE: dict[str, Any] = {
    "doc_id": 3,
    "doc": {"question": "two?", "resps": [["a trap"]]},
    "target": "2",
    "arguments": {"gen_args_0": {"arg_0": 'Say ", "resps": ', "arg_1": {"until": ["\n"]}}},
    "resps": [["two é"]],
    "filtered_resps": ["two"],
    "filter": "none",
    "metrics": ["acc"],
    **HASHES,
    "acc": 1.0,
}


def raw(line: dict[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def records_of(content: bytes, digest: RecordDigest | None = None) -> list[Record]:
    return list(
        read_records(
            io.BytesIO(content), file="f", max_bytes=LIMIT, digest=digest or RecordDigest()
        )
    )


def digest_of(content: bytes) -> bytes:
    digest = RecordDigest()
    records_of(content, digest)
    return digest.digest()


def parsed(fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
    return {name: json.loads(bytes(value)) for name, value in fields.items()}


def test_a_line_of_lm_eval_is_split_before_its_responses() -> None:
    (record,) = records_of(raw(LINE))

    assert record.cut
    assert next(iter(record.fields)) == "resps"
    assert parsed(record.line().fields) == LINE
    assert list(record.line().fields) == list(LINE)
    assert checked(record, "f") is record


def test_the_key_is_made_of_head_and_logged_hashes() -> None:
    (record,) = records_of(raw(LINE))

    head = {name: LINE[name] for name in ("doc_id", "doc", "target", "arguments")}
    text = json.dumps(head, ensure_ascii=False)[:-1] + "\n"
    text += "\n".join(json.dumps(value) for value in HASHES.values())
    assert record.key == hashlib.sha256(text.encode()).digest()
    assert record.key == key_of(record.line().fields)


def test_the_key_knows_nothing_of_the_answer() -> None:
    other = LINE | {"resps": [["three"]], "filtered_resps": ["3"], "acc": 0.0, "filter": "x"}

    (one, two) = records_of(raw(LINE) + raw(other))

    assert one.key == two.key
    assert records_of(raw(LINE | {"target_hash": "0" * 64}))[0].key != one.key
    assert records_of(raw(LINE | {"doc_id": 4}))[0].key != one.key
    bare = {name: value for name, value in LINE.items() if name not in HASHES}
    keys = {records_of(raw(bare | {name: "0" * 64}))[0].key for name in HASHES}
    assert len(keys) == 3, "which hash it is counts"


NOT_SPLIT = {
    "another order": raw(dict(sorted(LINE.items()))),
    "no space": json.dumps(LINE, separators=(",", ":")).encode() + b"\n",
    "NaN in the answer": raw(LINE | {"acc": float("nan")}),
    "a document that repeats a field behind the answer": raw(LINE)[:-2] + b', "doc": {}}\n',
    "no answer": b'{"doc": {}}\n',
}


@pytest.mark.parametrize("name", NOT_SPLIT)
def test_another_line_is_read_as_a_whole(name: str) -> None:
    (record,) = records_of(NOT_SPLIT[name])
    record = checked(record, "f")

    assert not record.cut
    (line,) = read_lines(io.BytesIO(NOT_SPLIT[name]), file="f", max_bytes=LIMIT)
    assert {k: bytes(v) for k, v in record.fields.items()} == {
        k: bytes(v) for k, v in line.fields.items()
    }


def test_a_byte_order_mark_is_no_part_of_the_line() -> None:
    (record,) = records_of(b"\xef\xbb\xbf" + raw(LINE))

    assert parsed(checked(record, "f").line().fields) == LINE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (raw(LINE).replace(b'"two?"', b'"two\xff"'), "not UTF-8"),
        (raw(LINE).replace("é".encode(), b"\xe9"), "not UTF-8"),
        (raw(LINE).replace(b'"target": "2"', b'"target": 2"'), "not valid JSON"),
        (raw(LINE)[:-9], "ends in the middle"),
        (b"[1]\n", "a list"),
        (b'{"a": "' + b"x" * LIMIT + b'"}\n', "longer than"),
    ],
)
def test_a_bad_line_is_named(content: bytes, words: str) -> None:
    with pytest.raises(LogFormatError, match=words) as caught:
        all(checked(record, "f") for record in records_of(raw(LINE) + content))

    assert caught.value.line == 2


def test_bad_lines_can_be_told_in_place_of_an_error() -> None:
    long = b'{"a": "' + b"x" * LIMIT + b'"}\n'
    told: list[tuple[int, int]] = []

    found = read_records(
        io.BytesIO(b"{\n" + raw(LINE) + long + raw(LINE)),
        file="f",
        max_bytes=LIMIT,
        digest=RecordDigest(),
        on_bad=lambda number, _reason, size, _content: told.append((number, size)),
    )

    assert [record.number for record in found] == [2, 4]
    assert told == [(1, 2), (3, len(long))]


def test_a_digest_tells_files_apart_by_any_byte() -> None:
    content = raw(LINE) + b"\n" + raw(LINE | {"doc_id": 4}) + b'{"doc": {}}\n'
    digest = digest_of(content)

    assert digest == digest_of(content)
    assert digest.startswith(DIGEST_KIND)
    assert len(digest) == 33
    for at in range(0, len(content), 7):
        if content[at : at + 1].isalpha() and content[at - 1 : at] != b"\\":
            changed = content[:at] + b"7" + content[at + 1 :]
            try:
                assert digest_of(changed) != digest
            except LogFormatError:
                continue


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=6), json_values, st.booleans())
def test_however_a_line_is_written_its_fields_are_those_of_json(
    more: dict[str, Any], doc: Any, ascii_only: bool
) -> None:
    line = LINE | {"doc": doc} | more
    text = json.dumps(line, ensure_ascii=ascii_only).encode("utf-8", "replace") + b"\n"
    expected = json.loads(text)

    found = [checked(record, "f") for record in records_of(text)]

    assert [json.dumps(parsed(record.line().fields)) for record in found] == [json.dumps(expected)]


def test_a_split_line_whose_head_only_python_can_parse_has_all_its_fields() -> None:
    (record,) = records_of(raw(LINE | {"target": [float("nan")]}))

    assert record.cut
    assert [bytes(value) for value in record.line().fields.values()] == [
        bytes(value) for value in checked(record, "f").fields.values()
    ]
    assert bytes(record.line().fields["target"]) == b"[NaN]"
