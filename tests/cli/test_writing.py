"""Every command that writes, on fresh stores in both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore_db import demo
from rescore_db.cli.main import main
from tests.cli.conftest import LOGS, TASKS
from tests.cli.running import HERON, Captured, answer

if TYPE_CHECKING:
    from pathlib import Path

SCORE_KEYS = {"scoring", "run", "task", "filter", "metric", "value", "stderr", "n"}


def test_ingest_says_what_it_added_and_the_second_time_that_nothing_is_new(
    store_url: str, capsys: Captured
) -> None:
    first = answer(capsys, "ingest", LOGS, "--db", store_url)
    second = answer(capsys, "ingest", LOGS, "--db", store_url)

    assert (len(first["runs"]), first["errors"]) == (4, [])
    assert first["evaluations"] > 4
    assert first["samples"] > 100
    assert set(first) >= {"runs", "evaluations", "samples", "skipped", "errors", "notes"}
    assert (second["evaluations"], second["samples"]) == (0, 0)
    assert {item["file"] for item in second["skipped"]}
    assert all(item["reason"] for item in second["skipped"])

    assert main(["ingest", LOGS, "--db", store_url]) == 0
    assert capsys.readouterr().out.startswith("nothing new")


def test_a_bad_line_is_named_and_the_rest_is_taken(
    store_url: str, tmp_path: Path, capsys: Captured
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for file in (demo.HERE / "logs" / "tern-ai__heron-7b").iterdir():
        (logs / file.name).write_bytes(file.read_bytes())
    bad = next(logs.glob("samples_household*"))
    lines = bad.read_bytes().splitlines(keepends=True)
    bad.write_bytes(b"".join([lines[0], lines[1][:40], b"\n", *lines[2:]]))

    report = answer(capsys, "ingest", str(logs), "--db", store_url, code=1)

    (error,) = report["errors"]
    assert (error["line"], error["file"]) == (2, str(bad))
    assert report["samples"] > 0
    assert (report["evaluations"] - report["filled"], report["aggregates_only"]) == (1, 1)
    assert main(["ingest", str(logs), "--db", store_url]) == 1
    assert f"rescore: {bad}:2: " in capsys.readouterr().err


def test_a_second_identical_request_names_the_scoring_that_holds_the_answer(
    store_url: str, capsys: Captured
) -> None:
    line = ["score", "--task", "shop_sums,household", "--include-path", TASKS, "--db", store_url]
    assert main(["ingest", LOGS, "--db", store_url]) == 0
    capsys.readouterr()

    first = answer(capsys, *line, "--name", "again")
    assert main(line) == 0
    second = capsys.readouterr().out
    forced = answer(capsys, *line, "--force", "--name", "once-more")

    assert first[0].keys() >= SCORE_KEYS
    assert {row["scoring"] for row in first} == {"again"}
    assert {row["task"] for row in first} == {"shop_sums", "household"}
    assert "already held by scoring again (4 runs: 1-4)" in second
    assert {row["scoring"] for row in forced} == {"once-more"}
    assert [row["value"] for row in forced] == [row["value"] for row in first]


def test_a_task_that_cannot_be_scored_is_named_and_exits_with_1(
    store_url: str, capsys: Captured
) -> None:
    assert main(["ingest", LOGS, "--db", store_url]) == 0
    capsys.readouterr()

    assert main(["score", HERON, "--task", "household", "--db", store_url]) == 1

    out = capsys.readouterr().out
    assert "failed" in out
    assert "--include-path" in out


def test_an_empty_postgresql_database_becomes_a_store(
    empty_postgres_url: str, capsys: Captured
) -> None:
    assert main(["runs", "--db", empty_postgres_url]) == 3
    assert "rescore db init" in capsys.readouterr().err

    made = answer(capsys, "db", "init", "--db", empty_postgres_url)

    assert made["before"] is None
    assert answer(capsys, "runs", "--db", empty_postgres_url) == []
