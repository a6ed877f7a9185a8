from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rescore_db.store.engine import reading
from rescore_db.store.metrics import (
    as_number,
    group_metrics,
    known_tasks,
    scoring_metrics,
    scorings_of_newest_runs,
    task_definition,
    task_metrics,
)
from tests.small_store import (
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

METRICS = {
    ("strict", "acc"): Metric([1.0, 0.0], stderr=0.5),
    ("loose", "acc"): Metric([1.0, 1.0], higher_is_better=None),
    ("loose", "bleu"): Metric([(1, 2), (3, 4)], aggregate=math.nan, higher_is_better=False),
}


def test_metrics_come_with_the_conditions_that_they_were_made_under(engine: Engine) -> None:
    run_id = add_run(engine, "dove")
    scoring_id = add_scoring(engine, run_id)
    evaluation = Evaluation("sums", ["x", "y"], METRICS, num_fewshot=5, incomplete=True)
    ids = add_evaluation(engine, run_id, scoring_id, evaluation)
    failed = Evaluation("words", ["x"], {}, status="unsupported", reason="why")
    add_evaluation(engine, run_id, scoring_id, failed)

    with reading(engine) as conn:
        (sums, words), found = scoring_metrics(conn, scoring_id)
        definition = task_definition(conn, "sums", sums.task_hash)

    assert (sums.task, sums.num_fewshot, sums.n_samples, sums.incomplete) == ("sums", 5, 2, True)
    assert (words.status, words.reason, words.recipe_id) == ("unsupported", "why", None)
    assert definition == '{"version": "1.0"}'
    assert {(one.filter, one.metric): one.aggregate_id for one in found} == ids
    assert all(one.conditions == sums for one in found)
    strict, loose, bleu = found
    assert (strict.value, strict.stderr, strict.n, strict.kind) == (0.5, 0.5, 2, "float")
    assert (loose.higher_is_better, bleu.higher_is_better) == (None, False)
    assert (loose.stderr, bleu.kind) == ("N/A", "json")
    assert math.isnan(bleu.value)
    assert [one.place for one in found] == [(0, 0), (1, 1), (1, 2)]


def test_a_task_is_found_under_every_scoring(engine: Engine) -> None:
    evaluation = Evaluation("sums", ["x", "y"], METRICS)
    first = add_logged_run(engine, "dove", evaluation)
    add_logged_run(engine, "wren", evaluation, Evaluation("words", ["x"], {}))
    add_evaluation(engine, first, add_scoring(engine, first, "again"), evaluation)

    with reading(engine) as conn:
        conditions, found = task_metrics(conn, "sums")
        nothing = task_metrics(conn, "nothing")

    assert len(conditions) == 3
    assert len(found) == 3 * len(METRICS)
    assert nothing == ([], [])


def test_groups_and_tasks_are_known_by_name(engine: Engine) -> None:
    run_id = add_logged_run(engine, "dove", Evaluation("sums", ["x", "y"], METRICS))
    scoring_id = add_scoring(engine, run_id, "again")
    add_group(engine, scoring_id, "all", {("none", "acc"): 0.5}, n=2)

    with reading(engine) as conn:
        (group,) = group_metrics(conn, "all")
        known = known_tasks(conn)

    assert (group.scoring_id, group.filter, group.metric) == (scoring_id, "none", "acc")
    assert (group.n, group.value, group.stderr) == (2, 0.5, "N/A")
    assert known == {"sums", "all"}


def test_only_scorings_of_newest_runs_are_listed(engine: Engine) -> None:
    old = add_run(engine, "dove", version=1)
    new = add_run(engine, "dove", version=2, lm_eval_version="0.4.13")
    add_scoring(engine, old)
    scoring_id = add_scoring(engine, new)

    with reading(engine) as conn:
        (found,) = scorings_of_newest_runs(conn)

    assert (found.id, found.run_id, found.kind, found.attempt) == (scoring_id, new, "logged", 1)
    assert (found.model, found.lm_eval_version) == ("dove", "0.4.13")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, 1.0),
        (3, 3.0),
        ("1e5", 100000.0),
        ("inf", math.inf),
        ("N/A", None),
        ("", None),
        ("1_000", None),
        (" 1", None),
        ("0x10", None),
        (None, None),
        ([1.0], None),
        (np.float64(2.5), 2.5),
        (np.array([1.0]), None),
    ],
)
def test_what_counts_as_a_number(value: object, expected: float | None) -> None:
    assert as_number(value) == expected
