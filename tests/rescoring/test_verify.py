"""What lm-eval logged is recomputed, and every kind of difference gets its name."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from rescore_db.ingest import ingest_paths
from rescore_db.records import IngestOptions
from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.verify import verify_runs
from rescore_db.store import schema
from rescore_db.store.engine import atomic, open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import VerifyRow
    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")
FIRST_RUN = "larch/wren-1b@2026-01-05"


def request(truth: Truth, *tasks: str) -> VerifyRequest:
    return VerifyRequest(tasks=tasks, include_paths=(str(truth.tasks),))


def aggregates_of(engine: Engine, task: str) -> list[int]:
    """The ids of a task's logged aggregates in the first run."""
    with atomic(engine) as conn:
        query = (
            select(schema.aggregate.c.id)
            .join(schema.scored_filter)
            .join(schema.scored_evaluation)
            .join(schema.evaluation)
            .join(schema.task)
            .where(schema.task.c.name == task, schema.evaluation.c.run_id == 1)
            .order_by(schema.aggregate.c.id)
        )
        return list(conn.scalars(query))


def statuses(rows: list[VerifyRow]) -> set[tuple[str, str]]:
    return {(row.task, row.status) for row in rows}


def test_everything_lm_eval_wrote_is_identical_groups_included(
    filled: Engine, truth: Truth
) -> None:
    rows = list(verify_runs(filled, [FIRST_RUN], request(truth)))
    assert {row.status for row in rows} == {"identical"}
    evaluated = truth.results()
    assert {row.task for row in rows if not row.is_group} == set(evaluated["configs"])
    assert {row.task for row in rows if row.is_group} == set(evaluated["groups"])


def test_a_changed_score_is_different_and_shown(filled: Engine, truth: Truth) -> None:
    key = aggregates_of(filled, "small_things")[0]
    with atomic(filled) as conn:
        table = schema.score
        wrong = update(table).where(table.c.aggregate_id == key, table.c.position == 2)
        conn.execute(wrong.values(value=0.5))
    rows = list(verify_runs(filled, [FIRST_RUN], request(truth, "small_things")))
    (row,) = rows
    assert row.status == "different"
    assert row.n_differences == 1
    (shown,) = row.differences
    assert (shown.where, shown.what, shown.logged) == ("position 2", "acc", 0.5)


def test_a_changed_filtered_response_is_different_and_shown(filled: Engine, truth: Truth) -> None:
    table = schema.filtered_response
    with atomic(filled) as conn:
        conn.execute(update(table).where(table.c.position == 1).values(text="7", is_json=False))
    rows = list(verify_runs(filled, [FIRST_RUN], request(truth, "small_sums")))
    assert {row.status for row in rows} == {"different"}
    shown = [(one.where, one.what, one.logged) for row in rows for one in row.differences]
    assert shown == [("position 1", "filtered response", ["7"])] * 2


def test_last_digits_are_told_from_differences(filled: Engine, truth: Truth) -> None:
    key = aggregates_of(filled, "small_weather")[-1]
    with atomic(filled) as conn:
        table = schema.aggregate
        conn.execute(
            update(table).where(table.c.id == key).values(value=table.c.value * (1 + 1e-15))
        )
    (row,) = verify_runs(filled, [FIRST_RUN], request(truth, "small_weather"))
    assert row.status == "ulp"
    assert "last digits" in (row.reason or "")


def test_a_changed_definition_is_drift_and_names_the_field(
    filled: Engine, truth: Truth, tmp_path: Path
) -> None:
    changed = tmp_path / "tasks"
    shutil.copytree(truth.tasks, changed)
    path = changed / "small_sums.yaml"
    text = path.read_text()
    assert "regex_pattern" in text
    path.write_text(
        text.replace("#### (", "##### (").replace("group_select: -1", "group_select: 0")
    )
    moved = VerifyRequest(tasks=("small_sums",), include_paths=(str(changed),))
    rows = list(verify_runs(filled, [FIRST_RUN], moved))
    assert {row.status for row in rows} == {"drift"}
    assert all("filter_list" in (row.reason or "") for row in rows)


def test_a_filter_that_the_definition_no_longer_has_is_drift(
    filled: Engine, truth: Truth, tmp_path: Path
) -> None:
    changed = tmp_path / "tasks"
    shutil.copytree(truth.tasks, changed)
    path = changed / "small_sums.yaml"
    path.write_text(path.read_text().replace("name: strict-match", "name: exact"))
    moved = VerifyRequest(tasks=("small_sums",), include_paths=(str(changed),))
    rows = {row.filter: row for row in verify_runs(filled, [FIRST_RUN], moved)}
    assert set(rows) == {"strict-match", "flexible-extract", "exact"}
    assert (rows["exact"].status, rows["exact"].n) == ("drift", 0)
    assert rows["strict-match"].status == "drift"
    assert "strict-match" in (rows["strict-match"].reason or "")
    assert rows["flexible-extract"].status == "identical"


def test_a_task_without_a_definition_is_unsupported_with_the_way_out(filled: Engine) -> None:
    (row, *_) = verify_runs(filled, [FIRST_RUN], VerifyRequest(tasks=("small_units",)))
    assert row.status == "unsupported"
    assert "--include-path" in (row.reason or "")


def test_verify_works_on_a_store_that_it_cannot_write(truth: Truth, sqlite_url: str) -> None:
    writable = open_engine(sqlite_url)
    ingest_paths(writable, [str(truth.folder(truth.models[0]))])
    writable.dispose()
    engine = open_engine(sqlite_url, write=False)
    rows = list(verify_runs(engine, [FIRST_RUN], request(truth, "small_things")))
    engine.dispose()
    assert statuses(rows) == {("small_things", "identical")}


def test_a_cut_log_is_compared_sample_by_sample(
    engine: Engine, truth: Truth, tmp_path: Path
) -> None:
    folder = tmp_path / "larch__wren-1b"
    shutil.copytree(truth.folder(truth.models[0]), folder)
    for task in ("small_things", "small_trades_garden"):
        path = folder / truth.samples_file(task).name
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    ingest_paths(engine, [str(folder)])
    tasks = ("small_things", "small_trades_*")
    rows = {row.task: row for row in verify_runs(engine, [FIRST_RUN], request(truth, *tasks))}
    for task in ("small_things", "small_trades_garden"):
        assert rows[task].status == "identical"
        assert "the log holds 3" in (rows[task].reason or "")
    assert rows["small_trades"].status == "unlogged"


def test_lines_that_could_not_be_stored_are_told(
    engine: Engine, truth: Truth, tmp_path: Path
) -> None:
    path = tmp_path / truth.samples_file("small_things").name
    lines = truth.samples_file("small_things").read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2][:50] + "\n", *lines[3:]]))
    ingest_paths(engine, [str(path)], options=IngestOptions(skip_bad_lines=True))
    told = "1 line of the log could not be stored (rescore ingest --errors)"

    (verified,) = verify_runs(engine, [], request(truth))
    scored = score_runs(engine, [], ScoreRequest(include_paths=(str(truth.tasks),)))

    assert (verified.status, verified.reason) == ("identical", told)
    assert {(row.status, row.reason, row.n) for row in scored} == {("complete", told, 7)}


def test_predictions_without_scores_are_unlogged(
    engine: Engine, truth: Truth, tmp_path: Path
) -> None:
    folder = tmp_path / "logs" / "larch__wren-1b"
    folder.mkdir(parents=True)
    for line_file in [truth.samples_file("small_sums")]:
        lines = [json.loads(text) for text in line_file.read_text().splitlines()]
        for line in lines:
            for metric in line["metrics"]:
                del line[metric]
            line["metrics"] = ["bypass"]
            line["bypass"] = None
        name = line_file.name
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    ingest_paths(engine, [str(folder)])
    rows = list(verify_runs(engine, [], request(truth, "small_sums")))
    assert {row.status for row in rows} == {"unlogged"}
