"""Labelling, deleting, measuring and tidying from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from rescore_db.cli.main import main
from rescore_db.managing import delete_runs
from rescore_db.store.engine import open_engine
from tests.cli.conftest import LOGS
from tests.cli.running import HERON, WREN, Captured, answer
from tests.store.whole import contents

HELD = {"runs": [4], "scorings": [4], "evaluations": 4, "samples": 50}


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> str:
    """The default store, with the demo's four runs."""
    monkeypatch.setenv("RESCORE_DB", store_url)
    assert main(["ingest", LOGS]) == 0
    capsys.readouterr()
    return store_url


def ids(capsys: Captured) -> list[int]:
    return [row["id"] for row in answer(capsys, "runs")]


# -------------------------------------------------------------------------------------- labelling


@pytest.mark.usefixtures("store")
def test_a_run_gets_a_name_a_step_and_tags(capsys: Captured) -> None:
    line = ["runs", "set", HERON, "--name", "base", "--step", "7", "--tag", "b,a", "--tag", "c"]
    row = answer(capsys, *line)

    assert (row["id"], row["name"], row["step"]) == (4, "base", 7)
    assert row["tags"] == ["a", "b", "c"]
    assert answer(capsys, "runs", "show", "base")["run"] == row
    assert answer(capsys, "runs", "--tag", "a", "--tag", "c") == [row]
    row = answer(capsys, "runs", "set", "base", "--untag", "a", "--step", "", "--name", "")
    assert (row["name"], row["step"], row["tags"]) == (None, None, ["b", "c"])


@pytest.mark.usefixtures("store")
def test_names_steps_and_tags_are_columns_where_there_are_some(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["runs"]) == 0
    assert "tags" not in capsys.readouterr().out

    assert main(["runs", "set", "2", "--step", "1000", "--tag", "x", "--tag", "y"]) == 0
    assert "x, y" not in capsys.readouterr().err
    assert main(["runs"]) == 0
    table = capsys.readouterr().out
    assert "1000  x, y" in table
    assert main(["runs", "--csv"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert ",step,tags," in head
    assert '1000,"[""x"", ""y""]"' in rows[1]
    assert main(["history", "--task", "shop_sums", "--model", WREN]) == 0
    assert "step" in capsys.readouterr().out
    (row,) = [row for row in answer(capsys, "history", "--task", "shop_sums") if row["run"] == 2][
        :1
    ]
    assert row["step"] == 1000


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["set", "1"], "nothing to set"),
        (["set", "1", "--step", "many"], "--step takes a whole number, not 'many'"),
        (["set", "1", "--name", "latest"], "a run can't be named 'latest'"),
        (["set", "1", "--untag", "x"], "no tag of run 1 named 'x'"),
        (["--tag", "x"], "no tag named 'x'; there are none yet"),
        (["--tag", "x", "set", "1"], "--tag belongs behind"),
        (["delete"], "Missing argument"),
        (["delete", "nobody", "--yes"], "no run named 'nobody'"),
        (["delete", "4"], "there is no terminal to ask on: --yes deletes"),
    ],
)
def test_what_makes_no_sense_is_explained_and_changes_nothing(
    line: list[str], message: str, capsys: Captured
) -> None:
    assert main(["runs", *line]) == 2

    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert ids(capsys) == [1, 2, 3, 4]


# --------------------------------------------------------------------------------------- deleting


@pytest.mark.usefixtures("store")
def test_a_dry_run_shows_what_a_deletion_then_does(capsys: Captured) -> None:
    plan = answer(capsys, "runs", "delete", HERON, "--dry-run")
    assert main(["runs", "delete", HERON, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert ids(capsys) == [1, 2, 3, 4]

    done = answer(capsys, "runs", "delete", HERON, "--yes")

    assert plan == done | {"dry_run": True}
    assert {key: plan[key] for key in HELD} == HELD
    assert shown.startswith(f"would delete run 4 ({HERON}@2026-03-30T11:40:10")
    assert "with 4 evaluations, 50 samples, 1 scoring," in shown
    assert "sample" in shown
    assert ids(capsys) == [1, 2, 3]
    assert main(["db", "check"]) == 0


@pytest.mark.usefixtures("store")
def test_a_deletion_says_what_went_and_how_to_get_the_room(capsys: Captured) -> None:
    assert main(["runs", "delete", "1", "2", "3", "-y"]) == 0

    out = capsys.readouterr().out
    assert out.startswith(f"deleted run 1 ({WREN}@")
    assert "note: `rescore db vacuum` gives the room back" in out
    assert main(["runs", "delete", "1", "--yes"]) == 2
    assert "no run named '1'" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("word", "code", "left"), [("y", 0, 3), ("n", 1, 4), ("", 1, 4)])
def test_a_terminal_is_asked(
    word: str, code: int, left: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    asked = []

    def confirm(text: str, **_options: Any) -> bool:
        asked.append(text)
        return word == "y"

    monkeypatch.setattr("typer.confirm", confirm)

    assert main(["runs", "delete", HERON, "--json"]) == code

    captured = capsys.readouterr()
    assert asked == ["Delete this?"]
    assert f"would delete run 4 ({HERON}" in captured.err
    assert (json.loads(captured.out)["runs"] == [4]) if word == "y" else captured.out == ""
    assert len(ids(capsys)) == left


@pytest.mark.usefixtures("store")
def test_scorings_are_deleted_but_not_what_lm_eval_logged(capsys: Captured) -> None:
    assert main(["scorings", "delete", f"{HERON}:logged", "--yes"]) == 2
    assert "`rescore runs delete 4` deletes" in capsys.readouterr().err
    assert main(["scorings", "delete", f"{HERON}:lenient", "--yes"]) == 2
    assert "no scoring" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- the store


def test_db_info_shows_rows_and_bytes(store: str, capsys: Captured) -> None:
    found = answer(capsys, "db", "info")
    tables = {row["name"]: row for row in found["tables"]}

    assert tables["sample"]["rows"] == 174
    assert found["bytes"] > 0
    assert main(["db", "info"]) == 0
    shown = capsys.readouterr().out
    assert ("SQLite" in shown) == store.startswith("sqlite")
    assert "sample" in shown
    assert "quarantine" not in shown
    assert main(["db", "info", "--csv"]) == 0
    assert "name,rows,bytes,index_bytes\n" in capsys.readouterr().out


@pytest.mark.usefixtures("store")
def test_db_vacuum_says_bytes_before_and_after(capsys: Captured) -> None:
    assert main(["runs", "delete", "1", "2", "3", "4", "--yes"]) == 0
    capsys.readouterr()

    found = answer(capsys, "db", "vacuum")

    assert found["after"] <= found["before"]
    assert main(["db", "vacuum"]) == 0
    assert " before, " in capsys.readouterr().out


# ------------------------------------------------------------------------------------ interrupted


def delete_in_another_process(url: str, run_id: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "rescore_db", "runs", "delete", str(run_id), "--yes"],
        env=os.environ | {"RESCORE_DB": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_killed_deletion_has_happened_or_not(store: str) -> None:
    engine = open_engine(store)
    before = contents(engine)
    started = time.monotonic()
    assert delete_in_another_process(store, 1).wait() == 0
    seconds = time.monotonic() - started
    without = contents(engine)
    for part in (0.4, 0.55, 0.7, 0.8, 0.9, 1.0):
        assert main(["ingest", LOGS]) == 0
        run_id = newest(store)
        command = delete_in_another_process(store, run_id)
        time.sleep(seconds * part)
        command.kill()
        command.wait()
        found = contents(engine)
        assert found in (before, without)
        if found == before:
            delete_runs(engine, [str(run_id)])
        assert contents(engine) == without
    engine.dispose()


def newest(url: str) -> int:
    """The run that was ingested last."""
    from rescore_db.api import open_store

    with open_store(url) as opened:
        return opened.runs()[-1].id
