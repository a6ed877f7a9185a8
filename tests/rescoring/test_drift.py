"""A definition that is not the logged one is noticed by targets and filters; --strict refuses."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

import rescore_db
from rescore_db.errors import NotFoundError, UsageError
from rescore_db.records import DriftSign
from rescore_db.rescoring import plan
from rescore_db.rescoring.drift import drift_text, merged
from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.verify import verify_runs
from rescore_db.store import schema
from rescore_db.store.engine import reading
from tests.harness.test_as_logged import DECLARATIVE, FUNCTIONAL

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import ScoreRow
    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")
FIRST_RUN = "larch/wren-1b@2026-01-05"


def changed_tasks(truth: Truth, place: Path, old: str, new: str) -> tuple[str, ...]:
    """Copy the tasks with one text in small_sums replaced by another."""
    tasks = place / "tasks"
    shutil.copytree(truth.tasks, tasks)
    path = tasks / "small_sums.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return (str(tasks),)


@pytest.fixture
def other_filter(truth: Truth, tmp_path: Path) -> ScoreRequest:
    """A request for small_sums whose flexible-extract takes the first number now."""
    paths = changed_tasks(truth, tmp_path, "group_select: -1", "group_select: 0")
    return ScoreRequest(tasks=("small_sums",), include_paths=paths)


NUMBER = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")


def differing(truth: Truth) -> list[int]:
    """The positions at which a response has two numbers that are not the same."""
    lines = [line for line in truth.samples("small_sums") if line["filter"] == "strict-match"]
    found = [NUMBER.findall(line["resps"][0][0]) for line in lines]
    return [at for at, numbers in enumerate(found) if numbers and numbers[0] != numbers[-1]]


def signs(rows: list[ScoreRow]) -> set[str]:
    return {text for row in rows for text in row.warnings if text.startswith("drift: ")}


def n_scores(engine: Engine) -> int:
    with reading(engine) as conn:
        return conn.scalar(select(func.count()).select_from(schema.score)) or 0


# ----------------------------------------------------------------------------------- as logged


def test_logged_configs_score_what_is_declarative_and_refuse_the_rest(
    filled: Engine, truth: Truth
) -> None:
    request = ScoreRequest(tasks=(*DECLARATIVE, *FUNCTIONAL), as_logged=True)
    rows = list(score_runs(filled, [FIRST_RUN], request))
    done = {row.task: row for row in rows if row.status == "complete"}
    assert done.keys() == set(DECLARATIVE)
    assert not any(row.warnings for row in rows)
    results = truth.results()["results"]
    for row in rows:
        if row.status == "complete":
            assert row.value == results[row.task][f"{row.metric},{row.filter}"]
    refused = {row.task: row for row in rows if row.status == "failed"}
    assert refused.keys() == set(FUNCTIONAL)
    assert all("code from logs is never run" in (row.reason or "") for row in refused.values())


def test_a_recipe_tells_where_its_definition_is_from(filled: Engine, truth: Truth) -> None:
    logged = ScoreRequest(tasks=("small_pairs",), as_logged=True)
    own = ScoreRequest(tasks=("small_pairs",), include_paths=(str(truth.tasks),))
    names = {row.scoring for request in (logged, own) for row in score_runs(filled, [], request)}
    assert len(names) == 2
    with reading(filled) as conn:
        recipes = [json.loads(text) for text in conn.scalars(select(schema.recipe.c.content_json))]
    assert {recipe.pop("source") for recipe in recipes} == {"as-logged", "include-path"}


def test_as_logged_verifies_without_the_task(filled: Engine) -> None:
    request = VerifyRequest(tasks=("small_sums", "small_units"), as_logged=True)
    rows = list(verify_runs(filled, [FIRST_RUN], request))
    assert {(row.task, row.status) for row in rows} == {
        ("small_sums", "identical"),
        ("small_units", "unsupported"),
    }


def test_a_file_is_scored_by_the_config_in_its_results_file(truth: Truth) -> None:
    (results,) = truth.folder(truth.models[0]).rglob("results_2026-01-05*.json")
    found = list(rescore_db.rescore_file(truth.samples_file("small_sums"), as_logged=results))
    assert found
    assert all(one.metrics == one.logged for one in found)
    with pytest.raises(NotFoundError, match=r"no config in .* named 'small_sum'"):
        next(rescore_db.rescore_file("x.jsonl", task="small_sum", as_logged=results))


def test_two_whole_definitions_exclude_each_other(filled: Engine, truth: Truth) -> None:
    path = str(truth.tasks / "small_sums.yaml")
    with pytest.raises(UsageError, match="exclude each other"):
        score_runs(filled, [], ScoreRequest(as_logged=True, task_yaml=path))


# --------------------------------------------------------------------------------------- drift


@pytest.mark.parametrize("size", [3, 10_000])
def test_a_filter_that_gives_something_else_is_told_with_its_first_samples(
    filled: Engine,
    truth: Truth,
    other_filter: ScoreRequest,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    monkeypatch.setattr(plan, "SHARD_SAMPLES", size)
    rows = list(score_runs(filled, [FIRST_RUN], other_filter))
    off = differing(truth)
    assert len(off) > 1
    n = len([line for line in truth.samples("small_sums") if line["filter"] == "strict-match"])
    first = ", ".join(map(str, off[:3]))
    (sign,) = signs(rows)
    assert (
        f"'flexible-extract' differs in {len(off)} of {n} samples, first at positions {first}:"
        in sign
    )
    assert {row.status for row in rows} == {"complete"}
    assert any("filter_list" in text for row in rows for text in row.warnings)


def test_a_target_that_is_another_one_is_told(filled: Engine, truth: Truth, tmp_path: Path) -> None:
    paths = changed_tasks(truth, tmp_path, '"{{answer}}"', '"{{answer}}!"')
    rows = list(score_runs(filled, [FIRST_RUN], ScoreRequest(("small_sums",), include_paths=paths)))
    (sign,) = signs(rows)
    assert "the target differs in" in sign


def test_filters_of_the_users_are_no_drift_unless_they_are_the_logged_ones(
    filled: Engine, truth: Truth, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "- {name: flexible-extract, filter: [{function: lowercase}, {function: take_first}]}\n"
    )
    request = ScoreRequest(("small_sums",), include_paths=(str(truth.tasks),), filters=str(mine))
    assert not signs(list(score_runs(filled, [FIRST_RUN], request)))


def test_strict_keeps_no_scores_of_what_drifted(filled: Engine, other_filter: ScoreRequest) -> None:
    before = n_scores(filled)
    strict = replace(other_filter, tasks=("small_sums", "small_pairs"), strict=True)
    rows = list(score_runs(filled, [FIRST_RUN], strict))
    by_task = {row.task: row for row in rows}
    assert by_task["small_pairs"].status == "complete"
    off = by_task["small_sums"]
    assert (off.status, off.value) == ("failed", None)
    assert "drift: the response after filter 'flexible-extract' differs" in (off.reason or "")
    kept = sum(row.n for row in rows if row.task == "small_pairs")
    assert n_scores(filled) - before == kept

    lax = list(score_runs(filled, [FIRST_RUN], other_filter))
    assert {row.status for row in lax} == {"complete"}
    held = n_scores(filled)
    (again,) = score_runs(filled, [FIRST_RUN], replace(other_filter, strict=True))
    assert (again.status, again.value, again.known) == ("failed", None, True)
    assert n_scores(filled) == held


def test_strict_stops_what_a_request_that_was_not_strict_began(
    filled: Engine, other_filter: ScoreRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rescore_db.rescoring.slot import Slot

    real = Slot.call

    def stops(self: Slot, op: str, **arguments: object) -> object:
        if op == "aggregate":
            raise KeyboardInterrupt
        return real(self, op, **arguments)

    before = n_scores(filled)
    monkeypatch.setattr(Slot, "call", stops)
    with pytest.raises(KeyboardInterrupt):
        score_runs(filled, [FIRST_RUN], other_filter)
    assert n_scores(filled) > before
    monkeypatch.setattr(Slot, "call", real)
    (row,) = score_runs(filled, [FIRST_RUN], replace(other_filter, strict=True))
    assert row.status == "failed"
    assert n_scores(filled) == before


def test_signs_of_ranges_are_one_of_the_whole() -> None:
    parts = [
        DriftSign("the target", 1, 10, ((4, "a", "b"),)),
        DriftSign("the target", 5, 10, ((11, "a", "b"), (12, "a", "b"), (13, "a", "b"))),
    ]
    (whole,) = merged(parts)
    assert drift_text(whole) == (
        "the target differs in 6 of 20 samples, first at positions 4, 11, 12: 'a' instead of 'b'"
    )
    assert drift_text(parts[0]).endswith("1 of 10 samples, at position 4: 'a' instead of 'b'")
