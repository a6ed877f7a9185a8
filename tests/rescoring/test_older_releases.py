"""Runs of older releases of lm-eval: read, given back, and recomputed to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

import rescore_db
from rescore_db.ingest import ingest_paths
from rescore_db.rescoring.filter_names import filters_meant
from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.verify import verify_runs
from rescore_db.store import schema
from rescore_db.store.engine import reading
from rescore_db.store.logged_lines import iter_lines
from rescore_db.store.scored import logged_evaluation, read_filters
from tests.older_logs import (
    lines_of_0_4_0,
    lines_of_0_4_3,
    read_lines,
    samples_files,
    write_0_4_0,
    write_0_4_3,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")
SUMS = "small_sums"


def request(truth: Truth, *tasks: str) -> VerifyRequest:
    return VerifyRequest(tasks=tasks, include_paths=(str(truth.tasks),))


def logged_lines(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Task → the records that export writes."""
    evaluation, task = schema.evaluation, schema.task
    query = select(task.c.name, evaluation.c.id).join(task, task.c.id == evaluation.c.task_id)
    with reading(engine) as conn:
        return {name: list(iter_lines(conn, key)) for name, key in conn.execute(query).all()}


def logged_filters(engine: Engine) -> list[str]:
    """The filters of the only evaluation's log."""
    with reading(engine) as conn:
        (key,) = conn.scalars(select(schema.evaluation.c.id))
        scored = logged_evaluation(conn, key)
        assert scored is not None
        return [one.name for one in read_filters(conn, scored)]


def only_samples(folder: Path, task: str) -> None:
    """Leave the samples of one task."""
    for path in folder.iterdir():
        if f"_{task}_2" not in path.name:
            path.unlink()


@pytest.mark.parametrize(
    ("write", "lines_of"), [(write_0_4_3, lines_of_0_4_3), (write_0_4_0, lines_of_0_4_0)]
)
def test_every_kind_of_task_is_identical(
    engine: Engine,
    truth: Truth,
    tmp_path: Path,
    write: Callable[[Path, Path], Path],
    lines_of: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
) -> None:
    today = truth.folder(truth.models[0])
    older = write(today, tmp_path)

    report = ingest_paths(engine, [str(older)])

    assert not report.errors
    rows = list(verify_runs(engine, [], request(truth)))
    assert {
        (row.task, row.status, row.reason) for row in rows if row.status != "identical"
    } == set()
    found = logged_lines(engine)
    assert set(found) == set(truth.results()["configs"])
    for task, lines in found.items():
        wanted = lines_of(read_lines(samples_files(today)[task]))
        assert json.dumps(lines) == json.dumps(wanted)


def test_filters_without_names_are_compared_by_their_place(
    engine: Engine, truth: Truth, tmp_path: Path
) -> None:
    older = write_0_4_3(truth.folder(truth.models[0]), tmp_path)
    only_samples(older, SUMS)
    ingest_paths(engine, [str(older)])

    rows = list(verify_runs(engine, [], request(truth)))

    defined = [one["name"] for one in truth.results()["configs"][SUMS]["filter_list"]]
    assert [(row.filter, row.status) for row in rows] == [
        (f"filter-{at}", "identical") for at in range(1, len(defined) + 1)
    ]
    for row, name in zip(rows, defined, strict=True):
        assert f"compared with {name!r} by its place" in (row.reason or "")


def test_scoring_learns_the_names_of_filters(engine: Engine, truth: Truth, tmp_path: Path) -> None:
    older = write_0_4_3(truth.folder(truth.models[0]), tmp_path)
    only_samples(older, SUMS)
    ingest_paths(engine, [str(older)])
    before = logged_lines(engine)
    score = ScoreRequest(tasks=(SUMS,), include_paths=(str(truth.tasks),))
    filters = tmp_path / "filters.yaml"
    filters.write_text("- name: mine\n  filter:\n  - function: take_first\n")

    score_runs(engine, [], replace(score, filters=str(filters)))
    assert logged_filters(engine) == ["filter-1", "filter-2"]
    score_runs(engine, [], score)

    defined = [one["name"] for one in truth.results()["configs"][SUMS]["filter_list"]]
    assert logged_filters(engine) == defined
    assert logged_lines(engine) == before
    rows = list(verify_runs(engine, [], request(truth)))
    assert [(row.filter, row.status, row.reason) for row in rows] == [
        (name, "identical", None) for name in defined
    ]


def test_a_results_file_that_comes_later_names_the_filters(
    engine: Engine, truth: Truth, tmp_path: Path
) -> None:
    older = write_0_4_3(truth.folder(truth.models[0]), tmp_path)
    (results,) = older.glob("results_*.json")
    kept = results.read_bytes()
    only_samples(older, SUMS)
    ingest_paths(engine, [str(older)])
    results.write_bytes(kept)

    report = ingest_paths(engine, [str(older)])

    assert not report.errors
    rows = list(verify_runs(engine, [], request(truth, SUMS)))
    assert [row.filter for row in rows] == list(
        dict.fromkeys(one["name"] for one in truth.results()["configs"][SUMS]["filter_list"])
    )
    assert {row.status for row in rows} == {"identical"}


def test_a_file_of_an_older_release_is_scored_without_a_store(truth: Truth, tmp_path: Path) -> None:
    for write, pattern in ((write_0_4_3, f"samples_{SUMS}_2*"), (write_0_4_0, f"*_{SUMS}.jsonl")):
        older = write(truth.folder(truth.models[0]), tmp_path / write.__name__)
        (path,) = older.glob(pattern)

        found = list(rescore_db.rescore_file(path, task=SUMS, include_paths=truth.tasks))

        defined = [one["name"] for one in truth.results()["configs"][SUMS]["filter_list"]]
        assert list(dict.fromkeys(one.filter for one in found)) == defined
        assert all(one.metrics == one.logged for one in found)


@pytest.mark.parametrize(
    ("logged", "defined", "meant"),
    [
        (["filter-1", "filter-2"], ["x", "y"], ["x", "y"]),
        (["filter-1"], ["x", "y"], ["filter-1"]),
        (["filter-1", "filter-2"], ["x"], ["filter-1", "filter-2"]),
        (["filter-2", "filter-1"], ["x", "y"], ["filter-2", "filter-1"]),
        (["filter-1", "filter-2"], ["filter-2", "x"], ["filter-1", "filter-2"]),
        (["x", "y"], ["y", "x"], ["x", "y"]),
        ([], [], []),
    ],
)
def test_only_numbered_filters_are_matched_by_place(
    logged: list[str], defined: list[str], meant: list[str]
) -> None:
    assert list(filters_meant(logged, defined).values()) == meant
