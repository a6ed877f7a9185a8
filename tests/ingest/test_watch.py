"""`--watch`: evaluations go in once they are complete, and not before."""

from __future__ import annotations

import gzip
import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.ingest.watch import Watch, Watching, watch_folders
from rescore_db.records import IngestOptions, Taken
from rescore_db.store.engine import open_engine
from tests.ingest.logs import DATE, Log, choices, dump, results_of, sums, sums_line
from tests.ingest.program import start
from tests.ingest.stored import column, counts, lines_back

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


class Writing:
    """A run's folder in the course of being written, as lm-eval does it."""

    def __init__(self, out: Path) -> None:
        self.samples = {"sums": sums(), "choices": choices()}
        self.folder = out / "larch__wren-1b"
        self.folder.mkdir(parents=True)

    def results(self, text: str | None = None, **configs: Any) -> Path:
        """Write the results file; lm-eval does so before any samples."""
        content = results_of(self.samples)  # type: ignore[arg-type]
        content["configs"]["sums"]["filter_list"] = [{"name": "strict"}, {"name": "loose"}]
        content["configs"].update(configs)
        path = self.folder / f"results_{DATE}.json"
        path.write_text(json.dumps(content) if text is None else text)
        return path

    def path(self, task: str) -> Path:
        return self.folder / f"samples_{task}_{DATE}.jsonl"

    def append(self, task: str, raw: bytes) -> None:
        with self.path(task).open("ab") as file:
            file.write(raw)


@pytest.fixture
def writing(tmp_path: Path) -> Writing:
    return Writing(tmp_path / "out")


@pytest.fixture
def watch(engine: Engine, writing: Writing) -> Watch:
    return Watch(engine, [str(writing.folder.parent)], IngestOptions())


def test_an_evaluation_goes_in_when_its_lines_are_all_there(
    engine: Engine, writing: Writing, watch: Watch
) -> None:
    raw = dump(writing.samples["sums"])
    watch.look()  # nothing yet, which is no error
    writing.results()
    watch.look()
    assert counts(engine, "run", "evaluation", "sample") == {"run": 1, "evaluation": 2, "sample": 0}
    writing.append("sums", raw[:700])  # in the middle of a line
    watch.look()
    watch.look()
    watch.look()
    assert watch.tally.samples == 0
    writing.append("sums", raw[700:])
    watch.look()
    assert watch.tally.samples == 4
    writing.append("choices", dump(writing.samples["choices"]))
    watch.look()
    watch.look()

    report = watch.end()

    assert (report.evaluations, report.samples, report.errors) == (2, 8, ())
    assert (report.skipped, report.notes) == ((), ())
    assert column(engine, "run.version") == [1]
    assert lines_back(engine, "sums") == [json.dumps(line) for line in sums()]


def test_what_is_written_between_two_files_waits(
    engine: Engine, writing: Writing, watch: Watch
) -> None:
    writing.append("sums", dump(writing.samples["sums"]))
    watch.look()
    watch.look()
    assert counts(engine, "run") == {"run": 0}  # there is no results file yet
    text = writing.results().read_text()
    writing.results(text[:500])
    watch.look()
    assert counts(engine, "run") == {"run": 0}  # nor all of it
    writing.results(text)
    watch.look()
    assert watch.end().samples == 4


def test_fewer_lines_than_announced_go_in_when_nothing_more_comes(
    engine: Engine, writing: Writing, watch: Watch
) -> None:
    writing.results()
    writing.append("sums", dump(sums()[:6]))
    watch.look()
    assert watch.tally.samples == 0
    watch.look()

    report = watch.end()

    assert report.samples == 4
    assert any("filter loose has 2 of 4" in note for note in report.notes)
    assert counts(engine, "evaluation") == {"evaluation": 2}


def test_a_compressed_file_is_taken_when_it_has_settled(writing: Writing, watch: Watch) -> None:
    writing.results()
    path = writing.path("sums")
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(dump(sums())))
    watch.look()
    assert watch.tally.samples == 0
    watch.look()
    assert watch.end().samples == 4


def test_what_is_still_waited_for_is_told_in_the_end(writing: Writing, watch: Watch) -> None:
    writing.append("choices", dump(choices()))
    writing.append("sums", dump(sums())[:-40])
    watch.look()
    writing.results()
    watch.look()
    watch.look()

    report = watch.end()

    assert report.samples == 4
    (note,) = report.notes
    assert str(writing.path("sums")) in note
    assert "cut in the middle of a line" in note


def test_samples_that_no_results_file_names_are_waited_for(writing: Writing, watch: Watch) -> None:
    writing.results()
    writing.append("other", dump(sums()))
    watch.look()
    watch.look()
    (note,) = watch.end().notes
    assert "no results file of its date names its task" in note


def test_a_rewritten_file_is_another_version(
    engine: Engine, writing: Writing, watch: Watch
) -> None:
    writing.results()
    writing.append("sums", dump(sums()))
    watch.look()
    changed = [sums_line(number, name, resps=[["new"]]) for name in ("strict", "loose")
               for number in range(4)]  # fmt: skip
    writing.path("sums").write_bytes(dump(changed))
    watch.look()
    watch.look()

    report = watch.end()

    assert column(engine, "run.version") == [1, 2]
    assert any("another version" in note for note in report.notes)


def test_a_bad_file_is_told_once_and_taken_when_it_is_mended(
    engine: Engine, writing: Writing, watch: Watch
) -> None:
    writing.results()
    raw = dump(sums())
    writing.path("sums").write_bytes(raw.replace(b'"doc_id": 2', b'"doc_id" 2', 1))
    for _ in range(4):
        watch.look()
    assert [error.line for error in watch.tally.report().errors] == [3]
    assert counts(engine, "sample") == {"sample": 0}
    writing.path("sums").write_bytes(raw)
    watch.look()
    watch.look()
    assert watch.end().samples == 4


def test_bad_lines_can_be_left_out(engine: Engine, writing: Writing) -> None:
    told: list[Taken] = []
    options = IngestOptions(skip_bad_lines=True, tags=("night",))
    watch = Watch(engine, [str(writing.folder.parent)], options, told.append)
    writing.results()
    raw = dump(sums())
    writing.path("sums").write_bytes(raw.replace(b'"doc_id": 2', b'"doc_id" 2', 1))
    watch.look()
    watch.look()
    assert [(one.task, one.samples, one.quarantined) for one in told] == [("sums", 4, 1)]
    assert column(engine, "run_tag.tag") == ["night"]


def test_a_folder_is_watched_until_it_is_enough(engine: Engine, writing: Writing) -> None:
    told: list[Taken] = []
    writing.results()
    for task, lines in writing.samples.items():
        writing.append(task, dump(lines))
    watching = Watching(interval=0.05, stop=lambda: len(told) == 2, told=told.append)

    report = watch_folders(
        engine, [str(writing.folder)], options=IngestOptions(), watching=watching
    )

    assert (report.filled, report.samples) == (2, 8)
    assert {one.task for one in told} == {"sums", "choices"}
    assert {one.run for one in told} == set(report.runs)


def test_what_was_there_before_goes_in_like_the_rest(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": sums()}).write(tmp_path)
    watch = Watch(engine, [str(tmp_path)], IngestOptions())
    watch.look()
    watch.look()
    assert watch.end().samples == 4
    again = Watch(engine, [str(tmp_path)], IngestOptions())
    again.look()
    again.look()
    report = again.end()
    assert (report.samples, report.errors) == (0, ())
    assert all("already in the store" in one.reason for one in report.skipped)


def test_links_in_a_ring_end_somewhere(engine: Engine, writing: Writing) -> None:
    (writing.folder / "again").symlink_to(writing.folder.parent, target_is_directory=True)
    (writing.folder / "nowhere").symlink_to(writing.folder / "gone")
    (writing.folder / f"samples_x_{DATE}.jsonl").symlink_to(f"samples_x_{DATE}.jsonl")
    writing.results()
    watch = Watch(engine, [str(writing.folder.parent)], IngestOptions())
    watch.look()
    watch.look()
    assert len(watch.end().runs) == 1


def test_a_folder_that_is_not_there_and_a_name_are_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        watch_folders(engine, [str(tmp_path / "no")], options=IngestOptions(), watching=Watching())
    with pytest.raises(UsageError, match="a name is for one run"):
        watch_folders(engine, [str(tmp_path)], options=IngestOptions(name="x"), watching=Watching())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_program_with_a_summary(
    store_url: str, writing: Writing, number: signal.Signals
) -> None:
    writing.results()
    writing.append("sums", dump(sums()))
    process = start(
        store_url, "ingest", "--watch", "--interval", "0.2", str(writing.folder.parent), "--json"
    )
    engine = open_engine(store_url)
    end = time.monotonic() + 60
    while counts(engine, "sample") == {"sample": 0} and time.monotonic() < end:
        time.sleep(0.1)
    engine.dispose()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert (report["samples"], report["errors"]) == (4, [])
    assert "sums: 4 samples" in err
    assert "Traceback" not in err
