"""What lm-eval returned goes in as its files would have."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.api import Store
from rescore_db.errors import UsageError
from rescore_db.harness.tracker import write_logs
from rescore_db.ingest import ingest_paths
from rescore_db.ingest.in_memory import ingest_results
from rescore_db.store import runs
from rescore_db.store.engine import reading
from tests.export.exporting import export, files_in
from tests.ingest.stored import column, counts
from tests.truth import EVERY_TASK, TASKS, Invocation, made_once, offline_environment

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

RESULTS = "larch__wren-1b/results_2026-01-05T09-30-00.000101.json"


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with lm-eval's files and, pickled, what it returned."""

    def make(out: Path) -> None:
        out.mkdir()
        (out / "tasks").symlink_to(TASKS)
        work = [Invocation(tasks=EVERY_TASK).for_child(out / "logs")]
        subprocess.run(
            [sys.executable, "-m", "tests.run_in_memory"],
            input=json.dumps(work),
            cwd=out,
            env=offline_environment(out),
            text=True,
            check=True,
            capture_output=True,
        )

    return made_once(tmp_path_factory, "in-memory", make)


@pytest.fixture
def results(both: Path) -> dict[str, Any]:
    found: dict[str, Any] = pickle.loads((both / "results.pickle").read_bytes())  # noqa: S301
    return found


def test_both_ways_give_the_same_content(
    engine: Engine, both: Path, results: dict[str, Any], tmp_path: Path
) -> None:
    ingest_paths(engine, [str(both / "logs")])
    export(engine, tmp_path / "files")
    before = counts(engine, "doc", "context", "target", "request")

    report = ingest_results(engine, results)

    assert report.errors == ()
    assert counts(engine, "doc", "context", "target", "request") == before
    export(engine, tmp_path / "memory", runs=(str(report.runs[0]),))
    files, memory = (files_in(tmp_path / name) for name in ("files", "memory"))
    assert files.keys() == memory.keys()
    assert {name for name in files if files[name] != memory[name]} == {RESULTS}
    mine, theirs = json.loads(memory[RESULTS]), json.loads(files[RESULTS])
    assert mine.keys() == theirs.keys()
    assert {key for key in mine if mine[key] != theirs[key]} == {"total_evaluation_time_seconds"}


def test_the_results_stay_as_they_were_and_the_same_again_adds_nothing(
    engine: Engine, results: dict[str, Any]
) -> None:
    before = pickle.dumps(results)

    first = ingest_results(engine, results)
    rows = counts(engine)
    again = ingest_results(engine, results)

    assert pickle.dumps(results) == before
    assert again.runs == first.runs
    assert {one.reason for one in again.skipped} == {f"already in the store as run {first.runs[0]}"}
    assert all("/tmp" not in one.file for one in again.skipped)  # noqa: S108 - a text
    assert counts(engine) == rows


def test_paths_do_not_name_a_folder_that_is_gone(engine: Engine, results: dict[str, Any]) -> None:
    ingest_results(engine, results)

    paths = column(engine, "source_file.path")
    assert paths
    assert all(path.startswith("larch__wren-1b/samples_") for path in paths)


def test_the_model_may_be_named(engine: Engine, results: dict[str, Any]) -> None:
    report = Store(engine, "").ingest_results(results, model="my/own")

    with reading(engine) as conn:
        text = runs.get_results_json(conn, report.runs[0])
    assert column(engine, "run.model") == ["my/own"]
    assert json.loads(text or "")["model_name_sanitized"] == "my__own"


def test_what_another_tracker_said_is_kept(results: dict[str, Any], tmp_path: Path) -> None:
    known = {"chat_template": "{{ x }}", "model_name": "a/b", "total_evaluation_time_seconds": "5"}

    folder = write_logs(results | known, str(tmp_path))

    assert folder.name == "a__b"
    written = json.loads(next(folder.glob("results_*.json")).read_text(encoding="utf-8"))
    assert {key: written[key] for key in known} == known


def test_without_a_date_it_is_now(results: dict[str, Any], tmp_path: Path) -> None:
    del results["date"]

    folder = write_logs(results, str(tmp_path))

    assert len(list(folder.glob("samples_*.jsonl"))) == len(results["samples"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples": None}, "hold no samples: call lm_eval.simple_evaluate(..., log_samples=True)"),
        ({"config": {}}, "do not say which model they are of: give model=NAME"),
        ({"configs": {"small_sums": object}, "samples": {"small_sums": [{}]}}, "could not write"),
    ],
)
def test_what_cannot_be_stored_is_told(
    engine: Engine, results: dict[str, Any], changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        ingest_results(engine, results | changed)

    assert message in str(error.value)
    assert counts(engine, "run") == {"run": 0}


@pytest.mark.parametrize("given", [None, {}, [], "results.json"])
def test_other_things_are_no_results(engine: Engine, given: Any) -> None:
    with pytest.raises(UsageError, match=r"no results"):
        ingest_results(engine, given)
