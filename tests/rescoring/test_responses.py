"""Responses without a log are scored like any run, with lm-eval's own numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rescore_db.export import ExportRequest, export_runs
from rescore_db.ingest import ingest_paths
from rescore_db.ingest.responses import ResponsesOf, ingest_responses
from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.verify import verify_runs
from rescore_db.store.engine import open_engine
from rescore_db.store.lifecycle import init

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth

TASKS = (  # those whose metrics are not resampled: without a log that takes 100,000 rounds
    *("small_sums", "small_things", "small_votes", "small_orders", "small_spellings"),
    *("small_pages", "small_weather", "small_fill_in"),
)
pytestmark = pytest.mark.usefixtures("warm_children")


def test_they_get_the_scores_that_lm_eval_gave(
    engine: Engine, truth: Truth, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/logs.db"
    init(url)
    logs = open_engine(url)
    ingest_paths(logs, [str(truth.logs / "tern-ai__heron-7b")])
    export_runs(logs, tmp_path / "out", ExportRequest("responses", tasks=TASKS))
    logs.dispose()
    for path in sorted(tmp_path.glob("out/*/*.jsonl")):
        task = path.stem.removeprefix("responses_").rpartition("_")[0]
        report = ingest_responses(engine, str(path), ResponsesOf(task, "elsewhere"))
        assert report.errors == ()

    rows = score_runs(engine, [], ScoreRequest(include_paths=(str(truth.tasks),)))

    assert {(row.status, row.reason) for row in rows} == {("complete", None)}
    expected = truth.results("tern-ai/heron-7b", truth.dates[0])["results"]
    found = {(row.task, f"{row.metric},{row.filter}"): row.value for row in rows}
    assert {task for task, _ in found} == set(TASKS)
    assert found == {key: expected[key[0]][key[1]] for key in found}


def test_there_is_nothing_to_verify(engine: Engine, truth: Truth, tmp_path: Path) -> None:
    ingest_paths(engine, [str(truth.samples_file("small_sums"))])
    path = tmp_path / "answers.jsonl"
    path.write_text('{"doc_id": 0, "response": "It is 4."}\n', encoding="utf-8")
    report = ingest_responses(engine, str(path), ResponsesOf("small_sums", "elsewhere"))
    assert report.errors == ()
    run = str(report.runs[0])

    rows = verify_runs(engine, [run], VerifyRequest(include_paths=(str(truth.tasks),)))

    assert {row.status for row in rows} == {"unlogged"}
    assert {row.reason for row in rows} == {"there is no log: the responses were made elsewhere"}
    unknown = verify_runs(engine, [run], VerifyRequest())
    assert [(row.status, row.filter) for row in unknown] == [("unsupported", "")]


def test_an_unknown_target_is_no_drift(engine: Engine, truth: Truth, tmp_path: Path) -> None:
    doc = truth.samples("small_sums")[0]["doc"]
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"doc": doc, "response": "It is 4."}) + "\n", encoding="utf-8")
    ingest_responses(engine, str(path), ResponsesOf("small_sums", "elsewhere"))

    rows = score_runs(engine, [], ScoreRequest(include_paths=(str(truth.tasks),)))

    assert {(row.status, row.reason) for row in rows} == {("complete", None)}
