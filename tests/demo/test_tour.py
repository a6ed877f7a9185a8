"""The tour shows what it runs, runs what it shows, and leaves a store behind."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rescore_db.cli.main import main
from rescore_db.demo import HERE, STEPS, run_tour
from rescore_db.errors import AlreadyExistsError
from tests.demo_logs import make_demo_logs

if TYPE_CHECKING:
    from collections.abc import Sequence


class Recorder:
    """Stands where the command line does, and takes note of what it is told to run."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.seen: list[tuple[list[str], Path, str | None]] = []

    def __call__(self, argv: Sequence[str]) -> int:
        self.seen.append((list(argv), Path.cwd(), os.environ.get("RESCORE_DB")))
        return self.codes.pop(0) if self.codes else 0


def test_the_tour_runs_every_command_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tour"

    code = run_tour(main, folder, print)

    printed = capsys.readouterr()
    assert code == 0, printed.err
    for step in STEPS:
        assert f"$ {step.command.strip()}" in printed.out
    assert (folder / "rescore.db").stat().st_size > 0
    assert str(folder) in printed.out
    assert "different" not in printed.out


def test_a_failing_command_ends_the_tour_with_its_code(tmp_path: Path) -> None:
    recorder = Recorder(0, 0, 3)

    assert run_tour(recorder, tmp_path / "tour", print) == 3
    assert len(recorder.seen) == 3


def test_commands_see_the_folder_and_its_store_and_nothing_of_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DB", "sqlite:///mine.db")
    before = Path.cwd()
    recorder = Recorder()

    run_tour(recorder, tmp_path / "tour", print)

    assert {(where, store) for _, where, store in recorder.seen} == {
        (tmp_path / "tour", "sqlite:///rescore.db")
    }
    assert Path.cwd() == before
    assert os.environ["RESCORE_DB"] == "sqlite:///mine.db"


@pytest.mark.parametrize("is_set", [True, False])
def test_the_last_words_lead_to_the_tours_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_set: bool,
) -> None:
    if is_set:
        monkeypatch.setenv("RESCORE_DB", "sqlite:///mine.db")
    else:
        monkeypatch.delenv("RESCORE_DB", raising=False)

    run_tour(Recorder(), tmp_path / "a tour", print)

    ending = capsys.readouterr().out
    assert f"cd {shlex.quote(str(tmp_path / 'a tour'))}" in ending
    assert ("unset RESCORE_DB" in ending) == is_set


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(AlreadyExistsError, match="not an empty folder"):
        run_tour(Recorder(), tmp_path, print)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_scratch_folder_is_made_where_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    recorder = Recorder()

    run_tour(recorder, None, print)

    (folder,) = tmp_path.iterdir()
    assert {where for _, where, _ in recorder.seen} == {folder}
    assert (folder / "logs").is_dir()


def test_the_shipped_logs_are_what_lm_eval_writes(tmp_path: Path) -> None:
    made = make_demo_logs(tmp_path / "logs")
    shipped = HERE / "logs"
    names = sorted(path.relative_to(shipped) for path in shipped.rglob("*.json*"))

    assert names == sorted(path.relative_to(made) for path in made.rglob("*.json*"))
    for name in names:
        if name.name.startswith("samples_"):  # results name the lm-eval release that wrote them
            assert (made / name).read_bytes() == (shipped / name).read_bytes()


def test_the_demo_is_small() -> None:
    files = [path for path in HERE.rglob("*") if path.is_file() and path.suffix != ".pyc"]

    assert sum(path.stat().st_size for path in files) <= 300_000
