"""Groups of tasks in a comparison: stored aggregates, marked as what they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.compare import CompareOptions, compare_runs
from rescore_db.errors import NotFoundError
from tests.small_store import Evaluation, Metric, add_evaluation, add_group, add_run, add_scoring

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine

    from rescore_db.records import CompareRow

NOTE = "group: no paired statistics yet"
MEMBERS = {"all": ["sums", "words"], "words": ["long", "short"], "sums": [], "elsewhere": ["x"]}


def add_model(
    engine: Engine,
    model: str,
    groups: Mapping[str, Any],
    *,
    docs: int = 4,
    filters: Sequence[str] = ("none",),
    members: Mapping[str, list[str]] = MEMBERS,
) -> None:
    """Store a run of three tasks and the values of its groups."""
    results = json.dumps({"group_subtasks": members})
    run_id = add_run(engine, model, results_json=results)
    scoring_id = add_scoring(engine, run_id)
    for task in ("sums", "long", "short"):
        metrics = {(name, "acc"): Metric([1.0] * docs) for name in filters}
        add_evaluation(engine, run_id, scoring_id, Evaluation(task, list(range(docs)), metrics))
    for group, value in groups.items():
        values = {(name, "acc"): value for name in filters}
        add_group(engine, scoring_id, group, values, n=3 * docs)


def compared(engine: Engine, *references: str, **options: Any) -> list[CompareRow]:
    return list(compare_runs(engine, references or ("dove", "wren"), CompareOptions(**options)))


def groups(rows: list[CompareRow]) -> list[tuple[str, int, int]]:
    return [(row.task, row.n, row.unpaired) for row in rows if row.is_group]


def test_groups_that_both_sides_have_come_after_the_tasks(engine: Engine) -> None:
    add_model(engine, "dove", {"words": 0.25, "all": 0.5, "own": 0.5})
    add_model(engine, "wren", {"words": 0.75, "all": 0.25})

    rows = compared(engine)

    assert [row.task for row in rows] == ["long", "short", "sums", "words", "all"]
    assert groups(rows) == [("words", 8, 0), ("all", 12, 0)]
    words = rows[3]
    assert (words.a, words.b, words.diff) == (0.25, 0.75, 0.5)
    assert (words.stderr, words.ci_low, words.p, words.improved) == (None, None, None, None)
    assert (words.verdict, words.warnings) == (None, (NOTE,))


def test_samples_below_a_group_that_are_not_paired_are_said(engine: Engine) -> None:
    add_model(engine, "dove", {"words": 0.25})
    add_model(engine, "wren", {"words": 0.75}, docs=3)

    rows = compared(engine)

    assert groups(rows) == [("words", 6, 2)]
    assert rows[-1].warnings == (
        NOTE,
        "group: samples: 12 against 9",
        "group: a and b are over unpaired samples, too",
    )


def test_a_group_whose_tasks_nothing_tells_has_no_pairs(engine: Engine) -> None:
    for model in ("dove", "wren"):
        add_model(engine, model, {"words": 0.25}, members={})

    assert groups(compared(engine)) == [("words", 0, 0)]
    assert groups(compared(engine, tasks=["words"])) == [("words", 0, 0)]


@pytest.mark.parametrize("value", [None, "N/A", float("nan"), [1, 2]])
def test_a_group_value_that_is_no_number_is_empty(engine: Engine, value: object) -> None:
    for model in ("dove", "wren"):
        add_model(engine, model, {"words": value})

    row = compared(engine)[-1]

    assert (row.is_group, row.a, row.b, row.diff) == (True, None, None, None)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (["all"], ["long", "short", "sums", "words", "all"]),
        (["words"], ["long", "short", "words"]),
        (["w*"], ["words"]),
        (["sums"], ["sums"]),
        (["long", "words"], ["long", "short", "words"]),
    ],
)
def test_a_group_is_shown_where_it_is_named_or_inside_one_that_is(
    engine: Engine, tasks: list[str], expected: list[str]
) -> None:
    for model in ("dove", "wren"):
        add_model(engine, model, {"words": 0.25, "all": 0.5})

    assert [row.task for row in compared(engine, tasks=tasks)] == expected


def test_a_group_without_any_value_is_not_there(engine: Engine) -> None:
    for model in ("dove", "wren"):
        add_model(engine, model, {"all": 0.5})

    with pytest.raises(NotFoundError, match="no task named 'x'"):
        compared(engine, tasks=["elsewhere"])


def test_filters_choose_groups_too(engine: Engine) -> None:
    for model in ("dove", "wren"):
        add_model(engine, model, {"all": 0.5}, filters=("strict", "loose"))

    named = compared(engine, filters=["loose"])
    one = compared(engine, "dove/strict", "wren")
    two = compared(engine, "dove/strict", "dove/loose")

    assert [row.filter for row in named if row.is_group] == ["loose"]
    assert [row.filter for row in one if row.is_group] == ["strict"]
    assert [(row.filter, row.n) for row in two if row.is_group] == [("strict→loose", 12)]


def test_chosen_documents_have_no_groups(engine: Engine) -> None:
    for model in ("dove", "wren"):
        add_model(engine, model, {"all": 0.5})

    assert groups(compared(engine, where="task = 'sums'")) == []


def test_each_side_has_its_groups(engine: Engine) -> None:
    for model in ("dove", "wren", "lark"):
        add_model(engine, model, {"all": 0.5})

    rows = compared(engine, "dove", "wren", "lark")

    assert [row.run_b[:4] for row in rows if row.is_group] == ["wren", "lark"]
