from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import NotFoundError
from rescore_db.ingest import ingest_paths
from rescore_db.ingest.dry_run import RATES, plan_ingest
from rescore_db.report.planned import dry_run_text, duration
from rescore_db.report.tables import Page
from tests.ingest.logs import MODEL, Log, choices, sums

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records.planned import DryRun


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a run of two tasks."""
    return Log({"sums": sums(), "odds": choices()}).write(tmp_path)


def states(plan: DryRun) -> dict[str, str]:
    return {row.task or "results": row.state for row in plan.files}


def test_a_first_look_needs_no_store_and_reads_no_samples(folder: Path) -> None:
    for path in folder.glob("samples_*"):
        path.write_bytes(b"\xff" * 1000)

    plan = plan_ingest(None, [str(folder)])

    assert states(plan) == {"results": "new", "sums": "new", "odds": "new"}
    assert [row.kind for row in plan.files] == ["results", "samples", "samples"]
    assert {(row.model, row.date) for row in plan.files} == {(MODEL, "2026-01-05T09:30:00.000101")}
    assert plan.runs == 1
    assert plan.bytes == sum(path.stat().st_size for path in folder.iterdir())
    results = next(row.bytes for row in plan.files if row.kind == "results")
    assert plan.expected_growth == round(results + 2000 * RATES.first_growth)
    assert plan.expected_seconds > 0


def test_what_is_stored_is_known(engine: Engine, folder: Path) -> None:
    ingest_paths(engine, [str(folder)])

    plan = plan_ingest(engine, [str(folder)])

    assert set(states(plan).values()) == {"known"}
    assert plan.expected_growth == 0


def test_what_only_its_content_tells_is_unsure(engine: Engine, folder: Path) -> None:
    ingest_paths(engine, [str(folder)])
    next(folder.glob("results_*")).unlink()

    assert states(plan_ingest(engine, [str(folder)])) == {"sums": "unsure", "odds": "unsure"}


def test_a_copy_of_a_run_is_known(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "zz" / folder.name
    shutil.copytree(folder, copy)

    plan = plan_ingest(None, [str(tmp_path)])

    assert plan.runs == 1
    assert [row.state for row in plan.files] == ["new"] * 3 + ["known"] * 3


def test_another_model_on_the_same_task_costs_less(folder: Path, tmp_path: Path) -> None:
    alone = plan_ingest(None, [str(folder)])
    other = Log({"sums": sums()}, results=None, model="another/one").write(tmp_path)

    both = plan_ingest(None, [str(folder), str(other)])

    size = next(row.bytes for row in both.files if row.model == "another/one")
    assert both.expected_growth - alone.expected_growth == pytest.approx(
        size * RATES.next_growth, abs=1
    )


def test_compressed_files_count_as_what_they_hold(folder: Path) -> None:
    path = next(folder.glob("samples_sums*"))
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes() * 100))
    plain = plan_ingest(None, [str(folder)]).expected_growth
    path.unlink()

    assert plan_ingest(None, [str(folder)]).expected_growth > plain


def test_damaged_results_are_an_error_and_samples_are_listed(folder: Path) -> None:
    next(folder.glob("results_*")).write_text('{"results": {')

    plan = plan_ingest(None, [str(folder)])

    assert len(plan.errors) == 1
    assert {row.model for row in plan.files} == {MODEL}


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no lm-eval files here"):
        plan_ingest(None, [str(tmp_path)])


def test_words_name_every_file_and_what_to_expect(folder: Path) -> None:
    (folder / "other.json").write_text("{}")

    told = dry_run_text(plan_ingest(None, [str(folder)]), Page())

    assert told.startswith(f"{MODEL} · 2026-")
    assert all(path.name in told for path in folder.iterdir())
    assert "would read 3 files of 1 run (3 new)" in told
    assert "the database grows by about" in told
    assert "skipped 1 file: not a file of lm-eval" in told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "less than a second"), (4.2, "4 s"), (720, "12 min"), (12600, "3.5 h")],
)
def test_times_are_told_as_people_do(seconds: float, told: str) -> None:
    assert duration(seconds) == told
