from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.compare import history
from rescore_db.errors import NotFoundError
from tests.small_store import (
    ABSENT,
    Evaluation,
    Metric,
    add_evaluation,
    add_group,
    add_logged_run,
    add_run,
    add_scoring,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rescore_db.records import HistoryRow

DATES = ["2026-03-02T10:00:00.000001", "2026-03-09T10:00:00.000001", "2026-03-16T10:00:00.000001"]


def sums(value: object, **changes: Any) -> Evaluation:
    """Two documents and one aggregate, without samples."""
    metric = Metric([1.0, 0.0], aggregate=value, stderr=0.25, n=changes.pop("n", 2))
    changes = {"has_samples": False, **changes}
    return Evaluation("sums", ["x", "y"], {("none", "acc"): metric}, **changes)


def runs_of(engine: Engine, *evaluations: Evaluation, model: str = "dove") -> list[int]:
    """Store one run a date; return their ids."""
    return [
        add_logged_run(engine, model, evaluation, date=date)
        for evaluation, date in zip(evaluations, DATES, strict=False)
    ]


def values(rows: Any) -> list[tuple[str, float | None, float | None]]:
    return [(row.model, row.value, row.change) for row in rows]


def test_every_run_stands_by_date_with_its_change(engine: Engine) -> None:
    late = add_logged_run(engine, "dove", sums(0.75), date=DATES[2])
    early = add_logged_run(engine, "dove", sums(0.5), date=DATES[0])
    middle = add_logged_run(engine, "dove", sums(0.25), date=DATES[1])

    rows = history(engine, "sums")

    assert [row.run for row in rows] == [early, middle, late]
    assert values(rows) == [("dove", 0.5, None), ("dove", 0.25, -0.25), ("dove", 0.75, 0.5)]
    first = rows[0]
    assert (first.date, first.scoring, first.task) == (DATES[0], "logged", "sums")
    assert (first.filter, first.metric, first.stderr, first.n) == ("none", "acc", 0.25, 2)
    assert all(row.warnings == () for row in rows)


def test_a_change_is_within_model_filter_and_metric(engine: Engine) -> None:
    for date, base in zip(DATES[:2], (0.0, 0.5), strict=True):
        metrics = {
            ("strict", "acc"): Metric([], aggregate=base),
            ("loose", "acc"): Metric([], aggregate=base + 0.1),
            ("loose", "f1"): Metric([], aggregate=base + 0.2),
        }
        add_logged_run(engine, "dove", replace(sums(0), metrics=metrics), date=date)
    add_logged_run(engine, "wren", sums(0.9), date=DATES[1])

    rows = history(engine, "sums")

    assert [(row.model, row.filter, row.metric, row.change) for row in rows] == [
        ("dove", "strict", "acc", None),
        ("dove", "loose", "acc", None),
        ("dove", "loose", "f1", None),
        ("dove", "strict", "acc", 0.5),
        ("dove", "loose", "acc", 0.5),
        ("dove", "loose", "f1", pytest.approx(0.5)),
        ("wren", "none", "acc", None),
    ]


def test_runs_with_neither_date_nor_step_come_last_and_have_no_change(engine: Engine) -> None:
    add_logged_run(engine, "dove", sums(0.1), date="")
    runs_of(engine, sums(0.5))

    rows = history(engine, "sums")

    assert [(row.date, row.value, row.change) for row in rows] == [
        (DATES[0], 0.5, None),
        (None, 0.1, None),
    ]
    assert rows[1].warnings == ("neither date nor step: its place in time is unknown",)


def test_runs_without_a_date_stand_by_step(engine: Engine) -> None:
    for step, value in ((1000, 0.5), (0, 0.25), (None, 0.9), (512, 0.75)):
        add_logged_run(engine, "dove", sums(value), date="", origin=f"at {step}", step=step)
    add_logged_run(engine, "dove", sums(0.1), date=DATES[0], step=9)

    rows = history(engine, "sums")

    assert [(row.date, row.step, row.value, row.change) for row in rows] == [
        (DATES[0], 9, 0.1, None),
        (None, 0, 0.25, None),
        (None, 512, 0.75, 0.5),
        (None, 1000, 0.5, -0.25),
        (None, None, 0.9, None),
    ]
    assert [bool(row.warnings) for row in rows] == [False, False, False, False, True]


def test_steps_with_other_few_shots_are_series_of_their_own(engine: Engine) -> None:
    for step, few, value in ((1, 0, 0.1), (2, 0, 0.2), (1, 5, 0.4), (2, 5, 0.6)):
        evaluation = sums(value, num_fewshot=few)
        origin = f"{few} at {step}"
        add_logged_run(engine, "dove", evaluation, date="", origin=origin, step=step)

    rows = history(engine, "sums")

    assert [(row.num_fewshot, row.step, row.change) for row in rows] == [
        (0, 1, None),
        (0, 2, 0.1),
        (5, 1, None),
        (5, 2, pytest.approx(0.2)),
    ]
    assert {row.warnings for row in rows} == {()}


def test_runs_of_one_date_stand_by_step(engine: Engine) -> None:
    for step, value in ((2, 0.5), (1, 0.25)):
        add_logged_run(
            engine,
            "dove",
            sums(value),
            date=DATES[0],
            version=3 - step,
            origin=str(step),
            step=step,
        )

    rows = history(engine, "sums")

    assert [(row.step, row.change) for row in rows] == [(1, None), (2, 0.25)]


def test_versions_are_those_of_one_origin(engine: Engine) -> None:
    for origin, version in (("a", 1), ("a", 2), ("b", 1)):
        add_logged_run(engine, "dove", sums(0.5), date="", origin=origin, version=version)

    assert [row.run for row in history(engine, "sums")] == [2, 3]


def test_only_the_newest_version_of_a_run_counts(engine: Engine) -> None:
    for version, value in ((1, 0.1), (2, 0.2)):
        add_logged_run(engine, "dove", sums(value), version=version)

    assert values(history(engine, "sums")) == [("dove", 0.2, None)]


def test_runs_with_samples_and_runs_of_aggregates_stand_together(engine: Engine) -> None:
    runs_of(engine, sums(0.5, has_samples=True), sums(0.5))

    assert values(history(engine, "sums")) == [("dove", 0.5, None), ("dove", 0.5, 0.0)]


def test_aggregates_without_samples_are_over_what_lm_eval_says(engine: Engine) -> None:
    runs_of(engine, sums(0.5), sums(0.5, n=0, n_effective=40), sums(0.5, n=0))

    rows = history(engine, "sums")

    assert [row.n for row in rows] == [2, 40, 0]
    assert rows[1].warnings == (f"since run {rows[0].run}: samples: 2 against 40",)
    assert rows[2].warnings == ()


@pytest.mark.parametrize("odd", [None, math.nan, "N/A", [1, 2]])
def test_a_value_that_is_no_number_is_empty_and_so_are_its_changes(
    engine: Engine, odd: object
) -> None:
    runs_of(engine, sums(0.5), sums(odd), sums(0.75))

    rows = history(engine, "sums")

    assert [(row.value, row.change) for row in rows] == [(0.5, None), (None, None), (0.75, None)]


# ----------------------------------------------------------------------------------------- groups


def test_a_group_has_a_history_too(engine: Engine) -> None:
    for date, value in zip(DATES[:2], (0.25, 0.5), strict=True):
        run_id = add_run(engine, "dove", date)
        add_group(engine, add_scoring(engine, run_id), "all", {("none", "acc"): value}, n=40)

    rows = history(engine, "all")

    assert [(row.task, row.value, row.stderr, row.n, row.change) for row in rows] == [
        ("all", 0.25, None, 40, None),
        ("all", 0.5, None, 40, 0.25),
    ]


# --------------------------------------------------------------------------------------- scorings


def rescored(
    engine: Engine, run_id: int, name: str, how: str, value: float, recipe: str = "{}"
) -> int:
    scoring_id = add_scoring(engine, run_id, name, how=how)
    add_evaluation(engine, run_id, scoring_id, sums(value), recipe=recipe)
    return scoring_id


def test_a_scoring_is_followed_by_its_name_and_by_how_it_was_made(engine: Engine) -> None:
    first, second, third = runs_of(engine, sums(0.5), sums(0.5), sums(0.5))
    named = rescored(engine, first, "lenient", "way 1", 0.6)
    rescored(engine, second, "other", "way 1", 0.7)
    rescored(engine, second, "different", "way 2", 0.1)
    rescored(engine, third, "lenient", "way 3", 0.8)
    rescored(engine, third, "again", "way 1", 0.2)

    by_name = history(engine, "sums", scoring="lenient")
    by_id = history(engine, "sums", scoring=str(named))

    assert [(r.run, r.scoring, r.value) for r in by_name] == [
        (first, "lenient", 0.6),
        (second, "other", 0.7),
        (third, "lenient", 0.8),
    ]
    assert [(r.run, r.scoring) for r in by_id] == [
        (first, "lenient"),
        (second, "other"),
        (third, "again"),
    ]
    assert values(history(engine, "sums"))[0] == ("dove", 0.5, None)


def test_another_recipe_is_said(engine: Engine) -> None:
    first, second = runs_of(engine, sums(0.5), sums(0.5))
    for run_id, recipe in ((first, "{}"), (second, '{"seed": 1}')):
        rescored(engine, run_id, "lenient", "way 1", 0.6, recipe=recipe)

    rows = history(engine, "sums", scoring="lenient")

    assert rows[1].warnings == (f"since run {first}: the recipe differs",)


# --------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"version": "2.0"},
            'since run {}: task definition differs (version "1.0" against "2.0"): version',
        ),
        ({"num_fewshot": 5}, "since run {}: few-shot examples: 0 against 5"),
        ({"n": 40}, "since run {}: samples: 2 against 40"),
        ({"incomplete": True}, "incomplete: not all samples are in the store"),
        ({"status": "nondeterministic"}, "nondeterministic"),
    ],
)
def test_what_changed_since_the_run_before_is_said(
    engine: Engine, changes: Any, expected: str
) -> None:
    first, _, _ = runs_of(engine, sums(0.5), sums(0.5, **changes), sums(0.5, **changes))

    rows = history(engine, "sums")

    assert [row.warnings for row in rows[:2]] == [(), (expected.format(first),)]
    assert not [text for text in rows[2].warnings if text.startswith("since")]


def test_another_lm_eval_is_said_where_it_scored(engine: Engine) -> None:
    first, second = (
        add_logged_run(engine, "dove", sums(0.5), date=date, lm_eval_version=version)
        for date, version in zip(DATES[:2], ("0.4.9", "0.4.13"), strict=True)
    )
    for run_id in (first, second):
        rescored(engine, run_id, "lenient", "way 1", 0.6)

    logged, lenient = (history(engine, "sums", scoring=name) for name in ("logged", "lenient"))

    assert logged[1].warnings == (f"since run {first}: lm-eval version: 0.4.9 against 0.4.13",)
    assert lenient[1].warnings == ()


@pytest.mark.parametrize(
    ("docs", "expected"),
    [
        (["x", "y", "z"], "samples: 2 against 3, 2 of them the same documents"),
        (["z", "w", "v"], "samples: 2 against 3, 0 of them the same documents"),
        (["y"], "samples: 2 against 1, 1 of them the same documents"),
        (["x", "z"], "other documents: only 1 of 2 samples are of the same"),
        (["x", "x"], "other documents: only 1 of 2 samples are of the same"),
        (["y", "x"], None),
    ],
)
def test_other_documents_than_in_the_run_before_are_said(
    engine: Engine, docs: list[str], expected: str | None
) -> None:
    metrics = {("none", "acc"): Metric([1.0] * len(docs))}
    changed = replace(sums(0.5, has_samples=True), docs=docs, metrics=metrics)
    first, _ = runs_of(engine, sums(0.5, has_samples=True), changed)

    rows = history(engine, "sums")

    assert rows[1].change is not None
    said = () if expected is None else (f"since run {first}: {expected}",)
    assert rows[1].warnings == said


def test_a_scoring_of_other_documents_is_told_from_the_samples_it_has(engine: Engine) -> None:
    first, second = runs_of(engine, *[sums(0.5, has_samples=True)] * 2)
    for run_id, given in ((first, [1.0, ABSENT]), (second, [ABSENT, 1.0])):
        scoring_id = add_scoring(engine, run_id, "hard", how="way 1")
        part = replace(sums(0), has_samples=True, metrics={("none", "acc"): Metric(given)})
        add_evaluation(engine, run_id, scoring_id, part, recipe="{}")

    rows = history(engine, "sums", scoring="hard")

    assert rows[1].warnings == (
        f"since run {first}: other documents: only 0 of 1 samples are of the same",
    )


def test_a_group_that_was_scored_another_way_is_said(engine: Engine) -> None:
    for date, how in zip(DATES[:2], ("way 1", "way 2"), strict=True):
        run_id = add_run(engine, "dove", date)
        scoring_id = add_scoring(engine, run_id, "lenient", how=how)
        add_group(engine, scoring_id, "all", {("none", "acc"): 0.5}, n=40)

    rows = history(engine, "all", scoring="lenient")

    assert rows[1].warnings == (f"since run {rows[0].run}: the scoring was made another way",)


# --------------------------------------------------------------------------------------- choosing


@pytest.fixture
def several(engine: Engine) -> None:
    metrics = {
        ("strict", "acc"): Metric([], aggregate=0.5),
        ("loose", "acc"): Metric([], aggregate=0.6),
    }
    for model in ("org/dove", "org/wren"):
        runs_of(engine, replace(sums(0), metrics=metrics), model=model)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 4),
        ({"model": "org/dove"}, 2),
        ({"model": "org/*"}, 4),
        ({"filter": "strict"}, 2),
        ({"filter": "loose", "model": "*wren"}, 1),
        ({"metric": "acc"}, 4),
    ],
)
@pytest.mark.usefixtures("several")
def test_model_filter_and_metric_narrow_the_rows(
    engine: Engine, options: Any, expected: int
) -> None:
    rows: list[HistoryRow] = list(history(engine, "sums", **options))

    assert len(rows) == expected


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("sum", {}, "no task named 'sum'; did you mean sums"),
        ("sums", {"model": "org/dov"}, "no model named 'org/dov'; did you mean org/dove"),
        ("sums", {"filter": "strct"}, "no filter named 'strct'; did you mean strict"),
        ("sums", {"metric": "f1"}, "no metric named 'f1'; there are: acc"),
        ("sums", {"scoring": "loged"}, "no scoring named 'loged'; did you mean logged"),
    ],
)
@pytest.mark.usefixtures("several")
def test_what_is_not_there_is_named(engine: Engine, task: str, options: Any, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        history(engine, task, **options)


def test_a_task_that_a_scoring_leaves_out_is_said(engine: Engine) -> None:
    (run_id,) = runs_of(engine, sums(0.5))
    add_scoring(engine, run_id, "lenient")

    with pytest.raises(NotFoundError, match="no run has a value of sums under scoring 'lenient'"):
        history(engine, "sums", scoring="lenient")
