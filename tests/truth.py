"""lm-eval's own output over small tasks of ours: what our numbers are compared with.

The tasks lie in `tests/tasks`, one of each kind that lm-eval knows; `Invocation` says what to run,
`make_logs` runs it and returns the folder that `lm_eval --log_samples --output_path` would have
written.  The fixture `truth` is one such folder for the whole test session.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
TASKS = Path(__file__).parent / "tasks"

EVERY_TASK = (
    "small_sums",  # generation, two regex filters, two-shot
    "small_things",  # multiple choice, acc and acc_norm, one document twice
    "small_trades",  # a group over a group and a task
    "small_weather",  # acc_mutual_info, brier_score
    "small_last_word",  # loglikelihood: perplexity, acc
    "small_pages",  # loglikelihood_rolling
    "small_phrases",  # bleu, ter, chrf
    "small_pairs",  # f1, mcc
    "small_votes",  # four answers a document, majority votes
    "small_units",  # Python filter, process_results and aggregation
    "small_orders",  # lists of verdicts a document
    "small_spellings",  # several right answers
    "small_fill_in",  # several contexts a document
)
DATES = ("2026-01-05T09:30:00.000101", "2026-02-02T09:30:00.000102")
MODELS = ("larch/wren-1b", "tern-ai/heron-7b")


@dataclass(frozen=True)
class Invocation:
    """One call of lm-eval.

    Attributes:
        tasks: names of tasks and groups.
        model: becomes `pretrained`, and so the name of the run's folder.
        date: ISO 8601 with microseconds, as lm-eval's file names have it.
        skill: the share of documents that the model gets right.
        variant: a later one changes some of the answers.
        options: further arguments of `simple_evaluate` (limit, samples, predict_only …).
    """

    tasks: tuple[str, ...] = EVERY_TASK
    model: str = MODELS[0]
    date: str = DATES[0]
    skill: float = 0.6
    variant: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def for_child(self, out: Path) -> dict[str, Any]:
        """Return the arguments of `run_lm_eval.evaluate`."""
        return {
            "include_path": "tasks",
            "out": str(out),
            "date": self.date,
            "model_args": {"pretrained": self.model, "skill": self.skill, "variant": self.variant},
            "options": {"tasks": list(self.tasks), "bootstrap_iters": 100, **self.options},
        }


def make_logs(out: Path, *invocations: Invocation, tasks: Path = TASKS) -> Path:
    """Let lm-eval run each invocation and write its logs.

    All of them share one process, whose start takes most of the time: about 5 s.

    Args:
        out: what `--output_path` would be; made where missing.
        invocations: what to run; one with every task when none is named.
        tasks: the folder of tasks.  lm-eval sees a copy of it, as `tasks` in its working
            directory: that is how the tasks name their data.

    Returns:
        `out`.
    """
    with tempfile.TemporaryDirectory(prefix="lm-eval-") as scratch:
        shutil.copytree(tasks, Path(scratch, "tasks"))
        work = [each.for_child(out.resolve()) for each in invocations or (Invocation(),)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.run_lm_eval"],
            input=json.dumps(work),
            cwd=scratch,
            env=offline_environment(Path(scratch)),
            text=True,
            capture_output=True,
            check=False,
        )
    if done.returncode:
        msg = f"lm-eval failed:\n{done.stderr[-4000:]}"
        raise RuntimeError(msg)
    return out


def offline_environment(scratch: Path) -> dict[str, str]:
    """Return an environment in which lm-eval reaches for nothing outside `scratch`."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {
        "HOME": str(scratch),
        "HF_HOME": str(scratch / "hf"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "DISABLE_MULTIPROC": "1",  # lm-eval's own: bootstraps in this process, with the same result
        "GIT_CEILING_DIRECTORIES": str(scratch.parent),
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
    }


@dataclass(frozen=True)
class Truth:
    """The logs of one test session.

    Attributes:
        logs: everything, as a folder of two models' folders.
        tasks: what `--include-path` needs to know.
        models: model names; the first ran on both `dates`, with some answers changed, the second
            on the first date.
        dates: ISO 8601, as stored in `run.date`.
    """

    logs: Path
    tasks: Path = TASKS
    models: tuple[str, ...] = MODELS
    dates: tuple[str, ...] = DATES

    def results(self, model: str = MODELS[0], date: str = DATES[0]) -> dict[str, Any]:
        """Return what lm-eval's results file of a run says."""
        path = self.folder(model) / f"results_{date.replace(':', '-')}.json"
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content

    def samples_file(self, task: str, model: str = MODELS[0], date: str = DATES[0]) -> Path:
        """Return the path of the samples of one task."""
        return self.folder(model) / f"samples_{task}_{date.replace(':', '-')}.jsonl"

    def samples(
        self, task: str, model: str = MODELS[0], date: str = DATES[0]
    ) -> list[dict[str, Any]]:
        """Return the parsed lines of one task's samples."""
        text = self.samples_file(task, model, date).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]

    def folder(self, model: str) -> Path:
        """Return the folder that lm-eval named after a model."""
        return self.logs / model.replace("/", "__")


SESSION: tuple[Invocation, ...] = (
    Invocation(),
    Invocation(date=DATES[1], variant=1),
    Invocation(model=MODELS[1], skill=0.8),
)


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Logs of every kind of task: two models, the first on two dates; made once per session."""
    return Truth(made_once(tmp_path_factory, "truth", lambda out: make_logs(out, *SESSION)))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that the first of pytest-xdist's workers to ask for it makes.

    Args:
        factory: pytest's own.
        name: of the folder, unique in the session.
        make: fills the folder that it is given, and makes it where it needs to.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = shared / f"{name}.part"
            make(part)
            part.rename(made)
    return made
