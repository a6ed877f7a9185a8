from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import NotFoundError
from rescore_db.ingest import ingest_paths
from rescore_db.store import schema
from rescore_db.store.engine import open_engine
from tests.ingest.logs import DATE, Log, choices, dump, sums, sums_line
from tests.ingest.stored import aggregates, column, counts, exact, lines_back

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import IngestReport


def take(engine: Engine, *paths: Path) -> IngestReport:
    return ingest_paths(engine, [str(path) for path in paths])


def two_tasks(**changed: object) -> Log:
    return Log({"sums": sums(), "choices": choices()}, **changed)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------ what goes in


def test_a_run_goes_in(engine: Engine, tmp_path: Path) -> None:
    two_tasks().write(tmp_path)

    report = take(engine, tmp_path)

    assert (len(report.runs), report.evaluations, report.samples) == (1, 2, 8)
    assert (report.errors, report.skipped, report.notes) == ((), (), ())
    assert column(engine, "run.model") == ["larch/wren-1b"]
    assert column(engine, "run.date") == ["2026-01-05T09:30:00.000101"]
    assert column(engine, "run.lm_eval_version") == ["0.4.13"]
    assert column(engine, "evaluation.n_samples") == [4, 4]
    assert column(engine, "evaluation.n_lines") == [8, 4]
    assert column(engine, "evaluation.incomplete") == [False, False]
    assert column(engine, "evaluation.n_original") == [1000, 1000]
    assert column(engine, "scoring.name") == ["logged"]
    assert column(engine, "scored_evaluation.status") == ["complete", "complete"]
    assert column(engine, "scored_evaluation.n") == [4, 4]


def test_contents_are_stored_once(engine: Engine, tmp_path: Path) -> None:
    two_tasks().write(tmp_path)
    two_tasks(model="tern-ai/heron-7b").write(tmp_path)

    take(engine, tmp_path)

    found = counts(engine)
    assert (found["run"], found["task"], found["evaluation"], found["sample"]) == (2, 2, 4, 16)
    assert (found["doc"], found["context"], found["request"]) == (8, 8, 8)
    assert found["request_part"] == 0, "each request has one context"


def test_logged_scores_are_the_first_scoring(engine: Engine, tmp_path: Path) -> None:
    two_tasks().write(tmp_path)

    take(engine, tmp_path)

    assert aggregates(engine, "sums") == {
        ("strict", "exact_match"): (0.5, 0.125, 4),
        ("loose", "exact_match"): (0.5, 0.125, 4),
    }
    assert aggregates(engine, "choices") == {
        ("none", "acc"): (1.0, 0.125, 4),
        ("none", "acc_norm"): (0.5, 0.125, 4),
    }
    assert counts(engine, "score", "filtered_response") == {"score": 16, "filtered_response": 8}
    assert set(column(engine, "scored_filter.complete")) == {True}


def test_a_compressed_file_is_the_same_content(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": sums()}).write(tmp_path / "a")
    Log({"sums": sums()}, compress=(".gz", gzip.compress)).write(tmp_path / "b")

    take(engine, tmp_path / "a")
    report = take(engine, tmp_path / "b")

    assert (report.evaluations, counts(engine)["run"]) == (0, 1)
    assert "already in the store as run" in report.skipped[0].reason


def test_samples_without_results_say_what_is_unknown(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": sums()}, results=None).write(tmp_path)

    report = take(engine, tmp_path)

    assert column(engine, "run.model") == ["larch/wren-1b"]
    (notes,) = column(engine, "run.notes_json")
    assert "no results file" in json.loads(notes)[0]
    assert report.notes == (f"larch/wren-1b@2026-01-05T09:30:00.000101: {json.loads(notes)[0]}",)
    assert column(engine, "task.definition_json") == [None]
    assert aggregates(engine, "sums")["strict", "exact_match"] == (None, None, 4)


def test_results_without_samples_are_a_run_too(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    for path in folder.glob("samples_*"):
        path.unlink()

    report = take(engine, tmp_path)

    assert (report.evaluations, report.filled, report.aggregates_only) == (2, 0, 2)
    assert report.samples == 0
    assert column(engine, "evaluation.digest") == [None, None]
    assert aggregates(engine, "sums")["strict", "exact_match"] == (0.5, 0.125, 0)


def test_groups_are_kept_as_logged(engine: Engine, tmp_path: Path) -> None:
    group = {"family": {"acc,none": 0.75, "acc_stderr,none": "N/A", "sample_len": 8}}
    two_tasks(results={"groups": group, "group_subtasks": {"family": ["choices"]}}).write(tmp_path)

    take(engine, tmp_path)

    assert column(engine, "group_metric.group") == ["family"]
    assert column(engine, "group_metric.value") == [0.75]
    assert column(engine, "group_metric.stderr_exact") == ['"N/A"']
    assert column(engine, "group_metric.n") == [8]
    assert counts(engine)["evaluation"] == 2


def test_progress_ends_at_the_end(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    seen: list[tuple[int, int, str]] = []

    ingest_paths(
        engine, [str(tmp_path)], progress=lambda done, total, what: seen.append((done, total, what))
    )

    size = sum(path.stat().st_size for path in folder.iterdir())
    assert seen[-1][:2] == (size, size)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert all(what.startswith(str(folder)) for _, _, what in seen)


def test_one_samples_file_brings_the_aggregates_of_the_other_tasks(
    engine: Engine, tmp_path: Path
) -> None:
    folder = two_tasks().write(tmp_path)

    report = take(engine, folder / f"samples_sums_{DATE}.jsonl")

    assert (report.evaluations, report.filled, report.aggregates_only) == (2, 1, 1)
    assert report.samples == 4


# --------------------------------------------------------------------------- the same again


def test_the_same_again_adds_nothing_and_says_so(engine: Engine, tmp_path: Path) -> None:
    two_tasks().write(tmp_path)
    first = take(engine, tmp_path)
    before = counts(engine)

    again = take(engine, tmp_path)

    assert again.runs == first.runs
    assert (again.evaluations, again.samples) == (0, 0)
    assert {one.reason for one in again.skipped} == {f"already in the store as run {first.runs[0]}"}
    assert len(again.skipped) == 3
    assert counts(engine) == before


def test_one_run_in_two_folders_goes_in_once(engine: Engine, tmp_path: Path) -> None:
    two_tasks().write(tmp_path / "copy1")
    two_tasks().write(tmp_path / "copy2")

    report = take(engine, tmp_path)

    assert (report.evaluations, len(report.runs)) == (2, 1)
    assert len(report.skipped) == 3
    assert all("copy2" in one.file for one in report.skipped)


def test_an_evaluation_that_was_missing_is_added(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    kept = (folder / f"samples_sums_{DATE}.jsonl").rename(tmp_path / "kept")
    take(engine, tmp_path)
    kept.rename(folder / f"samples_sums_{DATE}.jsonl")

    report = take(engine, tmp_path)

    assert (report.evaluations, report.filled, report.aggregates_only) == (1, 1, 0)
    assert report.samples == 4
    assert counts(engine, "run", "evaluation") == {"run": 1, "evaluation": 2}
    assert aggregates(engine, "sums")["loose", "exact_match"] == (0.5, 0.125, 4)
    assert take(engine, tmp_path).evaluations == 0


def test_a_results_file_that_was_missing_is_added(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    results = (folder / f"results_{DATE}.json").rename(tmp_path / "kept")
    take(engine, tmp_path)
    results.rename(folder / f"results_{DATE}.json")

    report = take(engine, tmp_path)

    assert (report.evaluations, report.filled, report.aggregates_only) == (2, 0, 0)
    assert counts(engine, "run", "evaluation", "task") == {"run": 1, "evaluation": 2, "task": 2}
    assert None not in column(engine, "task.definition_json")
    assert column(engine, "run.notes_json") == ["[]"]
    assert aggregates(engine, "choices")["none", "acc_norm"] == (0.5, 0.125, 4)
    assert lines_back(engine, "sums") == [json.dumps(line) for line in sums()]
    assert take(engine, tmp_path).evaluations == 0


def test_changed_samples_are_another_version(engine: Engine, tmp_path: Path) -> None:
    two_tasks().write(tmp_path / "first")
    changed = [sums_line(0, resps=[["No idea"]]), *sums()[1:]]
    Log({"sums": changed, "choices": choices()}).write(tmp_path / "second")

    take(engine, tmp_path / "first")
    report = take(engine, tmp_path / "second")

    assert column(engine, "run.version") == [1, 2]
    assert "differs from version 1" in report.notes[0]
    assert report.evaluations == 2
    assert counts(engine, "doc", "request") == {"doc": 8, "request": 8}
    assert lines_back(engine, "sums", 1) == [json.dumps(line) for line in sums()]
    assert lines_back(engine, "sums", 2) == [json.dumps(line) for line in changed]
    for folder in ("first", "second"):
        assert take(engine, tmp_path / folder).evaluations == 0


def test_changed_results_are_another_version(engine: Engine, tmp_path: Path) -> None:
    two_tasks().write(tmp_path / "first")
    two_tasks(results={"lm_eval_version": "0.4.12"}).write(tmp_path / "second")

    take(engine, tmp_path)

    assert column(engine, "run.version") == [1, 2]
    assert column(engine, "run.lm_eval_version") == ["0.4.13", "0.4.12"]


def test_a_part_of_an_older_version_adds_nothing(engine: Engine, tmp_path: Path) -> None:
    first = two_tasks().write(tmp_path / "first")
    Log({"sums": sums(3)}).write(tmp_path / "second")
    take(engine, tmp_path)

    report = take(engine, first / f"samples_sums_{DATE}.jsonl")

    assert report.evaluations == 0
    assert column(engine, "run.version") == [1, 2]


def test_other_dates_are_other_runs_though_the_bytes_are_the_same(
    engine: Engine, tmp_path: Path
) -> None:
    two_tasks().write(tmp_path)
    two_tasks(date="2026-01-06T09-30-00.000101").write(tmp_path)

    report = take(engine, tmp_path)

    assert (len(report.runs), report.evaluations) == (2, 4)
    assert counts(engine, "doc", "sample") == {"doc": 8, "sample": 16}


def test_two_ingests_at_once_store_what_one_would(store_url: str, tmp_path: Path) -> None:
    for number in range(3):
        two_tasks(date=f"2026-01-0{number + 1}T09-30-00.000101").write(tmp_path)
    start = Barrier(2)

    def ingest() -> IngestReport:
        opened = open_engine(store_url)
        start.wait()
        try:
            return take(opened, tmp_path)
        finally:
            opened.dispose()

    with ThreadPoolExecutor(2) as pool:
        reports = [one.result() for one in [pool.submit(ingest), pool.submit(ingest)]]

    opened = open_engine(store_url)
    found = counts(opened)
    opened.dispose()
    assert [one.errors for one in reports] == [(), ()]
    assert sum(one.samples for one in reports) == found["sample"] == 24
    assert (found["run"], found["evaluation"], found["doc"], found["score"]) == (3, 6, 8, 48)


# -------------------------------------------------------------------------------- bad input


def bad_at(line: int) -> bytes:
    rows = dump(sums()).split(b"\n")
    rows[line - 1] = b'{"doc_id": 1, "doc": '
    return b"\n".join(rows)


def test_a_bad_line_stops_its_file_only(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    path = folder / f"samples_sums_{DATE}.jsonl"
    path.write_bytes(bad_at(6))

    report = take(engine, tmp_path)

    (error,) = report.errors
    assert (error.file, error.line) == (str(path), 6)
    assert (report.evaluations, report.filled, report.aggregates_only) == (2, 1, 1)
    assert counts(engine)["sample"] == 4
    assert aggregates(engine, "sums")["strict", "exact_match"] == (0.5, 0.125, 0)
    assert len(take(engine, tmp_path).errors) == 1
    path.write_bytes(dump(sums()))
    assert (take(engine, tmp_path).samples, column(engine, "run.version")) == (4, [1])


def test_a_damaged_copy_is_no_version(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    take(engine, tmp_path)
    (folder / f"samples_sums_{DATE}.jsonl").write_bytes(bad_at(6))
    before = counts(engine)

    report = take(engine, tmp_path)

    assert (len(report.errors), report.evaluations) == (1, 0)
    assert counts(engine) == before


def test_a_bad_file_without_results_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": bad_at(6)}, results=None).write(tmp_path)

    report = take(engine, tmp_path)

    assert (len(report.errors), report.runs) == (1, ())
    assert set(counts(engine).values()) == {0}


def test_an_error_in_a_late_batch_leaves_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rescore_db.ingest.reading.BATCH_LINES", 2)
    Log({"sums": bad_at(7)}, results=None).write(tmp_path)

    take(engine, tmp_path)

    assert set(counts(engine).values()) == {0}


def test_an_empty_file_names_what_was_announced(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    (folder / f"samples_sums_{DATE}.jsonl").write_bytes(b"")

    (error,) = take(engine, tmp_path).errors

    assert "no lines where the results file announces 4 documents" in error.message
    assert aggregates(engine, "sums")["strict", "exact_match"] == (0.5, 0.125, 0)


def test_a_broken_results_file_does_not_keep_samples_out(engine: Engine, tmp_path: Path) -> None:
    folder = two_tasks().write(tmp_path)
    path = folder / f"results_{DATE}.json"
    path.write_bytes(path.read_bytes()[:300])

    report = take(engine, tmp_path)

    assert report.errors[0].file == str(path)
    assert report.errors[0].line is not None
    assert report.evaluations == 2
    assert column(engine, "run.results_json") == [None]


def test_lines_of_older_releases_come_back_as_they_were(engine: Engine, tmp_path: Path) -> None:
    old = [
        {k: v for k, v in sums_line(at).items() if k not in {"filter", "metrics"}}
        for at in (0, 1, 0, 1)
    ]
    Log({"sums": dump(old), "choices": choices()}).write(tmp_path)

    report = take(engine, tmp_path)

    assert report.errors == ()
    assert report.samples == 6
    named = {("filter-1", "exact_match"), ("filter-2", "exact_match")}
    assert named <= set(aggregates(engine, "sums")), "no configuration names them"
    assert lines_back(engine, "sums") == [exact(line) for line in old]


def test_a_long_line_is_an_error(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_MAX_LINE_MB", "1")
    lines = [*sums(), sums_line(9, resps=[["x" * 1_100_000]])]
    Log({"sums": lines}).write(tmp_path)

    (error,) = take(engine, tmp_path).errors

    assert error.line == 9
    assert "longer than 1 MB" in error.message


def test_nothing_to_take_in_is_an_error(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no lm-eval files here"):
        take(engine, tmp_path)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [sums_line(0, metrics=["exact_match", "gone"])],
            "metric gone of filter strict is on no line",
        ),
        ([sums_line(0, doc_hash="0" * 64), sums_line(1)], "1 of 2 samples have a logged hash"),
        ([sums_line(0), sums_line(0)], "1 of 2 samples repeat a document"),
        ([*sums(3), sums_line(7)], "filter loose has 3 of 4 samples: the evaluation is incomplete"),
        (
            [sums_line(0), sums_line(0, "loose", target="5")],
            "1 of 2 lines differ from another filter's line",
        ),
    ],
)
def test_what_is_odd_is_said_and_kept(
    engine: Engine, tmp_path: Path, lines: list[dict[str, object]], words: str
) -> None:
    Log({"sums": lines}).write(tmp_path)

    report = take(engine, tmp_path)

    assert any(words in note for note in report.notes), report.notes
    assert any(words in note for note in json.loads(column(engine, "evaluation.notes_json")[0]))
    assert lines_back(engine, "sums") == [json.dumps(line) for line in lines]


def test_a_missing_metric_has_no_scores(engine: Engine, tmp_path: Path) -> None:
    lines = [sums_line(number, metrics=["exact_match", "gone"]) for number in range(3)]
    Log({"sums": lines}, results={"results": {"sums": {"gone,strict": 0.75}}}).write(tmp_path)

    take(engine, tmp_path)

    assert aggregates(engine, "sums")["strict", "gone"] == (0.75, None, 0)
    assert counts(engine)["score"] == 3


def test_each_filter_has_its_own_extent(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": [*sums(2, ["strict"]), *sums(3, ["loose"])]}).write(tmp_path)

    take(engine, tmp_path)

    assert column(engine, "scored_filter.n") == [2, 3]
    assert column(engine, "scored_filter.complete") == [False, True]
    assert column(engine, "evaluation.incomplete") == [True]
    strict = column(engine, "scored_filter.id")[0]
    table = schema.filtered_response
    assert column(engine, "filtered_response.position", table.c.scored_filter_id == strict) == [
        0,
        1,
    ]
