"""A cut through the registry: what lm-eval computed is what our program computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conformance import report
from tests.conformance.exact import exact
from tests.conformance.outcome import Outcome
from tests.conformance.walk import State, Walk

if TYPE_CHECKING:
    from pathlib import Path

SPREAD = {
    "arc_easy": "multiple choice",
    "hellaswag": "multiple choice",  # its documents go through a function
    "kobest_wic": "multiple choice",  # a corpus metric that lm-eval itself cannot load offline
    "truthfulqa_mc2": "multiple choice",
    "winogrande": "multiple choice",  # several contexts a document
    "gsm8k": "generation",  # two filters
    "mgsm_direct_de": "generation",
    "gsm8k_cot_self_consistency": "multi-request",  # 64 answers a document
    "arithmetic_2da": "loglikelihood",
    "wikitext": "rolling",
    "mmmu_val_art": "multimodal",
    "squad_completion": "class-based",
    "self_consistency": "tag",
    "noor": "group",  # groups inside it, one of them inline
}
UNSUPPORTED = {
    "humaneval": "code_eval",  # its module loads a metric from the Hub
    "squadv2": "squad_v2",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What a walk over the spread gives: one process for lm-eval, one for ours, no network."""
    state = State(tmp_path_factory.mktemp("walk") / "outcomes.jsonl")
    walk = Walk(state, seconds=60, members=15, tell=lambda _: None)
    walk.run([*SPREAD, *UNSUPPORTED], jobs=1)
    return state.outcomes


@pytest.mark.parametrize("name", SPREAD)
def test_rescoring_gives_what_lm_eval_held_in_memory(
    outcomes: dict[str, Outcome], name: str
) -> None:
    found = outcomes[name]

    assert (found.verdict, found.reason) == ("identical", "")
    assert found.kind == SPREAD[name]


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cannot_be_built_says_why(outcomes: dict[str, Outcome], name: str) -> None:
    found = outcomes[name]

    assert found.verdict == "unsupported"
    assert UNSUPPORTED[name] in found.reason


def test_a_walk_goes_on_where_it_was(outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    told: list[str] = []
    state = State(tmp_path / "outcomes.jsonl")
    state.add(list(outcomes.values()))

    again = State(tmp_path / "outcomes.jsonl")
    Walk(again, seconds=1, members=1, tell=told.append).run([*outcomes], jobs=2)

    assert again.outcomes == outcomes
    assert told == []


def test_other_types_and_bits_are_other_values() -> None:
    values = [1, 1.0, True, np.float64(1), np.float32(1), "1", [1], (1,), 0.1 + 0.2, 0.3, -0.0, 0.0]
    texts = [exact(value) for value in values]

    assert len(set(texts)) == len(values)
    assert exact([float("nan")]) == exact([float("nan")])
    assert exact(np.float64("nan")) == exact(np.float64("nan"))
    assert exact({"a": 1, "b": 2}) != exact({"b": 2, "a": 1})


def test_the_report_names_what_is_not_identical() -> None:
    outcomes = [
        Outcome("a_1", "generation", "a", "identical"),
        Outcome("a_2", "generation", "a", "different", "line 0: 1 became 2"),
        Outcome("b_1", "multiple choice", "b", "unsupported", "b_1: no module named 'x'"),
        Outcome("b_2", "multiple choice", "b", "unsupported", "b_2: no module named 'x'"),
        Outcome("c", "group", "c", "built only", "no documents"),
    ]

    text = report.fidelity(outcomes, everything=9)

    assert "5 of the registry's 9 names (the walk was not finished)" in text
    assert "Of 4 tasks 2 (50.0%) build" in text
    assert "* `a`: `a_2`: line 0: 1 became 2" in text
    assert "* `b`: `b_1`, `b_2`: no module named 'x'" in text
    assert "* `c`: `c`: no documents" in text
    assert "| multiple choice | 0 | 0 | 0 | 2 |" in report.summary(outcomes)
