"""A task's code that misbehaves fails its own evaluation, by name and document; others go on."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.cli.main import main

if TYPE_CHECKING:
    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")

FUNCTIONS = """
import os, posix, signal, subprocess, time

def number(resps, docs):
    return [trouble(row[0], doc) for row, doc in zip(resps, docs)]

def trouble(response, doc):
    if doc["question"] == {question!r}:
        {trouble}
    return response

def score(doc, results):
    return {{"exact_match": float(results[0] != "")}}
"""
TASK = """
task: small_sums
dataset_path: json
output_type: generate_until
test_split: test
doc_to_text: question
doc_to_target: "{{answer}}"
filter_list:
  - {name: strict-match, filter: [{function: custom, filter_fn: !function bad.number}]}
process_results: !function bad.score
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
AT = 3  # the position of the document that there is trouble with


@pytest.fixture
def store(truth: Truth, sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> str:
    for task in ("small_sums", "small_things"):
        assert main(["ingest", str(truth.samples_file(task)), "--db", sqlite_url]) == 0
    capsys.readouterr()
    return sqlite_url


class Scored:
    """What scoring the troubled task and a sound one gave."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        ((self.status, self.reason),) = {
            (row["status"], row["reason"]) for row in rows if row["task"] == "small_sums"
        }
        self.sound = {row["status"] for row in rows if row["task"] == "small_things"}


def score(
    folder: Path,
    truth: Truth,
    store: str,
    capsys: pytest.CaptureFixture[str],
    trouble: str,
    *,
    code: int,
) -> list[dict[str, Any]]:
    """Score both tasks, one of them with trouble in its filter, and return the rows."""
    question = truth.samples("small_sums")[AT]["doc"]["question"]
    (folder / "bad.py").write_text(FUNCTIONS.format(question=question, trouble=trouble))
    (folder / "small_sums.yaml").write_text(TASK)
    (folder / "small_things.yaml").write_bytes((truth.tasks / "small_things.yaml").read_bytes())
    options = ["--include-path", str(folder), "--timeout", "2", "--workers", "1", "--json"]

    assert main(["score", "--db", store, *options]) == code

    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    rows: list[dict[str, Any]] = json.loads(printed.out)
    return rows


TROUBLES = {
    "hangs": ("while True: pass", "failed", "not done after 2 s and stopped"),
    "ends": ("os._exit(3)", "failed", "the scoring child died (exit code 3)"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "failed", "killed by SIGKILL"),
    "exits": ("raise SystemExit(3)", "unsupported", "SystemExit: 3"),
    "interrupts": ("raise KeyboardInterrupt", "failed", "its code raised KeyboardInterrupt"),
    "forks": ("os.fork()", "unsupported", "lets no task's code fork"),
    "asks for too much": ("bytearray(2**45)", "unsupported", "memory limit"),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_filter_that_misbehaves_fails_its_evaluation_by_name_and_document(
    kind: str,
    tmp_path: Path,
    truth: Truth,
    store: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trouble, status, said = TROUBLES[kind]

    found = Scored(score(tmp_path, truth, store, capsys, trouble, code=1))

    assert found.status == status
    assert said in found.reason
    assert "'strict-match'" in found.reason
    question = truth.samples("small_sums")[AT]["doc"]["question"]
    assert f"position {AT}, filter" in found.reason or question[:40] in found.reason
    assert found.sound == {"complete"}


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and no corpse that nobody has waited for."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def test_nothing_that_a_task_started_outlives_its_child(
    tmp_path: Path, truth: Truth, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = tmp_path / "pids"
    trouble = f"""
        same = subprocess.Popen(["sleep", "600"])
        own = subprocess.Popen(["sleep", "600"], start_new_session=True)
        copy = posix.fork()
        if copy == 0:
            os.setsid()
            time.sleep(600)
        open({str(pids)!r}, "w").write(f"{{same.pid}} {{own.pid}} {{copy}}")
        time.sleep(600)
"""

    found = Scored(score(tmp_path, truth, store, capsys, trouble.strip(), code=1))

    assert found.status == "failed"
    started = [int(pid) for pid in pids.read_text().split()]
    end = time.monotonic() + 5
    while time.monotonic() < end and any(map(is_running, started)):
        time.sleep(0.05)
    assert len(started) == 3
    assert not any(map(is_running, started))


def test_a_copy_of_the_process_ends_before_it_can_write(
    tmp_path: Path, truth: Truth, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = tmp_path / "marks"
    trouble = f'open({str(marks)!r}, "a").write(f"{{posix.fork() > 0}} ")'

    rows = score(tmp_path, truth, store, capsys, trouble, code=0)

    assert set(marks.read_text().split()) == {"False", "True"}
    assert {row["status"] for row in rows} == {"complete"}
    assert [row["n"] for row in rows if row["task"] == "small_sums"] == [10]


BACKTRACKING = """
- name: slow
  filter:
    - {{function: regex, regex_pattern: '^(?={start})(?:\\w|\\W|[^#]|[^!]|[^~])*~$'}}
    - {{function: take_first}}
"""


def test_a_regular_expression_that_backtracks_for_ever_is_stopped_at_its_document(
    tmp_path: Path, truth: Truth, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = truth.samples("small_sums")
    start = re.escape(lines[AT]["resps"][0][0].partition("\n")[0])
    (tmp_path / "slow.yaml").write_text(BACKTRACKING.format(start=start.replace("'", "''")))
    line = ["score", "--db", store, "--include-path", str(truth.tasks), "--timeout", "1"]
    line += ["--task", "small_sums"]

    assert main([*line, "--filters", str(tmp_path / "slow.yaml"), "--json"]) == 1

    (reason,) = {row["reason"] for row in json.loads(capsys.readouterr().out)}
    assert f"position {AT}, filter 'slow': not done after 1 s" in reason
    assert "regular expression" in reason
    shown = reason.partition("(rescore ")[2].rstrip(")").split()
    assert main([*shown, "--db", store]) == 0
    assert lines[AT]["doc"]["question"].split()[0] in capsys.readouterr().out
