"""The walk over names: batches through lm-eval and through our program, in processes of their own.

A task's code may hang or end its process: each name has a time limit, a batch goes on after it,
and what is known is kept in a file, so that a walk that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore_db.harness.index import TaskNames
from tests.conformance.outcome import Outcome
from tests.truth import offline_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.conformance.evaluating import Work

BATCH = 400  # names that one pair of processes takes
NAME_SECONDS = 120.0  # for all that lm-eval does with a name
CHECK_SECONDS = 900.0  # for ingesting, rescoring and comparing a batch


class State:
    """What is known so far: outcomes in a file, one line of JSON each."""

    def __init__(self, file: Path) -> None:
        """Read what is there."""
        self._file = file
        self._lock = threading.Lock()
        self.outcomes: dict[str, Outcome] = {}
        if file.exists():
            for line in file.read_text(encoding="utf-8").splitlines():
                outcome = Outcome(**json.loads(line))
                self.outcomes[outcome.name] = outcome

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes, here and in the file."""
        lines = "".join(json.dumps(asdict(one)) + "\n" for one in outcomes)
        with self._lock, self._file.open("a", encoding="utf-8") as file:
            file.write(lines)
            self.outcomes.update({one.name: one for one in outcomes})


class Walk:
    """A walk over some names."""

    def __init__(
        self, state: State, *, seconds: float, members: int, tell: Callable[[str], None]
    ) -> None:
        """Prepare a walk.

        Args:
            state: where outcomes are kept.
            seconds: for making the documents of one task.
            members: how many tasks a group or tag may have that is evaluated as a whole.
            tell: called with a line when a batch is done.
        """
        self._state = state
        self._seconds = seconds
        self._members = members
        self._tell = tell
        self._names = TaskNames()

    def run(self, names: Sequence[str], jobs: int) -> None:
        """Walk over the names whose outcome is not known, in parallel: tasks before groups."""
        todo = [name for name in names if name not in self._state.outcomes]
        wholes = [name for name in todo if self._names.get(name).kind in ("group", "tag")]
        tasks = sorted(set(todo).difference(wholes))
        batches = [*_batches(tasks, jobs), *_batches(wholes, jobs)]
        with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
            self._walk(batches, jobs, Path(scratch))

    def _walk(self, batches: Sequence[Sequence[str]], jobs: int, scratch: Path) -> None:
        with ThreadPoolExecutor(jobs) as pool:
            work = partial(self._batch, scratch)
            for number, outcomes in enumerate(pool.map(work, batches), 1):
                identical = sum(one.verdict == "identical" for one in outcomes)
                different = [one.name for one in outcomes if one.verdict == "different"]
                self._tell(
                    f"batch {number} of {len(batches)}: {identical} of {len(outcomes)} identical"
                    + (f"; different: {', '.join(different)}" if different else "")
                )

    def _batch(self, place: Path, names: Sequence[str]) -> list[Outcome]:
        with tempfile.TemporaryDirectory(dir=place) as scratch:
            answers = self._evaluate(names, Path(scratch))
            folders = {
                name: Path(scratch, "logs", str(answer["number"]))
                for name, answer in answers.items()
                if answer["verdict"] == "evaluated"
            }
            found = self._check(folders, Path(scratch))
        outcomes = [self._outcome(name, answers[name], found.get(name, [])) for name in names]
        self._state.add(outcomes)
        return outcomes

    def _outcome(self, name: str, answer: dict[str, Any], differences: list[str]) -> Outcome:
        verdict, reason = answer["verdict"], answer.get("reason", "")
        if verdict == "evaluated":
            verdict, reason = (
                ("different", "; ".join(differences)) if differences else ("identical", "")
            )
        kind = self._names.get(name).kind
        if kind not in ("group", "tag"):  # whose members' kinds do not matter
            kind = answer.get("kind", "generation")
        seconds = round(answer.get("seconds", 0.0), 2)
        return Outcome(name, kind, self.family(name), verdict, reason, seconds)

    def family(self, name: str) -> str:
        """Return the folder of lm-eval's tasks that defines a name."""
        entry = self._names.get(name)
        if entry.path is None:  # a tag is where its first task is
            return self.family(entry.tasks[0]) if entry.tasks else "tags"
        parts = entry.path.parts
        return parts[len(parts) - 1 - parts[::-1].index("tasks") + 1]

    def _evaluate(self, names: Sequence[str], scratch: Path) -> dict[str, dict[str, Any]]:
        """Let lm-eval evaluate the names; one process after another, when a name ends it."""
        (scratch / "logs").mkdir()
        answers: dict[str, dict[str, Any]] = {}
        while len(answers) < len(names):
            rest = [name for name in names if name not in answers]
            work: Work = {
                "names": rest,
                "first": len(answers),
                "out": str(scratch / "logs"),
                "seconds": self._seconds,
                "members": self._members,
            }
            begun = None
            with _running("tests.conformance.evaluating", work, scratch) as process:
                trouble = "its process died"
                for answer in _lines(process, NAME_SECONDS):
                    if answer is None:
                        trouble = f"not done after {NAME_SECONDS:g} s"
                        break
                    begun = answer.get("begun", begun)
                    if "done" in answer:
                        answers[answer["done"]] = answer
            if len(answers) < len(names):
                failed = begun if begun is not None and begun not in answers else rest[0]
                answers[failed] = {"verdict": "built only", "reason": f"{trouble} in lm-eval"}
        return answers

    def _check(self, folders: dict[str, Path], scratch: Path) -> dict[str, list[str]]:
        """Rescore and compare; a name that ends the process is found by taking each alone."""
        if not folders:
            return {}
        with tempfile.TemporaryDirectory(dir=scratch) as place:
            work = {
                "folders": [str(folder) for folder in folders.values()],
                "store": f"{place}/store.db",
            }
            with _running("tests.conformance.checking", work, scratch) as process:
                for answer in _lines(process, CHECK_SECONDS):
                    if answer is not None:
                        return dict(answer)
            trouble = _last_words(scratch)
        if len(folders) == 1:
            return {name: [f"rescoring died: {trouble}"] for name in folders}
        found: dict[str, list[str]] = {}
        for name, folder in folders.items():
            found |= self._check({name: folder}, scratch)
        return found


def _batches(names: Sequence[str], jobs: int) -> list[Sequence[str]]:
    """Split names into batches, each a cut through all families."""
    count = max(-(-len(names) // BATCH), min(jobs, len(names)))
    return [names[start::count] for start in range(count)]


class _running:  # noqa: N801 - reads as what it is: with running(...)
    """A process that gets its work on stdin and is ended with all that it started."""

    def __init__(self, module: str, work: Mapping[str, Any], scratch: Path) -> None:
        self._module = module
        self._work = work
        self._scratch = scratch

    def __enter__(self) -> subprocess.Popen[bytes]:
        home = self._scratch / "home"
        home.mkdir(exist_ok=True)
        self._words = (self._scratch / "stderr").open("wb")
        self._process = subprocess.Popen(  # noqa: S603 - this Python
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            cwd=home,
            env=offline_environment(home) | _variables(self._module),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(self._work).encode())
        self._process.stdin.close()
        return self._process

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._words.close()


def _variables(module: str) -> dict[str, str]:
    """Return what both sides share (the CPU's setting, our caches), and what is a child's own."""
    from rescore_db.harness.environment import child_environment
    from rescore_db.settings import Settings

    variables = child_environment() | {"RESCORE_CACHE": str(Settings.from_environment().cache)}
    if module.endswith("evaluating"):
        del variables["PYTHONHASHSEED"]  # lm-eval runs as it happens to
    return variables


def _lines(process: subprocess.Popen[bytes], seconds: float) -> Iterator[dict[str, Any] | None]:
    """Yield the JSON lines that a process prints; None when one takes too long."""
    assert process.stdout is not None
    buffer = b""
    descriptor = process.stdout.fileno()
    end = time.monotonic() + seconds
    while True:
        if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            yield None
            return
        chunk = os.read(descriptor, 1 << 16)
        buffer += chunk
        *whole, buffer = buffer.split(b"\n")
        for line in whole:
            yield json.loads(line)
            end = time.monotonic() + seconds
        if not chunk:
            return


def _last_words(scratch: Path) -> str:
    words = (scratch / "stderr").read_text(encoding="utf-8", errors="replace")
    return " ".join(words.split())[-400:]
