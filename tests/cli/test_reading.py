"""Every command that reads, on the demo's logs in both databases: keys, tables, messages."""

from __future__ import annotations

import csv
import io
import json

import pytest

from rescore_db.cli.main import main
from tests.cli.conftest import TASKS
from tests.cli.running import HERON, WREN, Captured, answer

pytestmark = pytest.mark.usefixtures("filled_url")

COMPARE = ["compare", f"{WREN}@2026-03-30", HERON]

LISTINGS = {
    "runs": "id name model date lm_eval_version evaluations samples",
    "tasks": "id name",
    "samples": "id run task doc prompt target response",
    "scorings": "id name run kind subset status",
    "subset list": "name version docs",
    "compare 1 4": "run_a run_b task filter metric n a b diff stderr ci_low ci_high test p "
    "p_adjusted improved regressed unchanged unpaired verdict warnings",
    "history --task shop_sums": "run date task filter metric value stderr n change",
    "sql SELECT+id,model+FROM+runs": "id model",
}


def words(line: str) -> list[str]:
    return [word.replace("+", " ") for word in line.split()]


@pytest.mark.parametrize(("line", "keys"), LISTINGS.items())
def test_json_is_a_list_of_objects_with_the_keys_of_the_contract(
    line: str, keys: str, capsys: Captured
) -> None:
    rows = answer(capsys, *words(line))

    assert rows
    assert set(keys.split()) <= rows[0].keys()


@pytest.mark.parametrize("line", LISTINGS)
def test_csv_holds_what_json_holds(line: str, capsys: Captured) -> None:
    rows = answer(capsys, *words(line))

    assert main([*words(line), "--csv"]) == 0

    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert list(table[0]) == list(rows[0])
    assert len(table) == len(rows)
    for cells, row in zip(table, rows, strict=True):
        for key, value in row.items():
            if isinstance(value, float):
                assert float(cells[key]) == value


@pytest.mark.parametrize("line", LISTINGS)
def test_markdown_is_one_table(line: str, capsys: Captured) -> None:
    rows = answer(capsys, *words(line))

    assert main([*words(line), "--markdown"]) == 0

    table = [one for one in capsys.readouterr().out.splitlines() if one.startswith("|")]
    assert len(table) == len(rows) + 2


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("line", LISTINGS)
def test_tables_fit_the_terminal(
    line: str, width: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    assert main(words(line)) == 0

    table = capsys.readouterr().out.partition("\nnote:")[0]
    assert table
    assert max(map(len, table.splitlines())) <= width


def test_runs_show_gives_one_run_by_id_model_and_date_or_latest(capsys: Captured) -> None:
    runs = answer(capsys, "runs")
    last = next(row for row in runs if row["model"] == HERON)

    for name in (str(last["id"]), HERON, f"{HERON}@{last['date']}", "latest"):
        found = answer(capsys, "runs", "show", name)
        assert json.dumps(last["date"]) in json.dumps(found)

    assert main(["runs", "show", HERON]) == 0
    assert "shop_sums" in capsys.readouterr().out


def test_tasks_show_gives_every_definition_of_a_task(capsys: Captured) -> None:
    (task,) = answer(capsys, "tasks", "show", "household")

    assert task["docs"] > 0
    assert answer(capsys, "tasks", "show", str(task["id"])) == [task]


def test_samples_are_chosen_by_run_task_and_condition(capsys: Captured) -> None:
    rows = answer(
        capsys,
        *("samples", "--run", HERON, "--task", "shop_sums", "--limit", "3"),
        *("--where", "doc->>'level' >= 3"),
    )

    assert 0 < len(rows) <= 3
    assert {(row["model"], row["task"]) for row in rows} == {(HERON, "shop_sums")}
    assert all(row["doc"]["level"] >= 3 for row in rows)


def test_a_limit_that_cuts_says_so_on_stderr(capsys: Captured) -> None:
    assert main(["samples", "--limit", "2", "--json"]) == 0

    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 2
    assert "--limit N shows more" in captured.err


def test_a_limit_that_cuts_nothing_says_nothing(capsys: Captured) -> None:
    assert main(["samples", "--limit", "100000", "--csv"]) == 0
    assert capsys.readouterr().err == ""


def test_samples_show_gives_requests_responses_and_every_scorings_scores(capsys: Captured) -> None:
    (row,) = answer(capsys, "samples", "--run", HERON, "--task", "shop_sums", "--limit", "1")

    found = answer(capsys, "samples", "show", row["id"])

    assert found["sample"] == row
    assert {score["scoring"] for score in found["scores"]} == {"logged", "lenient"}
    assert found["requests"]
    assert found["responses"]
    assert main(["samples", "show", row["id"]]) == 0
    assert "exact_match" in capsys.readouterr().out


def test_scorings_can_be_those_of_one_run(capsys: Captured) -> None:
    rows = answer(capsys, "scorings", "--run", HERON)

    assert {row["name"] for row in rows} == {"logged", "lenient"}
    assert {row["kind"] for row in rows} == {"logged", "rescored"}
    found = answer(capsys, "scorings", "show", f"{HERON}:lenient")
    assert "lenient" in json.dumps(found)
    assert main(["scorings", "show", f"{HERON}:lenient"]) == 0


def test_a_subset_is_made_shown_and_listed(capsys: Captured) -> None:
    shown = answer(capsys, "subset", "show", "hard")

    assert (shown["name"], shown["version"]) == ("hard", 1)
    assert shown["docs"] > 0
    assert answer(capsys, "subset", "list") == [shown]
    assert main(["subset", "show", "hard"]) == 0
    assert "doc->>'level' >= 3" in capsys.readouterr().out


def test_a_verification_is_a_summary_unless_all_is_asked_for(capsys: Captured) -> None:
    line = ["verify", HERON, "--task", "shop_sums", "--include-path", TASKS]

    rows = answer(capsys, *line)
    assert {"run", "task", "filter", "status", "reason", "differences"} <= rows[0].keys()
    assert main(line) == 0
    assert capsys.readouterr().out == "2 identical\n"
    assert main([*line, "--all"]) == 0
    assert "strict-match" in capsys.readouterr().out


def test_a_verification_that_cannot_build_the_task_is_inconclusive(capsys: Captured) -> None:
    rows = answer(capsys, "verify", HERON, "--task", "household", code=4)

    assert {row["status"] for row in rows} == {"unsupported"}
    assert all("--include-path" in row["reason"] for row in rows)


def test_a_comparison_can_be_narrowed(capsys: Captured) -> None:
    rows = answer(
        capsys,
        *(*COMPARE, "--task", "shop_sums", "--filter", "strict-match"),
        *("--metric", "exact_match", "--subset", "hard"),
    )

    (row,) = rows
    assert (row["task"], row["filter"], row["metric"]) == (
        *("shop_sums", "strict-match"),
        "exact_match",
    )
    assert row["diff"] == pytest.approx(row["b"] - row["a"])
    assert row["improved"] + row["regressed"] + row["unchanged"] == row["n"]


def test_two_filters_of_one_run_are_compared(capsys: Captured) -> None:
    sides = [f"{HERON}/strict-match", f"{HERON}:lenient/last-number"]

    (row,) = answer(capsys, "compare", *sides)
    assert row["n"] > 0
    assert main(["compare", *sides]) == 0
    assert capsys.readouterr().out.startswith("a = ")


def test_a_history_has_the_change_from_run_to_run(capsys: Captured) -> None:
    rows = answer(
        capsys,
        *("history", "--task", "shop_sums", "--model", WREN),
        *("--filter", "strict-match", "--metric", "exact_match"),
    )

    assert [row["date"][:10] for row in rows] == ["2026-03-02", "2026-03-16", "2026-03-30"]
    assert rows[0]["change"] is None
    assert rows[1]["change"] == pytest.approx(rows[1]["value"] - rows[0]["value"])


def test_a_query_is_cut_at_its_row_limit_and_says_so(capsys: Captured) -> None:
    assert main(["sql", "SELECT id FROM runs ORDER BY id", "--max-rows", "2", "--json"]) == 0

    captured = capsys.readouterr()
    assert json.loads(captured.out) == [{"id": 1}, {"id": 2}]
    assert captured.err == "note: only the first 2 rows; --max-rows N shows more\n"


def test_a_query_may_come_from_standard_input(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) AS n FROM runs"))

    assert answer(capsys, "sql", "-") == [{"n": 4}]


def test_db_tells_where_the_store_stands(capsys: Captured) -> None:
    current = answer(capsys, "db", "current")

    assert current["revision"] == current["head"]
    assert answer(capsys, "db", "init")["before"] == current["head"]
    assert answer(capsys, "db", "upgrade")["after"] == current["head"]
    assert main(["db", "current"]) == 0
    assert current["head"] in capsys.readouterr().out
    assert main(["db", "check"]) == 0
