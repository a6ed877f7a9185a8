from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import NotFoundError
from rescore_db.harness_log.discovery import discover, parse_name

if TYPE_CHECKING:
    from collections.abc import Iterator

DATE = "2026-01-05T09-30-00.000101"
ISO = "2026-01-05T09:30:00.000101"
RESULTS = '{\n  "results": {}, "configs": {}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one run of two tasks."""
    made = tmp_path / "larch__wren-1b"
    made.mkdir()
    (made / f"results_{DATE}.json").write_text(RESULTS)
    (made / f"samples_sums_{DATE}.jsonl").write_text("{}")
    (made / f"samples_wmt16-de-en_{DATE}.jsonl").write_text("{}")
    return made


def reasons(skipped: object) -> dict[str, str]:
    return {os.path.basename(one.file): one.reason for one in skipped}  # type: ignore[attr-defined]  # noqa: PTH119


@pytest.mark.parametrize(
    ("name", "date", "task"),
    [
        (f"results_{DATE}.json", ISO, None),
        (f"my_run_{DATE}.json", ISO, None),  # --output_path my_run.json
        (f"samples_sums_{DATE}.jsonl", ISO, "sums"),
        (f"samples_a_b-c_2024-01-01_{DATE}.jsonl", ISO, "a_b-c_2024-01-01"),
        (f"samples_x_2020-01-01T00-00-00.000001_{DATE}.jsonl", ISO, "x_2020-01-01T00-00-00.000001"),
        (f"samples_sums_{DATE}.jsonl.gz", ISO, "sums"),
        ("samples_sums_2026-01-05T09-30-00.jsonl", "2026-01-05T09:30:00", "sums"),
        ("results_2026-01-05T09:30:00.000101.json", ISO, None),
        (f"samples_sums_{DATE}.json", ISO, "sums"),  # between 0.4.2 and 0.4.3
        (f"samples_two\nlines_{DATE}.jsonl", ISO, "two\nlines"),
    ],
)
def test_a_name_tells_date_and_task(name: str, date: str, task: str | None) -> None:
    found = parse_name(f"/somewhere/{name}")

    assert found is not None
    assert (found.date, found.task) == (date, task)


@pytest.mark.parametrize(
    "name", ["results.json", "results_2024.json", "samples_x.jsonl", f"x_{DATE}.jsonl", "a.txt"]
)
def test_other_names_tell_nothing(name: str) -> None:
    assert parse_name(name) is None


def test_files_of_one_date_and_folder_are_one_run(folder: Path, tmp_path: Path) -> None:
    (run,) = discover([str(tmp_path)]).runs

    assert run.date == ISO
    assert run.results == str(folder / f"results_{DATE}.json")
    assert [one.task for one in run.samples] == ["sums", "wmt16-de-en"]


def test_several_dates_in_a_folder_are_several_runs_in_order(folder: Path) -> None:
    (folder / "samples_sums_2025-12-31T09-30-00.000101.jsonl").write_text("{}")

    found = discover([str(folder)])

    assert [run.date for run in found.runs] == ["2025-12-31T09:30:00.000101", ISO]
    assert found.runs[0].results is None


def test_the_same_date_in_two_folders_is_two_runs(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / f"results_{DATE}.json").write_text(RESULTS)

    assert len(discover([str(tmp_path)]).runs) == 2
    assert len(discover([str(folder), str(tmp_path)]).runs) == 2


def test_a_samples_file_named_by_itself_brings_its_results_file(folder: Path) -> None:
    (run,) = discover([str(folder / f"samples_sums_{DATE}.jsonl")]).runs

    assert run.results == str(folder / f"results_{DATE}.json")
    assert [one.task for one in run.samples] == ["sums"]


def test_globs_are_expanded(folder: Path, tmp_path: Path) -> None:
    (run,) = discover([str(tmp_path / "*" / "samples_*-*")]).runs

    assert "wmt16-de-en" in [one.task for one in run.samples]
    assert run.folder == str(folder)


def test_links_that_lead_in_circles_end(folder: Path, tmp_path: Path) -> None:
    (folder / "again").symlink_to(tmp_path)
    (folder / "gone").symlink_to(tmp_path / "nowhere")

    assert len(discover([str(tmp_path)]).runs) == 1


def test_a_folder_may_be_named_like_a_file(folder: Path) -> None:
    (folder / f"samples_odd_{DATE}.jsonl").mkdir()

    assert len(discover([str(folder)]).runs[0].samples) == 2


def test_of_a_file_and_its_compressed_copy_the_plain_one_is_read(folder: Path) -> None:
    for ending in (".gz", ".zst"):
        (folder / f"samples_sums_{DATE}.jsonl{ending}").write_text("")

    found = discover([str(folder)])

    assert found.runs[0].samples[0].path.endswith(".jsonl")
    assert all("second copy" in reason for reason in reasons(found.skipped).values())
    assert len(found.skipped) == 2


def test_equal_content_under_two_dates_is_two_runs(tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("{}")
    for date in (DATE, "2026-01-06T09-30-00.000101"):  # as a cache of downloads keeps them
        (tmp_path / f"samples_sums_{date}.jsonl").symlink_to(blob)

    assert len(discover([str(tmp_path)]).runs) == 2


def test_another_name_of_a_file_is_named(folder: Path) -> None:
    (folder / "latest.json").symlink_to(folder / f"results_{DATE}.json")

    found = discover([str(folder)])

    assert len(found.runs) == 1
    assert reasons(found.skipped) == {"latest.json": f"another name of results_{DATE}.json"}


def test_a_link_that_leads_nowhere_is_an_error_where_data_should_be(folder: Path) -> None:
    missing = folder / f"samples_gone_{DATE}.jsonl"
    missing.symlink_to(folder / "nowhere")
    (folder / "loop.jsonl").symlink_to(folder / "loop.jsonl")
    (folder / "loop").symlink_to(folder / "loop")

    found = discover([str(folder)])

    assert len(found.runs[0].samples) == 2
    assert {os.path.basename(one.file): one.message for one in found.errors} == {  # noqa: PTH119
        missing.name: "cannot be read: No such file or directory",
        "loop.jsonl": "cannot be read: Too many levels of symbolic links",
    }


def test_pipes_and_sockets_are_passed_over_in_folders_and_refused_alone(folder: Path) -> None:
    pipe = folder / f"samples_pipe_{DATE}.jsonl"
    os.mkfifo(pipe)

    assert len(discover([str(folder)]).runs[0].samples) == 2
    (error,) = discover([str(pipe)]).errors
    assert error.message == "cannot be read: not a file, but a pipe, a socket or a device"


def test_a_task_that_no_database_can_name_is_an_error(folder: Path) -> None:
    name = os.fsdecode(f"samples_\udcff_{DATE}.jsonl".encode("utf-8", "surrogateescape"))
    (folder / name).write_text("{}")

    found = discover([str(folder)])

    assert len(found.runs[0].samples) == 2
    assert [one.message for one in found.errors] == [
        "its name holds a character that no database holds: rename the file"
    ]


def test_dated_json_of_others_is_named(folder: Path) -> None:
    (folder / f"loss_{DATE}.json").write_text('{"loss": [1, 2]}')
    (folder / "my_run_2026-01-06T09-30-00.json").write_text(RESULTS)

    found = discover([str(folder)])

    assert [run.date for run in found.runs] == [ISO, "2026-01-06T09:30:00"]
    assert set(reasons(found.skipped)) == {f"loss_{DATE}.json"}


def test_samples_as_a_dated_array_are_samples(folder: Path) -> None:
    (folder / f"samples_old_{DATE}.json").write_text('[\n  {\n    "doc_id": 0,\n    "doc": {}}]')

    forms = {one.task: one.form for one in discover([str(folder)]).runs[0].samples}

    assert forms == {"old": "array", "sums": "lines", "wmt16-de-en": "lines"}


def test_several_models_and_dates_in_one_tree(tmp_path: Path) -> None:
    for model in ("a__x", "b__y"):
        (tmp_path / model).mkdir()
        for day in (5, 6):
            date = DATE.replace("-05T", f"-0{day}T")
            (tmp_path / model / f"results_{date}.json").write_text(RESULTS)
            (tmp_path / model / f"samples_sums_{date}.jsonl").write_text("{}")

    runs = discover([str(tmp_path)]).runs

    assert len({(run.folder, run.date) for run in runs}) == 4
    assert all(run.results and len(run.samples) == 1 for run in runs)


def test_files_that_are_not_lm_evals_are_named(folder: Path) -> None:
    (folder / "config.json").write_text('{"vocab_size": 3}')
    (folder / "results_2024.json").write_text('[{"a": 1}]')
    (folder / "samples_sums.csv").write_text("a,b")
    (folder / "README.md").write_text("nobody expects this to be read")

    skipped = reasons(discover([str(folder)]).skipped)

    assert set(skipped) == {"config.json", "results_2024.json", "samples_sums.csv"}
    assert all("not a file of lm-eval" in reason for reason in skipped.values())


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.json", "nowhere" + "x" * 5000])
def test_a_path_that_leads_nowhere_is_an_error(tmp_path: Path, path: str) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        discover([str(tmp_path / path)])


def test_a_folder_without_lm_eval_files_says_what_was_looked_for(tmp_path: Path) -> None:
    names = [f"package-{number:02}.json" for number in range(12)]
    for name in names:
        (tmp_path / name).write_text("{}")

    with pytest.raises(NotFoundError, match=r"no lm-eval files here") as caught:
        discover([str(tmp_path)])

    assert "--log_samples --output_path" in str(caught.value)
    listed = ", ".join(str(tmp_path / name) for name in names[:10])
    assert str(caught.value).endswith(f"its content: {listed}, 2 more")


LOOK = """
import json, os, sys
from rescore_db.harness_log.discovery import discover
if os.geteuid() == 0:  # root may read everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
found = discover(sys.argv[1:])
print(json.dumps([[run.date for run in found.runs],
                  [[one.file, one.message] for one in found.errors], len(found.skipped)]))
"""


def looked_at_without_rights(*paths: Path) -> tuple[list[str], list[list[str]], int]:
    """What discovery says to a user who has no rights of root's."""
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", LOOK, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    dates, errors, skipped = json.loads(done.stdout)
    return dates, errors, skipped


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="rescore-test-"))
    made.chmod(0o755)
    yield made
    for path in made.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(made)


@pytest.mark.parametrize("mode", [0o000, 0o444])  # not to be listed; listed, but not entered
def test_a_folder_that_cannot_be_read_is_an_error(open_folder: Path, mode: int) -> None:
    (open_folder / f"results_{DATE}.json").write_text(RESULTS)
    locked = open_folder / "locked"
    locked.mkdir()
    (locked / f"results_{DATE}.json").write_text(RESULTS)
    locked.chmod(mode)

    dates, errors, skipped = looked_at_without_rights(open_folder)
    alone = looked_at_without_rights(locked)

    place = str(locked if mode == 0 else locked / f"results_{DATE}.json")
    assert (dates, skipped) == ([ISO], 0)
    assert errors == [[place, "cannot be read: Permission denied"]]
    assert alone == ([], errors, 0)


def test_a_file_beyond_a_locked_folder_is_an_error(open_folder: Path) -> None:
    locked = open_folder / "locked"
    locked.mkdir()
    path = locked / f"samples_sums_{DATE}.jsonl"
    path.write_text("{}")
    locked.chmod(0o000)
    (open_folder / "link").symlink_to(path)

    for one in (path, locked / "folder", open_folder / "link"):
        found = looked_at_without_rights(one)
        assert found == ([], [[str(one), "cannot be read: Permission denied"]], 0)


def test_samples_in_a_folder_that_cannot_be_listed_come_without_results(open_folder: Path) -> None:
    locked = open_folder / "locked"
    locked.mkdir()
    path = locked / f"samples_sums_{DATE}.jsonl"
    path.write_text("{}")
    locked.chmod(0o111)

    found = looked_at_without_rights(path)

    assert found == ([ISO], [[str(locked), "cannot be read: Permission denied"]], 0)
