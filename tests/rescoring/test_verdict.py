"""What differences mean, and what is named as their cause."""

from __future__ import annotations

from typing import Any

import pytest

from rescore_db.records import ScoreRow
from rescore_db.rescoring.verdict import judge, judge_group

FOUND = {
    "filter": "none",
    "n": 3,
    "is_logged": True,
    "is_defined": True,
    "has_scores": True,
    "total": 0,
    "beyond_rounding": 0,
    "shown": [],
}
REPLY: dict[str, Any] = {
    "errors": [],
    "nondeterministic": None,
    "targets": [],
    "differences": [],
    "announced": None,
    "n": 3,
}


@pytest.mark.parametrize(
    ("found", "reply", "status", "reason"),
    [
        ({}, {}, "identical", None),
        ({"has_scores": False}, {}, "unlogged", "predict_only"),
        ({"n": 0}, {"announced": 100}, "unlogged", "no line of this filter"),
        ({}, {"announced": 100}, "identical", "of 100 samples, the log holds 3"),
        ({"total": 2, "beyond_rounding": 1}, {}, "different", "no cause found"),
        ({"total": 2, "beyond_rounding": 2, "has_scores": False}, {}, "different", "no cause"),
        ({"total": 2}, {}, "ulp", "rounds otherwise"),
        ({"total": 2}, {"agrees_wide": ["none"]}, "ulp", "AVX-512"),
        ({"total": 2}, {"agrees_wide": ["none"], "differences": ["version"]}, "ulp", "AVX-512"),
        ({"total": 2}, {"differences": ["process_results"]}, "drift", "process_results"),
        ({"total": 2, "beyond_rounding": 2}, {"targets": ["the target"]}, "drift", "the target"),
        ({"total": 2}, {"nondeterministic": "random letters"}, "nondeterministic", "random"),
        ({}, {"nondeterministic": "random letters"}, "identical", None),
        ({"is_defined": False}, {"differences": ["filter_list"]}, "drift", "filter_list"),
        ({"is_defined": False}, {}, "drift", "other filters"),
        ({"is_logged": False}, {"differences": ["filter_list"]}, "drift", "the log has no filter"),
        ({}, {"errors": ["position 2: KeyError"]}, "unsupported", "position 2"),
        (
            {"total": 1, "beyond_rounding": 1},
            {"errors": ["a", "b"], "nondeterministic": "x"},
            "unsupported",
            "and 1 more",
        ),
    ],
)
def test_a_filter_is_judged(
    found: dict[str, Any], reply: dict[str, Any], status: str, reason: str | None
) -> None:
    verdict = judge(FOUND | found, REPLY | reply)
    assert verdict.status == status
    if reason is None:
        assert verdict.reason is None
    else:
        assert reason in (verdict.reason or "")


def group_row(metric: str, value: float, stderr: Any = None) -> ScoreRow:
    return ScoreRow("logged", 1, "m", "g", "none", metric, value, stderr, 9, "complete")


@pytest.mark.parametrize(
    ("metrics", "tasks", "status", "differences"),
    [
        ({"acc,none": 0.5, "acc_stderr,none": 0.1}, {"identical"}, "identical", 0),
        ({"acc,none": 0.6, "acc_stderr,none": 0.1}, {"identical"}, "different", 1),
        ({"acc,none": 0.6, "acc_stderr,none": 0.2}, {"identical", "ulp"}, "ulp", 2),
        ({"acc,none": 0.6}, {"drift", "nondeterministic"}, "drift", 2),
        ({"acc,none": 0.6, "acc_stderr,none": 0.1}, {"identical", "unlogged"}, "unlogged", 1),
    ],
)
def test_a_group_is_judged_by_its_tasks(
    metrics: dict[str, float], tasks: set[str], status: str, differences: int
) -> None:
    (row,) = judge_group([group_row("acc", 0.5, 0.1)], {"g": metrics}, {"g": tasks})
    assert (row.status, row.n_differences, row.is_group) == (status, differences, True)


def test_a_group_whose_task_cannot_be_recomputed_says_so() -> None:
    (row,) = judge_group([group_row("acc", 0.5)], {}, {"g": {"identical", "unsupported"}})
    assert row.status == "unsupported"
    assert "a task of the group" in (row.reason or "")


def test_a_group_that_is_nowhere_defined_says_so() -> None:
    (row,) = judge_group([group_row("acc", 0.5)], "no group named 'g'", {"g": {"identical"}})
    assert (row.status, row.reason) == ("unsupported", "no group named 'g'")
