"""What crosses a pipe comes back as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rescore_db.harness.interface import Sample, SampleScores, TaskRequest
from rescore_db.typed_values import UntypableError
from tests.harness.running import run_python


@pytest.mark.parametrize(
    "request_",
    [
        TaskRequest("gsm8k"),
        TaskRequest(
            "a::b", ("x", "y"), "t.yaml", "{}", "[]", "[]", allow_unsafe=True, groups=("a",)
        ),
    ],
)
def test_requests(request_: TaskRequest) -> None:
    assert TaskRequest.from_json(request_.to_json()) == request_


def test_samples_with_what_json_can_hold() -> None:
    odd = {"text": "\ud800\x00\u2028", "big": 10**70, "zero": -0.0, "inf": float("inf"), "b": True}
    sample = Sample(odd, [["c", {"until": []}]], [["r", "\udfff"]])

    assert repr(Sample.from_json(sample.to_json())) == repr(sample)


@pytest.mark.parametrize(
    "value",
    [1, 1.5, -0.0, True, None, "x", (1, 2.5), [(1, "a")], {"a": (1,)}, {1, 2}, np.float64(0.1),
     np.bool_(1), np.int64(3), (0, np.float32(0.1)), {1: 2}, 10**30, float("nan")],
)  # fmt: skip
def test_scores_keep_their_types(value: Any) -> None:
    scores = SampleScores("none", 3, ["a", ["b"]], {"metric": value})

    again = SampleScores.from_json(scores.to_json())

    assert repr(again) == repr(scores)


def test_arrays_pass() -> None:
    scores = SampleScores("none", 0, [], {"metric": (1, np.array([0.1, 0.9]))})

    gold, shares = SampleScores.from_json(scores.to_json()).metrics["metric"]

    assert gold == 1
    assert shares.tobytes() == np.array([0.1, 0.9]).tobytes()


def test_a_value_that_cannot_come_back_is_refused() -> None:
    with pytest.raises(UntypableError):
        SampleScores("none", 0, [], {"metric": object()}).to_json()


def test_the_interface_needs_no_lm_eval() -> None:
    program = (
        "import sys, rescore_db.harness.interface, rescore_db.harness.offline,"
        "rescore_db.harness.aggregation, rescore_db.harness.environment;"
        "print(sorted({'lm_eval', 'numpy', 'nltk', 'yaml'} & set(sys.modules)))"
    )

    assert run_python(program).stdout == "[]\n"
