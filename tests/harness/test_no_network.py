"""With the network really cut off, and under other hash seeds, tasks give the same scores."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rescore_db.harness.environment import child_environment

if TYPE_CHECKING:
    from tests.truth import Truth

NAMESPACE = ["unshare", "--map-root-user", "--net"]  # one without so much as a loopback
IN_PYTHON = """
import socket

def cut(*_, **__):
    raise OSError(101, "Network is unreachable")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = cut
"""
SMALL_TASKS = """
import socket, sys
from pathlib import Path
from tests.harness import test_truth
from tests.truth import Truth

try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print("cut off:", error.strerror)
truth = Truth(Path(sys.argv[1]))
for name in test_truth.TASK_NAMES:
    test_truth.test_rescoring_gives_what_lm_eval_logged(truth, name)
test_truth.test_groups_give_what_lm_eval_logged(truth)
print("the same")
"""
REGISTRY_TASKS = """
from rescore_db.harness.aggregation import aggregate
from rescore_db.harness.interface import Sample, TaskRequest
from rescore_db.harness.offline import load_task
from tests.harness.logs import values_of

CHOICES = {"text": ["a stone", "a tree"], "label": ["A", "B"]}
TEXT, LIKELY, UNLIKELY = "It is 4.\\n#### 4", ["-1.5", "True"], ["-2.5", "False"]
GIVEN = {
    "gsm8k": ({"question": "2 + 2?", "answer": "4\\n#### 4"}, [TEXT]),
    "arc_easy": ({"question": "What grows?", "choices": CHOICES, "answerKey": "B"},
                 [UNLIKELY, LIKELY]),
    "truthfulqa_gen": ({"question": "Is it?", "best_answer": "It is 4.", "incorrect_answers": ["5"],
                        "correct_answers": ["It is 4."]}, [TEXT]),
    "ifeval": ({"key": 1, "prompt": "Two sentences.", "kwargs": [{"num_sentences": 2,
                "relation": "at least"}],
                "instruction_id_list": ["length_constraints:number_sentences"]}, [TEXT]),
    "cola": ({"sentence": "It is.", "label": 1}, [UNLIKELY, LIKELY]),
    "wikitext": ({"page": "It is 4 ."}, ["-12.5"]),
    "lambada_openai": ({"text": "It is so"}, [LIKELY]),
    "mmlu_anatomy": ({"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 1},
                     [UNLIKELY, LIKELY, UNLIKELY, UNLIKELY]),
}
for name, (doc, answers) in GIVEN.items():
    asked = {str: ["q", {"until": []}], list: ["q", " a"]}
    kinds = [["q"] if name == "wikitext" else asked[type(one)] for one in answers]
    task = load_task(TaskRequest(name), doc)
    scores = task.score([Sample(doc, kinds, [[one] for one in answers])])
    assert [one.error for one in scores] == [None] * len(task.definition.filters), scores
    assert aggregate(task, values_of(scores), 10), name
print("all scored")
"""


def run_cut_off(program: str, *arguments: str, seed: str) -> str:
    """Run a program that no network is there for: in a namespace, else cut off within Python."""
    unshare = shutil.which(NAMESPACE[0])
    can = unshare and not subprocess.run([*NAMESPACE, "true"], check=False).returncode  # noqa: S603 - util-linux
    prefix, program = (NAMESPACE, program) if can else ([], IN_PYTHON + program)
    done = subprocess.run(  # noqa: S603 - this Python, the programs above
        [*prefix, sys.executable, "-c", program, *arguments],
        env=os.environ | child_environment() | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_every_kind_of_task_gives_what_lm_eval_logged(truth: Truth, seed: str) -> None:
    told = run_cut_off(SMALL_TASKS, str(truth.logs), seed=seed)

    assert told.split("\n")[:2] == ["cut off: Network is unreachable", "the same"]


def test_tasks_of_the_registry_are_built_scored_and_aggregated() -> None:
    assert run_cut_off(REGISTRY_TASKS, seed="0") == "all scored\n"
