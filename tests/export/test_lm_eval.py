"""lm-eval's files come back as they were, and going round changes nothing."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.export import ExportRequest, export_runs
from rescore_db.ingest import ingest_paths
from rescore_db.records import IngestOptions
from rescore_db.store import listings
from rescore_db.store.engine import reading
from tests.export.exporting import export, files_in, lines_in
from tests.ingest.logs import Log, choices, dump, sums, sums_line
from tests.ingest.stored import exact
from tests.ingest.test_round_trip import HOSTILE, changes, dump_exactly

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth

DATE = "2026-01-05T09-30-00.000101"
SUMS = f"larch__wren-1b/samples_sums_{DATE}.jsonl"
RESULTS = f"larch__wren-1b/results_{DATE}.json"


def listed(engine: Engine) -> list[str]:
    """Runs with their evaluations, as users see them, but for when they came in."""
    with reading(engine) as conn:
        details = [listings.get_run(conn, row.id) for row in listings.list_runs(conn)]
    return [
        repr((replace(one.run, id=0), [replace(each, id=0) for each in one.evaluations]))
        for one in details
    ]


def test_the_files_that_lm_eval_wrote_come_back_byte_for_byte(
    engine: Engine, empty: Engine, truth: Truth, tmp_path: Path
) -> None:
    ingest_paths(engine, [str(truth.logs)])

    report = export(engine, tmp_path / "out")

    assert files_in(tmp_path / "out") == files_in(truth.logs)
    assert report.notes == ()
    assert {one.status for one in report.files} == {"written"}
    assert report.lines == sum(one.lines for one in report.files)
    assert report.bytes == sum(len(content) for content in files_in(truth.logs).values())
    ingest_paths(empty, [str(tmp_path / "out")])
    assert listed(empty) == listed(engine)
    again = export(engine, tmp_path / "out")
    assert {one.status for one in again.files} == {"unchanged"}


def test_every_line_is_equal_and_going_round_changes_nothing(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    tasks = {f"sums_{name.replace(' ', '_')}": lines for name, lines in HOSTILE.items()}
    Log({task: dump_exactly(lines) for task, lines in tasks.items()}).write(tmp_path / "in")
    assert ingest_paths(engine, [str(tmp_path / "in")]).errors == ()

    export(engine, tmp_path / "out")

    for task, lines in tasks.items():
        path = tmp_path / "out" / f"larch__wren-1b/samples_{task}_{DATE}.jsonl"
        assert lines_in(path) == [exact(line) for line in lines], task
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")
    ingest_paths(empty, [str(tmp_path / "out")])
    assert listed(empty) == listed(engine)
    export(empty, tmp_path / "round")
    assert files_in(tmp_path / "round") == files_in(tmp_path / "out")


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(changes, min_size=1, max_size=6), st.data())
def test_any_lines_go_in_and_come_out(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, changed: Any, data: st.DataObject
) -> None:
    lines = [sums_line(data.draw(st.integers(0, 3)), "strict", **one) for one in changed]
    folder = tmp_path_factory.mktemp("any")
    log = Log({"sums": dump_exactly(lines)}, model=folder.name)
    report = ingest_paths(engine, [str(log.write(folder / "in"))])
    assert report.errors == ()

    export(engine, folder / "out", runs=(str(report.runs[0]),))

    path = folder / "out" / folder.name / f"samples_sums_{DATE}.jsonl"
    assert lines_in(path) == [exact(line) for line in lines]
    assert ingest_paths(engine, [str(folder / "out")]).evaluations == 0


def test_other_spellings_come_out_as_lm_eval_writes_them(engine: Engine, tmp_path: Path) -> None:
    line = sums_line(0, doc={"q": "é\u2028"})
    raw = json.dumps(line, separators=(",", ":")).encode() + b"\r\n\r\n"
    Log({"sums": gzip.compress(raw)}, compress=("", bytes)).write(tmp_path / "in")
    path = next((tmp_path / "in").rglob("samples_*"))
    path.rename(path.with_name(path.name + ".gz"))
    ingest_paths(engine, [str(tmp_path / "in")])

    export(engine, tmp_path / "out")

    assert (tmp_path / "out" / SUMS).read_bytes() == dump([line])


def test_results_and_samples_may_be_alone(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": sums()}, results=None, model="larch/wren-1b").write(tmp_path / "in")
    Log({"sums": sums()}, model="tern-ai/heron-7b").write(tmp_path / "in")
    next((tmp_path / "in" / "tern-ai__heron-7b").glob("samples_*")).unlink()
    ingest_paths(engine, [str(tmp_path / "in")])

    report = export(engine, tmp_path / "out")

    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")
    assert [(one.kind, one.lines) for one in report.files] == [("samples", 8), ("results", 0)]


def test_a_model_that_only_its_folder_names_is_told_of(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": sums()}).write(tmp_path / "in")
    Log({"sums": sums()}, results=None, model="a/b/c", date="2026-01-06T09-30-00").write(
        tmp_path / "in"
    )
    ingest_paths(engine, [str(tmp_path / "in")])

    assert export(engine, tmp_path / "out").notes == ()


# ------------------------------------------------------------------------------- what is chosen


def test_the_newest_version_is_written_and_older_ones_by_id(engine: Engine, tmp_path: Path) -> None:
    first = Log({"sums": sums()}).write(tmp_path / "first")
    second = Log({"sums": [sums_line(0, resps=[["other"]])]}).write(tmp_path / "second")
    old, new = (ingest_paths(engine, [str(folder)]).runs[0] for folder in (first, second))

    export(engine, tmp_path / "newest")
    export(engine, tmp_path / "older", runs=(str(old),))
    both = export(engine, tmp_path / "both", runs=(str(old), str(new)))

    assert files_in(tmp_path / "newest") == files_in(tmp_path / "second")
    assert files_in(tmp_path / "older") == files_in(tmp_path / "first")
    assert files_in(tmp_path / "both" / f"run-{new}") == files_in(tmp_path / "second")
    assert (tmp_path / "both" / SUMS).read_bytes() == (tmp_path / "first" / SUMS).read_bytes()
    assert "another run has its place" in both.notes[0]


def test_a_task_brings_its_samples_and_the_whole_results(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": sums(), "things": choices()}).write(tmp_path / "in")
    Log({"things": choices()}, model="tern-ai/heron-7b").write(tmp_path / "in")
    ingest_paths(engine, [str(tmp_path / "in")])

    report = export(engine, tmp_path / "out", tasks=("su*",))

    assert sorted(files_in(tmp_path / "out")) == [RESULTS, SUMS]
    assert len(report.runs) == 1


def test_what_is_not_there_cannot_be_exported(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run to export"):
        export(engine, tmp_path / "out")
    ingest_paths(engine, [str(Log({"sums": sums()}).write(tmp_path / "in"))])

    with pytest.raises(NotFoundError, match="no task named 'sms'; did you mean sums"):
        export(engine, tmp_path / "out", tasks=("sms",))
    with pytest.raises(NotFoundError, match="no run named 'wren'"):
        export(engine, tmp_path / "out", runs=("wren",))
    with pytest.raises(NotFoundError, match="no format named 'parque'"):
        export(engine, tmp_path / "out", format="parque")
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file"):
        export(engine, tmp_path / "out")


def test_another_file_in_the_way_stays(engine: Engine, tmp_path: Path) -> None:
    ingest_paths(engine, [str(Log({"sums": sums()}).write(tmp_path / "in"))])
    export(engine, tmp_path / "out")
    (tmp_path / "out" / SUMS).write_bytes(b"mine")

    report = export(engine, tmp_path / "out")

    assert [one.file for one in report.kept] == [str(tmp_path / "out" / SUMS)]
    assert (tmp_path / "out" / SUMS).read_bytes() == b"mine"
    assert not export(engine, tmp_path / "out", force=True).kept
    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")


# ----------------------------------------------------------------------------- gaps and old files


def test_lines_in_the_quarantine_are_not_invented(engine: Engine, tmp_path: Path) -> None:
    raw = dump(sums(3, ["strict"])) + b"{broken\n"
    folder = Log({"sums": raw}).write(tmp_path / "in")
    ingest_paths(engine, [str(folder)], options=IngestOptions(skip_bad_lines=True))

    report = export(engine, tmp_path / "out")

    assert (tmp_path / "out" / SUMS).read_bytes() == dump(sums(3, ["strict"]))
    assert any("sums is incomplete: 1 of its lines" in note for note in report.notes)


def test_lines_of_older_releases_have_no_more_fields_than_they_had(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    bare = [
        {key: value for key, value in line.items() if key not in {"filter", "metrics"}}
        for line in sums(3)
    ]
    Log({"sums": dump(bare)}, results=None).write(tmp_path / "in")
    ingest_paths(engine, [str(tmp_path / "in")])

    export(engine, tmp_path / "out")

    assert files_in(tmp_path / "out") == files_in(tmp_path / "in")
    ingest_paths(empty, [str(tmp_path / "out")])
    assert listed(empty) == listed(engine)


def test_undated_arrays_come_back_as_arrays(engine: Engine, empty: Engine, tmp_path: Path) -> None:
    keys = ("doc_id", "doc", "target", "resps", "filtered_resps", "exact_match")
    lines = [
        {key: line[key] for key in keys}
        | {"arguments": [[line["arguments"]["gen_args_0"]["arg_0"], {"until": ["é"]}]]}
        for line in sums(3, ["strict"])
    ]
    results = {
        "results": {"sums": {"exact_match,strict": 0.5, "exact_match_stderr,strict": 0.1}},
        "configs": {"sums": {"task": "sums", "output_type": "generate_until"}},
        "versions": {"sums": 1.0},
        "config": {"model": "hf", "model_args": "pretrained=larch/wren-1b"},
    }
    folder = tmp_path / "in" / "wren"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    name = "pretrained__larch__wren-1b_sums.jsonl"
    (folder / name).write_text(json.dumps(lines, indent=2), encoding="utf-8")
    assert ingest_paths(engine, [str(tmp_path / "in")]).errors == ()

    export(engine, tmp_path / "out")

    written, given = files_in(tmp_path / "out"), files_in(tmp_path / "in")
    assert written == {
        "wren/results.json": given["wren/results.json"],
        "wren/samples_sums.jsonl": given[f"wren/{name}"],
    }
    ingest_paths(empty, [str(tmp_path / "out")])
    assert listed(empty) == listed(engine)
    assert ingest_paths(engine, [str(tmp_path / "out")]).evaluations == 0


def test_progress_ends_at_the_end(engine: Engine, tmp_path: Path) -> None:
    ingest_paths(engine, [str(Log({"sums": sums(600)}).write(tmp_path / "in"))])
    told: list[tuple[int, int, str]] = []

    def note(done: int, total: int, what: str) -> None:
        told.append((done, total, what))

    export_runs(engine, tmp_path / "out", ExportRequest(), progress=note)

    assert [(done, total) for done, total, _ in told] == [(500, 1201), (1000, 1201)]
