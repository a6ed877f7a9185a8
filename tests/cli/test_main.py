from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

from rescore_db import api, errors
from rescore_db.cli.main import app, main
from tests.cli.conftest import LOGS

if TYPE_CHECKING:
    from collections.abc import Iterator


SLOW = ("lm_eval", "sqlalchemy", "alembic", "numpy", "pandas", "psycopg", "sqlglot", "rich")


def command_lines() -> Iterator[list[str]]:
    """Yield every command, as it is typed."""

    def below(command: object, words: list[str]) -> Iterator[list[str]]:
        yield words
        for name, inner in getattr(command, "commands", {}).items():
            yield from below(inner, [*words, name])

    yield from below(get_command(app), [])


def opening_fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_store(*_: object, **__: object) -> api.Store:
        raise error

    monkeypatch.setattr(api, "open_store", open_store)


@pytest.mark.parametrize("words", [*command_lines()], ids=" ".join)
def test_every_command_explains_itself_with_an_example(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main([*words, "--help"]) == 0

    out = capsys.readouterr().out
    example = out.rpartition("Example")[2]
    assert f"Usage: {' '.join(['rescore', *words])}" in out
    assert "rescore" in example
    assert max(map(len, out.splitlines())) <= 90


def test_commands_are_listed_in_the_order_in_which_they_are_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--help"])

    listed = capsys.readouterr().out.partition("Commands:\n")[2].partition("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    assert names == [
        *("ingest", "runs", "tasks", "samples", "scorings", "subset", "recipe", "score"),
        *("verify", "compare", "history", "sql", "export", "db", "demo"),
    ]


def test_help_loads_nothing_slow() -> None:
    script = (
        "import json, sys\n"
        "from rescore_db.__main__ import main\n"
        "code = main(['--help'])\n"
        "print(json.dumps([code, sorted(sys.modules)]))\n"
    )
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert [name for name in modules if name.partition(".")[0] in SLOW] == []


def test_the_version_names_lm_evals_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rescore 0.")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "Usage: rescore"),
        (["subset"], "Usage: rescore subset"),
        (["db"], "Usage: rescore db"),
        (["ignest", "x"], "No such command 'ignest'. Did you mean 'ingest'?"),
        (["runs", "shwo", "1"], "Did you mean 'show'?"),
        (["runs", "my run"], "no command 'my run'; to show one: rescore runs show 'my run'"),
        (["tasks", "gsm8k"], "to show one: rescore tasks show gsm8k"),
        (["samples", "1:0", "--json"], "to show one: rescore samples show 1:0"),
        (["scorings", "1:logged"], "to show one: rescore scorings show 1:logged"),
        (["subset", "hard"], "to show one: rescore subset show hard"),
        (["runs", "--", "-x"], "No such option: -x"),
        (["demo", f"{__file__}/folder"], "can't be written: Not a directory"),
        (["runs", "--jsn"], "No such option: --jsn"),
        (["ingest"], "Missing argument"),
        (["history"], "Missing option '--task'"),
        (["subset", "create", "hard"], "Missing option '--where'"),
        (["samples", "--limit", "0"], "--limit"),
        (["samples", "--limit", "many"], "--limit"),
        (["score", "--workers", "0"], "--workers"),
        (["demo", __file__], "FOLDER"),
    ],
)
def test_bad_usage_is_explained_and_exits_with_2(
    line: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2

    captured = capsys.readouterr()
    assert message in captured.out + captured.err


@pytest.mark.parametrize("command", ["runs", "tasks", "samples", "scorings"])
def test_two_formats_exclude_each_other(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--json", "--csv"]) == 2
    assert capsys.readouterr().err == "rescore: --json and --csv exclude each other\n"


@pytest.mark.parametrize("group", ["runs", "tasks", "samples", "scorings"])
def test_options_between_a_group_and_its_command_are_refused(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([group, "--json", "show", "1"]) == 2
    assert capsys.readouterr().err == f"rescore: --json belongs behind `{group} show …`\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("no"), 2),
        (errors.NotFoundError("no"), 2),
        (errors.BadSqlError("no"), 2),
        (errors.LogFormatError("a file", 3, "no"), 1),
        (errors.TaskError("no"), 1),
        (errors.StoreUnusableError("no"), 3),
    ],
)
def test_our_errors_are_one_message_and_their_exit_code(
    error: errors.RescoreError,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opening_fails_with(error, monkeypatch)

    assert main(["runs"]) == code

    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"rescore: {error}\n")


def test_an_error_cannot_drive_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening_fails_with(errors.NotFoundError("no run named '\x1b[2J'"), monkeypatch)

    main(["runs"])

    assert capsys.readouterr().err == "rescore: no run named '\\x1b[2J'\n"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host/evals",
        "postgresql://me@firm:secret@host/evals",
        "postgresql://me:%73ecret@host/evals",
        "postgresql://me:se/secret@host/evals",
        "postgresql://me@host/evals?password=secret",
        "postgresql://me@host/evals?sslpassword=secret&passfile=%73ecret",
    ],
)
def test_our_own_bug_is_a_traceback_without_passwords_and_how_to_report_it(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening_fails_with(RuntimeError(f"unexpected: {url}"), monkeypatch)

    assert main(["runs"]) == 70

    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "***" in err
    assert "@host/evals" in err
    assert "secret" not in err
    assert "%73ecret" not in err
    assert "Please report it" in err
    assert "rescore_db 0." in err


def test_an_interruption_exits_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opening_fails_with(KeyboardInterrupt(), monkeypatch)

    assert main(["runs"]) == 130

    assert capsys.readouterr().err.startswith("rescore: interrupted")


@pytest.mark.parametrize(
    "line",
    [["ingest", LOGS], ["score", "nobody"], ["subset", "create", "x", "--where", ""], ["verify"]],
)
def test_what_is_odd_about_a_store_is_said_once(
    line: list[str],
    sqlite_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api.Store, "notes", ("it is odd",))

    main([*line, "--db", sqlite_url])

    assert capsys.readouterr().err.count("note: it is odd\n") == 1
