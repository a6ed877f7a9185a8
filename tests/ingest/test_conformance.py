"""Real logs, where a folder of them is at hand: RESCORE_TEST_LOGS, else ../shared/data."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from rescore_db.ingest import ingest_paths
from rescore_db.store import schema
from rescore_db.store.engine import reading
from rescore_db.store.logged_lines import iter_lines
from tests.ingest.stored import column, counts, exact

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rescore_db.records import IngestReport

LOGS = Path(os.environ.get("RESCORE_TEST_LOGS") or Path(__file__).parents[3] / "shared" / "data")
HOSTILE = LOGS / "hostile"

pytestmark = pytest.mark.skipif(
    not LOGS.is_dir(), reason=f"no real logs at {LOGS}: set RESCORE_TEST_LOGS to a folder of them"
)

SETS = (
    "agieval", "bbh", "blimp", "chat_api", "chat_hf", "code", "core", "glue", "history",
    "loglikelihood", "mmlu", "mmlu_pro", "predict_only", "samples_flag", "self_consistency",
    "translation", "user_task_runs", "versions/0.4.8", "versions/0.4.9.1", "versions/0.4.10",
    "versions/0.4.12", "real/pyfade",
)  # fmt: skip

LOSSLESS = {
    "nan_inf_metrics": "",
    "lone_surrogate_escape": "",
    "line_separators": "",
    "nul_characters": "1 of 11 samples have a logged hash",
    "huge_integers": "3 of 10 samples have a logged hash",
    "duplicate_doc_ids": "1 of 10 samples repeat a document",
    "non_string_response": "",
    "no_results_file": "no results file that can be read",
    "blank_lines": "",
    "gzip": "",
    "zstd_copy": "",
    "metric_named_like_field": "10 of 10 samples have a logged hash",
    "metric_missing": "metric acc_norm of filter none is on no line",
    "unknown_task": "",
    "bom": "",
    "wrong_doc_hash": "10 of 10 samples have a logged hash",
    "filter_incomplete": "filter strict-match has 7 of 10 samples",
    "shuffled_lines": "",
    "conflicting_rerun/first": "",
}
"""Folder → what must be said about it."""

BAD = {
    "truncated_last_line": (20, "ends in the middle"),
    "invalid_json_middle": (5, "not valid JSON"),
    "empty_samples_file": (None, "announces 10 documents"),
    "latin1": (1, "UTF-8"),
    "truncated_results": (61, "not valid JSON"),
    "deep_nesting": (2, "nested too deeply"),
}


def take(engine: Engine, *paths: Path) -> IngestReport:
    return ingest_paths(engine, [str(path) for path in paths])


def records(path: str) -> list[str]:
    """The records of a samples file as canonical text."""
    raw = (
        gzip.decompress(Path(path).read_bytes())
        if path.endswith(".gz")
        else Path(path).read_bytes()
    )
    return [exact(json.loads(line)) for line in raw.decode("utf-8-sig").split("\n") if line.strip()]


def assert_all_lines_come_back(engine: Engine) -> None:
    evaluation, source = schema.evaluation, schema.source_file
    query = select(evaluation.c.id, source.c.path).join(source)
    with reading(engine) as conn:
        found = conn.execute(query).all()
        assert found
        for key, path in found:
            assert [exact(line) for line in iter_lines(conn, key)] == records(path), path


@pytest.mark.parametrize("name", SETS)
def test_every_set_goes_in_once_and_comes_back(engine: Engine, name: str) -> None:
    folder = LOGS / name
    files = list(folder.rglob("samples_*.jsonl"))

    report = take(engine, folder)

    assert report.errors == ()
    assert report.evaluations == len(files)
    assert column(engine, "evaluation.n_hash_mismatches") == [0] * len(files)
    assert not any(column(engine, "evaluation.incomplete"))
    assert counts(engine, "line") == {"line": 0}
    assert_all_lines_come_back(engine)
    again = take(engine, folder)
    assert (again.evaluations, again.samples, again.runs) == (0, 0, report.runs)


@pytest.mark.parametrize(("name", "tasks"), [("core", 7), ("mmlu", 57), ("bbh", 27)])
def test_the_models_of_a_set_share_its_tasks(engine: Engine, name: str, tasks: int) -> None:
    take(engine, LOGS / name)

    assert counts(engine, "task") == {"task": tasks}
    assert len(set(column(engine, "task.name"))) == tasks


@pytest.mark.parametrize("name", LOSSLESS)
def test_what_is_only_odd_goes_in_and_comes_back(engine: Engine, name: str) -> None:
    report = take(engine, HOSTILE / name)

    assert report.errors == ()
    assert report.evaluations == 1
    assert not LOSSLESS[name] or any(LOSSLESS[name] in note for note in report.notes), report.notes
    assert_all_lines_come_back(engine)


@pytest.mark.parametrize("name", BAD)
def test_what_is_damaged_names_its_place(engine: Engine, name: str) -> None:
    line, words = BAD[name]

    report = take(engine, HOSTILE / name)

    (error,) = report.errors
    assert error.line == line
    assert words in error.message
    assert len(report.runs) == 1  # its results, or its samples
    expected = 10 if name == "truncated_results" else 0
    assert counts(engine, "sample") == {"sample": expected}


def test_copies_and_reruns_are_told_apart(engine: Engine) -> None:
    twice = take(engine, HOSTILE / "same_run_twice")
    assert (twice.evaluations, len(twice.skipped)) == (1, 2)

    rerun = take(engine, HOSTILE / "conflicting_rerun" / "second")
    assert column(engine, "run.version") == [1, 2]
    assert any("differs from version 1" in note for note in rerun.notes)
    assert_all_lines_come_back(engine)


def test_other_files_are_named_as_passed_over(engine: Engine) -> None:
    report = take(engine, HOSTILE / "unrelated")

    passed_over = {Path(one.file).name for one in report.skipped}
    others = {path.name for path in (HOSTILE / "unrelated").iterdir()}
    assert passed_over == others - {"results_old.json"}
    assert (len(report.runs), report.samples, report.errors) == (1, 0, ())


def test_results_alone_are_a_run(engine: Engine) -> None:
    report = take(engine, HOSTILE / "no_samples_file")

    assert (report.evaluations, report.samples, report.errors) == (1, 0, ())
    with reading(engine) as conn:
        assert conn.scalar(select(func.count()).select_from(schema.aggregate)) == 2
