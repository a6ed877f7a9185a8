"""`rescore recipe`, and what a recipe and --strict do to `rescore score`."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from rescore_db.cli.main import main
from tests.cli.conftest import LAST_NUMBER, LOGS, TASKS
from tests.cli.running import HERON, Captured, answer

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"name", "hash", "entry", "tasks", "source", "filters", "metrics", "bootstrap_iters"}


def test_recipes_are_added_listed_and_told_apart(store_url: str, capsys: Captured) -> None:
    db = ("--db", store_url)
    assert main(["recipe", "list", *db]) == 0
    assert "rescore recipe add NAME" in capsys.readouterr().err

    added = answer(capsys, "recipe", "add", "a", "--task", "gsm8k*", "--as-logged", *db)
    iters = ("--bootstrap-iters", "10")
    assert main(["recipe", "add", "b", "--task", "gsm8k*", "--task", "x", *iters, *db]) == 0
    capsys.readouterr()

    assert added[0].keys() >= KEYS
    assert [one["tasks"] for one in added] == [["gsm8k*"]]
    assert answer(capsys, "recipe", "show", "a", *db) == added
    assert [one["name"] for one in answer(capsys, "recipe", "list", *db)] == ["a", "b"]
    differences = answer(capsys, "recipe", "diff", "a", "b", *db)
    assert [(one["tasks"], one["what"], one["a"], one["b"]) for one in differences] == [
        ("gsm8k*", "source", "as-logged", "registry"),
        ("gsm8k*", "bootstrap_iters", 100_000, 10),
        ("x", "tasks", None, "covered"),
    ]
    assert answer(capsys, "recipe", "diff", "a", "a", *db) == []


def test_what_can_be_no_recipe_is_refused_in_one_message(
    store_url: str, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("tasks: {gsm8k: {filter: x.yaml}}")
    for line, says in (
        (["add", "a", "--from", str(file)], "no option (in"),
        (["add", "a", "--from", str(file), "--as-logged"], "one of the two"),
        (["add", "a", "--from", str(tmp_path / "no.yaml")], "No such file"),
        (["add", "a", "--filters", str(tmp_path / "no.yaml")], "No such file"),
        (["add", "a b"], "can't be called"),
        (["show", "a"], "no recipe named 'a'; there are none yet"),
        (["diff", "a", "b"], "no recipe named 'a'"),
    ):
        assert main(["recipe", *line, "--db", store_url]) == 2, line
        told = capsys.readouterr().err
        assert told.startswith("rescore: ")
        assert says in told
        assert "Traceback" not in told


def test_what_show_writes_makes_the_same_recipe(
    sqlite_url: str, tmp_path: Path, capsys: Captured
) -> None:
    db = ("--db", sqlite_url)
    (tmp_path / "mine.py").write_text("def f(resps, docs): return resps\n")
    file = tmp_path / "recipe.yaml"
    file.write_text(
        f"tasks:\n  shop_*: {{filters: {LAST_NUMBER}}}\n"
        "  '*': {filters: [{name: x, filter: [{function: custom, filter_fn: !function mine.f}]}]}\n"
    )
    first = answer(capsys, "recipe", "add", "a", "--from", str(file), *db)
    assert main(["recipe", "show", "a", *db]) == 0
    file.write_text(capsys.readouterr().out)

    second = answer(capsys, "recipe", "add", "b", "--from", str(file), *db)

    assert [one["hash"] for one in second] == [one["hash"] for one in first]


def test_strict_exits_with_1_where_a_definition_drifted(
    sqlite_url: str, tmp_path: Path, capsys: Captured
) -> None:
    tasks = tmp_path / "tasks"
    shutil.copytree(TASKS, tasks)
    path = tasks / "shop_sums.yaml"
    path.write_text(path.read_text().replace("group_select: -1", "group_select: 0"))
    assert main(["ingest", LOGS, "--db", sqlite_url]) == 0
    line = ["score", HERON, "--task", "shop_sums", "--include-path", str(tasks), "--db", sqlite_url]
    capsys.readouterr()

    assert main([*line, "--strict"]) == 1
    refused = capsys.readouterr().out
    assert main(line) == 0
    warned = capsys.readouterr().out

    assert "failed: drift: the response after filter 'flexible-extract' differs in" in refused
    assert "warning: drift: the response after filter 'flexible-extract' differs in" in warned
