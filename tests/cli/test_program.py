"""The installed program itself: its exit codes, its streams, and what a shell does to it.

`rescore demo` runs from an installed wheel in tests/test_wheel.py.
"""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import LOGS, TASKS

UNSUPPORTED = ["verify", "latest", "--task", "household"]  # its task is not lm-eval's own
PROGRAM = Path(sys.executable).parent / "rescore"


def rescore(*line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program."""
    return subprocess.run(  # noqa: S603 - our own program
        [PROGRAM, *line],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def in_terminal(*line: str, **environment: str) -> str:
    """Run the installed program in a terminal of 100 columns; return what that would show."""
    ours, its = pty.openpty()
    size = {"COLUMNS": "100", "LINES": "40", "TERM": "xterm-256color"}
    process = subprocess.Popen(  # noqa: S603 - our own program
        [PROGRAM, *line],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**os.environ, **size, **environment},
    )
    os.close(its)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # Linux reports the other end's closing so
            break
    process.wait()
    os.close(ours)
    return shown.decode()


@pytest.mark.parametrize(
    "line",
    [
        "runs",
        "runs show 1",
        "tasks",
        "tasks show household",
        "samples",
        "scorings",
        "scorings show 1:logged",
        "subset list",
        "subset show hard",
        "compare 1 4",
        "history --task shop_sums",
        "db current",
        "db check",
    ],
)
def test_each_reading_command_writes_one_document_and_nothing_else(
    line: str, filled_sqlite: str
) -> None:
    done = rescore(*line.split(), "--json", RESCORE_DB=filled_sqlite)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_the_main_job_from_the_shell(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"

    ingested = rescore("ingest", LOGS, "--db", url)
    made = rescore("subset", "create", "hard", "--where", "doc->>'level' >= 3", "--db", url)
    scored = rescore("score", "--task", "household", "--include-path", TASKS, "--db", url)
    verified = rescore("verify", "--task", "household", "--include-path", TASKS, "--db", url)
    asked = rescore("sql", "SELECT count(*) AS n FROM runs", "--json", "--db", url)

    for done in (ingested, made, scored, verified, asked):
        assert (done.returncode, done.stderr) == (0, "")
    assert ingested.stdout.startswith("added ")
    assert "new: scoring" in scored.stdout
    assert json.loads(asked.stdout) == [{"n": 4}]


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rescore_db", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, rescore("--version").stdout)


@pytest.mark.parametrize(
    ("line", "code"),
    [(["--help"], 0), (["--nonsense"], 2), (["runs", "show", "99"], 2), (UNSUPPORTED, 4)],
)
def test_the_exit_code_reaches_the_shell(line: list[str], code: int, filled_sqlite: str) -> None:
    assert rescore(*line, RESCORE_DB=filled_sqlite).returncode == code


def test_a_reader_that_leaves_early_is_no_error(filled_sqlite: str) -> None:
    pipeline = f'"{PROGRAM}" samples --limit 500 --json | head -c 10'
    done = subprocess.run(  # noqa: S602 - a shell's pipe is what is tested
        f"set -o pipefail; {pipeline}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RESCORE_DB": filled_sqlite},
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("[")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("line", ["runs", "runs show 1 --json", "runs --help", "sql 'SELECT 1'"])
def test_a_full_disk_is_one_message(line: str, filled_sqlite: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 - our own program
            [PROGRAM, *shlex.split(line)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "RESCORE_DB": filled_sqlite},
        )

    message = "rescore: the output can't be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, message)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_messages_that_nobody_can_read_change_no_exit_code(filled_sqlite: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 - our own program
            [PROGRAM, "runs", "show", "99"],
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
            env={**os.environ, "RESCORE_DB": filled_sqlite},
        )

    assert (done.returncode, done.stdout) == (2, b"")


def test_a_terminal_gets_colours_and_tables_that_fit(filled_sqlite: str) -> None:
    shown = in_terminal("scorings", RESCORE_DB=filled_sqlite)

    assert "\x1b[" in shown
    assert "complete" in shown


def test_no_color_is_obeyed(filled_sqlite: str) -> None:
    shown = in_terminal("scorings", RESCORE_DB=filled_sqlite, NO_COLOR="1")

    assert "\x1b[3" not in shown


def test_progress_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"

    assert "━" in in_terminal("ingest", LOGS, "--db", url)
    assert rescore("ingest", LOGS, "--db", url).stderr == ""
