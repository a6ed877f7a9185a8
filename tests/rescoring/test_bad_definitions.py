"""A definition, filter or metric that cannot be used: one message of what, where and what to do."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from rescore_db.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")

FILTER = "- {name: mine, filter: [{function: %s}, {function: take_first}]}\n"
INCLUDE, YAML = ("--include-path", "tasks"), ("--task-yaml", "tasks/small_sums.yaml")
METRICS = ("--metrics", "mine.yaml")

BAD: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    # what is added to the task's file, what mine.yaml holds, options, what the message says
    "a task that the registry lacks": (
        "", "", (), ("no task named 'small_sums'", "not in lm-eval 0.4.", "--include-path DIR")),
    "a broken YAML in the include path": (
        "metric_list: [\n", "", INCLUDE,
        ("no task named 'small_sums'", "cannot read", "small_sums.yaml", "line")),
    "a broken YAML given": (
        "metric_list: [\n", "", YAML, ("small_sums.yaml", "cannot be loaded", "line")),
    "a reference that the log lacks": (
        "doc_to_target: '{{reference}}'\n", "", YAML,
        ("small_sums.yaml", "'reference' is undefined", "fields are question, answer, level")),
    "a metric that fits no such scores": (
        "", "- {metric: perplexity}\n", (*INCLUDE, *METRICS),
        ("'perplexity' of filter 'strict-match'", "fits the task (generate_until)")),
    "a field of another release": (
        "gold_alias: answer\n", "", YAML,
        ("small_sums.yaml", "no field of a task named 'gold_alias'", "lm-eval 0.4.")),
    "a field that is called otherwise now": (
        "group: [math]\n", "", YAML, ("small_sums.yaml", "`group` is called `tag`", "rename it")),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_one_message_says_what_is_wrong_where_and_what_to_do(
    kind: str,
    tmp_path: Path,
    truth: Truth,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more, mine, options, said = BAD[kind]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(truth.tasks, "tasks")
    with (tmp_path / "tasks" / "small_sums.yaml").open("a") as file:
        file.write(more)
    (tmp_path / "mine.yaml").write_text(mine)
    assert main(["ingest", str(truth.samples_file("small_sums")), "--db", sqlite_url]) == 0
    capsys.readouterr()

    assert main(["score", *options, "--db", sqlite_url, "--json"]) == 1

    printed = capsys.readouterr()
    assert printed.err == ""
    rows = json.loads(printed.out)
    assert {row["status"] for row in rows} == {"failed"}
    (reason,) = {row["reason"] for row in rows}
    assert [part for part in said if part not in reason] == []
    assert "\n" not in reason


TYPOS: dict[str, tuple[str, tuple[str, ...]]] = {
    # what mine.yaml holds, what the message says
    "--filters": (FILTER % "regx", ("filter 'mine'", "no filter named 'regx'; did you mean regex")),
    "--metrics": (
        "- {metric: exact_mach}\n",
        ("no metric named 'exact_mach'; did you mean exact_",),
    ),
}


@pytest.mark.parametrize("option", TYPOS)
def test_a_typo_is_told_before_anything_is_scored(
    option: str,
    tmp_path: Path,
    truth: Truth,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine, said = TYPOS[option]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(mine)
    assert main(["ingest", str(truth.samples_file("small_sums")), "--db", sqlite_url]) == 0
    capsys.readouterr()
    options = ["--include-path", str(truth.tasks), option, "mine.yaml"]

    assert main(["score", *options, "--db", sqlite_url, "--json"]) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert [part for part in ("mine.yaml", *said) if part not in printed.err] == []
    assert printed.err.count("\n") == 1
