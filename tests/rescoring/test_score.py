"""Stored responses scored again give what lm-eval computed, and nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, func, select, update

from rescore_db.errors import AlreadyExistsError, NotFoundError, TaskError, UsageError
from rescore_db.rescoring import plan
from rescore_db.rescoring.request import ScoreRequest
from rescore_db.rescoring.score import Runner, score_runs
from rescore_db.rescoring.slot import Slot
from rescore_db.store import schema
from rescore_db.store.engine import atomic, reading

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import ScoreRow
    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")
FIRST_RUN = "larch/wren-1b@2026-01-05"


def by_key(rows: list[ScoreRow]) -> dict[tuple[str, str], tuple[Any, Any]]:
    return {(row.task, f"{row.metric},{row.filter}"): (row.value, row.stderr) for row in rows}


def logged_by_key(truth: Truth) -> dict[tuple[str, str], tuple[Any, Any]]:
    """What the results file of the first run says, groups included."""
    found = {}
    for task, metrics in truth.results()["results"].items():
        for key, value in metrics.items():
            metric, comma, filter_ = key.partition(",")
            if comma and not metric.endswith("_stderr"):
                found[task, key] = (value, metrics.get(f"{metric}_stderr,{filter_}"))
    return found


def test_every_aggregate_is_lm_evals_bit_for_bit(filled: Engine, truth: Truth) -> None:
    rows = list(score_runs(filled, [FIRST_RUN], ScoreRequest(include_paths=(str(truth.tasks),))))
    assert {(row.status, row.reason) for row in rows} == {("complete", None)}
    assert by_key(rows) == logged_by_key(truth)
    assert {row.task for row in rows if row.is_group} == set(truth.results()["groups"])


def test_logged_scores_are_never_read_for_a_new_scoring(filled: Engine, truth: Truth) -> None:
    with atomic(filled) as conn:
        conn.execute(update(schema.score).values(value=0.123, exact=None))
        conn.execute(update(schema.aggregate).values(value=0.123, value_exact=None))
        conn.execute(update(schema.filtered_response).values(text="corrupt", is_json=False))
    request = ScoreRequest(tasks=("small_sums", "small_units"), include_paths=(str(truth.tasks),))
    rows = list(score_runs(filled, [FIRST_RUN], request))
    expected = logged_by_key(truth)
    assert rows
    assert by_key(rows) == {key: expected[key] for key in by_key(rows)}


def counts(engine: Engine) -> Counter[str]:
    with reading(engine) as conn:
        return Counter(
            {
                table.name: conn.scalar(select(func.count()).select_from(table)) or 0
                for table in schema.metadata.tables.values()
            }
        )


def test_the_second_request_does_nothing_and_names_the_scoring(
    filled: Engine, truth: Truth
) -> None:
    request = ScoreRequest(tasks=("small_sums",), include_paths=(str(truth.tasks),))
    first = list(score_runs(filled, [FIRST_RUN], request))
    before = counts(filled)
    second = list(score_runs(filled, [FIRST_RUN], request))
    assert counts(filled) == before
    assert not any(row.known for row in first)
    assert all(row.known for row in second)
    assert [row.scoring for row in second] == [row.scoring for row in first]
    assert by_key(second) == by_key(first)


def test_force_is_another_attempt_with_the_same_numbers(filled: Engine, truth: Truth) -> None:
    request = ScoreRequest(tasks=("small_things",), include_paths=(str(truth.tasks),))
    again = ScoreRequest(tasks=("small_things",), include_paths=(str(truth.tasks),), force=True)
    first = list(score_runs(filled, [FIRST_RUN], request))
    second = list(score_runs(filled, [FIRST_RUN], again))
    assert by_key(first) == by_key(second)
    assert {row.scoring for row in first} == {"rescored"}
    assert {row.scoring for row in second} == {"rescored-2"}


@pytest.mark.parametrize(("size", "workers"), [(1, 2), (7, 1), (10_000, 1)])
def test_shards_their_order_and_children_do_not_change_a_bit(
    filled: Engine, truth: Truth, monkeypatch: pytest.MonkeyPatch, size: int, workers: int
) -> None:
    monkeypatch.setattr(plan, "SHARD_SAMPLES", size)
    in_order = Runner.units

    def shuffled(self: Runner) -> list[Any]:
        units = list(in_order(self))
        random.Random(size).shuffle(units)  # noqa: S311 - an order, no secret
        return units

    monkeypatch.setattr(Runner, "units", shuffled)
    tasks = ("small_sums", "small_pairs", "small_weather", "small_votes")
    request = ScoreRequest(tasks=tasks, include_paths=(str(truth.tasks),), workers=workers)
    rows = list(score_runs(filled, [FIRST_RUN], request))
    expected = logged_by_key(truth)
    assert by_key(rows) == {key: value for key, value in expected.items() if key[0] in tasks}


def test_another_filter_is_another_scoring_and_the_logged_one_stays(
    filled: Engine, truth: Truth, tmp_path: Path
) -> None:
    mine = tmp_path / "first-number.yaml"
    mine.write_text(
        "- name: first-number\n  filter:\n"
        "    - {function: regex, regex_pattern: '(-?[0-9]+)', group_select: 0}\n"
        "    - {function: take_first}\n"
    )
    before = counts(filled)
    request = ScoreRequest(
        tasks=("small_sums",), include_paths=(str(truth.tasks),), filters=str(mine)
    )
    rows = list(score_runs(filled, [FIRST_RUN], request))
    assert {(row.scoring, row.filter, row.status) for row in rows} == {
        ("first-number", "first-number", "complete")
    }
    after = counts(filled)
    assert after["scoring"] == before["scoring"] + 1
    with reading(filled) as conn:
        logged = conn.scalar(
            select(func.count())
            .select_from(schema.scoring)
            .where(schema.scoring.c.kind == "logged")
        )
    assert logged == before["scoring"]


def test_a_limit_and_a_condition_choose_samples(filled: Engine, truth: Truth) -> None:
    lines = [line for line in truth.samples("small_things") if line["filter"] == "none"]
    request = ScoreRequest(
        tasks=("small_things",), include_paths=(str(truth.tasks),), limit=3, name="three"
    )
    rows = list(score_runs(filled, [FIRST_RUN], request))
    values = {row.metric: (row.value, row.n) for row in rows}
    for metric in ("acc", "acc_norm"):
        expected = sum(line[metric] for line in lines[:3]) / 3
        assert values[metric] == (expected, 3)
    assert {row.scoring for row in rows} == {"three"}


def test_a_condition_that_matches_nothing_is_an_error(filled: Engine, truth: Truth) -> None:
    before = counts(filled)
    request = ScoreRequest(include_paths=(str(truth.tasks),), where="doc->>'question' = 'none'")
    with pytest.raises(NotFoundError, match="no sample"):
        score_runs(filled, [FIRST_RUN], request)
    assert counts(filled) == before


def test_a_name_of_another_way_of_scoring_is_taken(filled: Engine, truth: Truth) -> None:
    request = ScoreRequest(tasks=("small_things",), include_paths=(str(truth.tasks),), name="x")
    rows = score_runs(filled, [FIRST_RUN], request)
    assert {(row.status, row.reason) for row in rows} == {("complete", None)}
    other = ScoreRequest(
        tasks=("small_things",), include_paths=(str(truth.tasks),), name="x", limit=2
    )
    with pytest.raises(AlreadyExistsError, match="'x'"):
        score_runs(filled, [FIRST_RUN], other)


def test_one_way_of_scoring_has_one_name(filled: Engine, truth: Truth) -> None:
    first = ScoreRequest(tasks=("small_things",), include_paths=(str(truth.tasks),), name="x")
    score_runs(filled, [FIRST_RUN], first)
    before = counts(filled)
    second = ScoreRequest(tasks=("small_sums",), include_paths=(str(truth.tasks),), name="y")
    with pytest.raises(AlreadyExistsError, match="as 'x' already"):
        score_runs(filled, [], second)
    assert counts(filled) == before
    more = ScoreRequest(tasks=("small_pairs",), include_paths=(str(truth.tasks),))
    assert {row.scoring for row in score_runs(filled, [FIRST_RUN], more)} == {"x"}


@pytest.mark.parametrize("name", ["", "a b", "a:b/c", "a\nb", "x" * 101])
def test_a_name_that_references_could_not_hold_is_refused(
    filled: Engine, truth: Truth, name: str
) -> None:
    request = ScoreRequest(include_paths=(str(truth.tasks),), name=name)
    with pytest.raises(UsageError, match="--name"):
        score_runs(filled, [FIRST_RUN], request)


def test_a_misspelt_option_of_a_metric_is_named(
    filled: Engine, truth: Truth, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("- {metric: exact_match, aggregation: mean, ignore_cas: true}\n")
    request = ScoreRequest(
        tasks=("small_sums",), include_paths=(str(truth.tasks),), metrics=str(mine)
    )
    (row, *_) = score_runs(filled, [FIRST_RUN], request)
    assert row.status == "unsupported"
    assert "ignore_cas" in (row.reason or "")


def test_a_task_without_a_definition_says_what_is_missing(filled: Engine) -> None:
    rows = list(score_runs(filled, [FIRST_RUN], ScoreRequest(tasks=("small_units",))))
    (row,) = rows
    assert row.status == "failed"
    assert "small_units" in (row.reason or "")
    assert "--include-path" in (row.reason or "")


def test_a_killed_child_costs_nothing_but_time(
    filled: Engine, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[str] = []
    real = Slot.call

    def dies_once(self: Slot, op: str, **arguments: Any) -> Any:
        if op == "score_shard" and not deaths:
            deaths.append(op)
            os.kill(self._running().process.pid, signal.SIGKILL)
        return real(self, op, **arguments)

    monkeypatch.setattr(Slot, "call", dies_once)
    request = ScoreRequest(tasks=("small_things",), include_paths=(str(truth.tasks),))
    rows = list(score_runs(filled, [FIRST_RUN], request))
    expected = logged_by_key(truth)
    assert by_key(rows) == {k: v for k, v in expected.items() if k[0] == "small_things"}
    assert deaths


def test_an_interrupted_request_is_finished_by_the_next_one(
    filled: Engine, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SHARD_SAMPLES", 3)
    real = Slot.call
    calls: list[Any] = []

    def stops(self: Slot, op: str, **arguments: Any) -> Any:
        if op == "score_shard":
            calls.append(arguments["start"])
            if len(calls) == 3:
                raise KeyboardInterrupt
        return real(self, op, **arguments)

    monkeypatch.setattr(Slot, "call", stops)
    request = ScoreRequest(tasks=("small_pairs",), include_paths=(str(truth.tasks),), workers=1)
    with pytest.raises(KeyboardInterrupt):
        score_runs(filled, [FIRST_RUN], request)
    done = calls[:2]
    monkeypatch.setattr(Slot, "call", real)
    rows = list(score_runs(filled, [FIRST_RUN], request))
    expected = logged_by_key(truth)
    assert by_key(rows) == {k: v for k, v in expected.items() if k[0] == "small_pairs"}
    assert done == [0, 3]
    with reading(filled) as conn:
        assert conn.scalar(select(func.count()).select_from(schema.scored_shard)) == 0


def test_a_failed_evaluation_is_tried_again(
    filled: Engine, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Slot.call

    def fails(self: Slot, op: str, **arguments: Any) -> Any:
        if op == "aggregate":
            message = "the aggregation broke"
            raise TaskError(message)
        return real(self, op, **arguments)

    monkeypatch.setattr(Slot, "call", fails)
    request = ScoreRequest(tasks=("small_things",), include_paths=(str(truth.tasks),))
    broken = list(score_runs(filled, [FIRST_RUN], request))
    assert {(row.status, row.reason, row.value) for row in broken} == {
        ("failed", "the aggregation broke", None)
    }
    monkeypatch.setattr(Slot, "call", real)
    assert by_key(list(score_runs(filled, [FIRST_RUN], request))) == {
        k: v for k, v in logged_by_key(truth).items() if k[0] == "small_things"
    }


def test_a_recipe_names_no_path_and_no_address(filled: Engine, truth: Truth) -> None:
    request = ScoreRequest(tasks=("small_units",), include_paths=(str(truth.tasks),))
    score_runs(filled, [FIRST_RUN], request)
    with reading(filled) as conn:
        (recipe,) = conn.scalars(select(schema.recipe.c.content_json)).all()
    assert str(truth.tasks) not in recipe
    assert " at 0x" not in recipe
    assert json.loads(recipe)["code"]


def test_a_sample_that_cannot_be_scored_is_named_and_not_averaged(
    filled: Engine, truth: Truth
) -> None:
    with atomic(filled) as conn:
        sample, task, evaluation = schema.sample, schema.task, schema.evaluation
        wanted = (
            select(evaluation.c.id)
            .join(task, task.c.id == evaluation.c.task_id)
            .where(task.c.name == "small_things")
            .order_by(evaluation.c.id)
            .limit(1)
        )
        key = conn.scalar(wanted)
        conn.execute(
            update(sample)
            .where(sample.c.evaluation_id == key, sample.c.position == 1)
            .values(response_is_json=True, response="[]")
        )
    request = ScoreRequest(tasks=("small_things",), include_paths=(str(truth.tasks),))
    rows = list(score_runs(filled, [], request))
    off = [row for row in rows if row.status == "unsupported"]
    assert off
    assert all(row.value is None for row in off)
    assert "position 1" in (off[0].reason or "")


def test_deleting_scored_rows_and_forcing_gives_them_back(filled: Engine, truth: Truth) -> None:
    request = ScoreRequest(tasks=("small_last_word",), include_paths=(str(truth.tasks),))
    score_runs(filled, [FIRST_RUN], request)
    with atomic(filled) as conn:
        conn.execute(delete(schema.score))
    again = ScoreRequest(tasks=("small_last_word",), include_paths=(str(truth.tasks),), force=True)
    rows = list(score_runs(filled, [FIRST_RUN], again))
    assert by_key(rows) == {
        k: v for k, v in logged_by_key(truth).items() if k[0] == "small_last_word"
    }
