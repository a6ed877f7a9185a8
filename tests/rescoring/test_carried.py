"""Samples that are unchanged in a new version of their run keep their rescored scores."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from rescore_db.ingest import ingest_paths
from rescore_db.rescoring.request import ScoreRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.store import schema
from rescore_db.store.engine import reading
from rescore_db.store.scored import read_aggregates, read_filters
from rescore_db.store.scores import iter_values

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth

DATE = "2026-01-05"


@pytest.fixture
def logs(truth: Truth, tmp_path: Path) -> Path:
    """One run's files, to be changed."""
    out = tmp_path / "logs"
    out.mkdir()
    for path in truth.folder(truth.models[0]).iterdir():
        if DATE in path.name and ("results" in path.name or "small_" in path.name):
            shutil.copy(path, out)
    return out


def score(engine: Engine, truth: Truth, run: int, *tasks: str) -> list[Any]:
    request = ScoreRequest(tasks=tasks, include_paths=(str(truth.tasks),))
    return list(score_runs(engine, [str(run)], request))


def rescored(engine: Engine, run: int) -> dict[str, Any]:
    """Task → name, status and every score of the rescored scorings of a run."""
    scored, scoring = schema.scored_evaluation, schema.scoring
    query = (
        select(scored, scoring.c.name.label("scoring"), schema.task.c.name.label("task"))
        .join(scoring, scoring.c.id == scored.c.scoring_id)
        .join(schema.evaluation, schema.evaluation.c.id == scored.c.evaluation_id)
        .join(schema.task, schema.task.c.id == schema.evaluation.c.task_id)
        .where(scoring.c.run_id == run, scoring.c.kind == "rescored")
    )
    with reading(engine) as conn:
        return {
            row.task: (
                row.scoring, row.status, row.n, row.recipe_id, row.environment_id,
                [
                    (one.name, metric.metric, metric.value, metric.stderr, metric.n,
                     list(iter_values(conn, metric.id, metric.kind)))
                    for one in read_filters(conn, row.id)
                    for metric in read_aggregates(conn, one.id)
                ],
            )
            for row in conn.execute(query).all()
        }  # fmt: skip


@pytest.mark.usefixtures("warm_children")
def test_rewritten_results_leave_the_scores_of_the_samples(
    engine: Engine, truth: Truth, logs: Path
) -> None:
    (first,) = ingest_paths(engine, [str(logs)]).runs
    score(engine, truth, first, "small_sums", "small_pairs")
    before = rescored(engine, first)
    (path,) = logs.glob("results_*")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "written again"}))

    report = ingest_paths(engine, [str(logs)])

    (second,) = report.runs
    assert second != first
    assert rescored(engine, second) == before != {}
    assert sum(f"unchanged since run {first}, whose 1 scoring" in one for one in report.notes) == 2
    rows = score(engine, truth, second, "small_sums")
    assert rows
    assert all(row.known for row in rows)
    assert ingest_paths(engine, [str(logs)]).evaluations == 0
    assert rescored(engine, second) == before


@pytest.mark.usefixtures("warm_children")
def test_changed_samples_and_changed_questions_are_scored_anew(
    engine: Engine, truth: Truth, logs: Path
) -> None:
    (first,) = ingest_paths(engine, [str(logs)]).runs
    score(engine, truth, first, "small_sums", "small_pairs")
    (sums,) = logs.glob("samples_small_sums_*")
    sums.write_bytes(b"".join(sums.read_bytes().splitlines(keepends=True)[:-1]))
    (path,) = logs.glob("results_*")
    content = json.loads(path.read_text())
    content["configs"]["small_pairs"]["description"] = "Otherwise."
    path.write_text(json.dumps(content))

    (second,) = ingest_paths(engine, [str(logs)]).runs

    assert rescored(engine, second) == {}
    assert rescored(engine, first) != {}
