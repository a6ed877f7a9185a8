from __future__ import annotations

import io
import json
from typing import Any

import pytest

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.decode import DecodedLine, argument_lists, decode
from rescore_db.harness_log.lines import read_lines

LINE: dict[str, Any] = {
    "doc_id": 3,
    "doc": {"q": "x"},
    "target": "4",
    "arguments": {"gen_args_0": {"arg_0": "ctx", "arg_1": " a"}, "gen_args_1": {"arg_0": "ctx"}},
    "resps": [[["-1.5", "True"]], [["-2.5", "False"]]],
    "filtered_resps": [["-1.5", "True"], ["-2.5", "False"]],
    "filter": "none",
    "metrics": ["acc", "gone"],
    "acc": 1.0,
}


def decoded(**changed: Any) -> DecodedLine:
    raw = json.dumps(LINE | changed).encode()
    (line,) = read_lines(io.BytesIO(b"\n" + raw), file="f.jsonl", max_bytes=10_000)
    return decode(line, "f.jsonl")


def test_a_line_becomes_values() -> None:
    line = decoded()

    assert line.number == 2
    assert line.arguments == [["ctx", " a"], ["ctx"]]
    assert (line.doc, line.doc_id, line.target) == ({"q": "x"}, 3, "4")
    assert line.responses == LINE["resps"]
    assert line.filtered == LINE["filtered_resps"]
    assert line.filter == "none"
    assert line.metrics == {"acc": 1.0}


def test_a_metric_may_be_named_like_a_field() -> None:
    line = decoded(metrics=["target", "filter"], target=0.5)

    assert line.metrics == {"target": 0.5}
    assert line.filter == "none"


def test_a_line_without_metrics_has_none() -> None:
    assert decoded(metrics=[]).metrics == {}
    assert decoded(metrics=0.25).metrics == {}


@pytest.mark.parametrize(
    "arguments",
    [
        None,
        [["ctx", "a"]],
        {"gen_args_1": {"arg_0": "ctx"}},
        {"gen_args_0": ["ctx"]},
        {"gen_args_0": {"arg_1": "ctx"}},
    ],
)
def test_arguments_of_another_shape_are_given_back(arguments: object) -> None:
    assert argument_lists(arguments) is arguments


def test_a_missing_field_names_itself_and_the_line() -> None:
    raw = json.dumps({key: value for key, value in LINE.items() if key != "resps"}).encode()
    (line,) = read_lines(io.BytesIO(raw), file="f.jsonl", max_bytes=10_000)

    with pytest.raises(LogFormatError, match=r"f\.jsonl:1: no resps"):
        decode(line, "f.jsonl")


def test_an_integer_that_python_refuses_is_an_error_of_the_line() -> None:
    raw = json.dumps(LINE).replace('"doc_id": 3', '"doc_id": ' + "9" * 5000).encode()
    (line,) = read_lines(io.BytesIO(raw), file="f.jsonl", max_bytes=100_000)

    with pytest.raises(LogFormatError, match=r"f\.jsonl:1"):
        decode(line, "f.jsonl")
