"""A slot supervises one scoring child: starts it, waits for it, kills it, starts it again."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

from rescore_db import errors
from rescore_db.errors import RescoreError, TaskError
from rescore_db.harness.whereabouts import SIZE, Step
from rescore_db.rescoring.family import await_exit, kill_family
from rescore_db.rescoring.pipe import read_message, write_message

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rescore_db.settings import Settings

TAIL: Final = 2000  # characters of a dead child's last words that are shown
OWN_SECONDS: Final = 600.0  # how long it may take while no task's code runs: to load lm-eval
WHOLE: Final = 10  # documents' worth of time for what is done for all of them at once
LOOK_SECONDS: Final = 0.2  # between two looks at whether a child gets on


class ChildDiedError(TaskError):
    """A scoring child was killed, crashed or ran out of time while it worked.

    Its message says what the child was doing, and for which document.

    Attributes:
        was_killed: something else than the task may have killed it, so that it is worth another
            try (not so when it took too long, or ended by itself).
    """

    def __init__(self, step: Step, message: str, *, was_killed: bool = False) -> None:
        """Keep whether another try is worth it."""
        super().__init__(f"{step}: {message}" if step.what else message)
        self.was_killed = was_killed
        self._step = step

    def of(self, evaluation_id: int) -> str:
        """Return the message with the command that shows the document."""
        if self._step.number is None:
            return str(self)
        return f"{self} (rescore samples show {evaluation_id}:{self._step.number})"


class SlotClosedError(Exception):
    """The work was called off; nothing is wrong with the task."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child, its two pipes, and the files that its stderr and its steps go to."""

    process: subprocess.Popen[bytes]
    questions: IO[bytes]
    answers: IO[bytes]
    words: IO[bytes]
    steps: IO[bytes]

    @classmethod
    def start(cls, environment: dict[str, str]) -> Child:
        """Start a child; it lives until it is ended or its parent dies."""
        words = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        steps = tempfile.TemporaryFile()  # noqa: SIM115 - the same
        steps.truncate(SIZE)
        process = subprocess.Popen(  # noqa: S603 - this Python, a module of ours
            # -P: nothing is imported from the working directory, which may hold people's logs.
            [sys.executable, "-P", "-m", "rescore_db.rescoring.child", str(steps.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env=environment,
            pass_fds=(steps.fileno(),),
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the child
        )
        questions, answers = (cast("IO[bytes]", p) for p in (process.stdin, process.stdout))
        return cls(process, questions, answers, words, steps)

    def step(self) -> Step:
        """Return the last step that the child began."""
        return Step.read(os.pread(self.steps.fileno(), SIZE, 0))

    def kill(self) -> None:
        """Kill the child and whatever its tasks started."""
        if self.process.returncode is None:
            kill_family(self.process.pid)

    def end(self) -> int:
        """Kill the child and close what belongs to it; return its exit code."""
        self.kill()
        code = self.process.wait()
        for stream in (self.questions, self.answers, self.words, self.steps):
            with suppress(BrokenPipeError):
                stream.close()
        return code


class Slot:
    """One place where a scoring child runs; the child starts with the first call."""

    def __init__(self, settings: Settings, *, wide: bool = False) -> None:
        """Prepare a slot.

        Args:
            settings: limits of time and memory.
            wide: let numpy use the CPU's widest instructions, which may round differently.
        """
        self._settings = settings
        self._wide = wide
        self._child: Child | None = None
        self._is_off = False

    def __enter__(self) -> Self:
        """Return the slot."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self.close()

    def call(self, op: str, **arguments: Any) -> Any:  # noqa: ANN401 - each operation has its own
        """Let the child do one thing and return its answer.

        Raises:
            ChildDiedError: it died or was too slow; the next call starts another.
            SlotClosedError: the work was called off meanwhile.
            RescoreError: what the child raised.
        """
        child = self._running()
        try:
            write_message(child.questions, {"op": op, "arguments": arguments})
            self._wait(child)
            reply = read_message(child.answers)
        except BrokenPipeError:
            reply = None
        if self._is_off:
            raise SlotClosedError
        if reply is None:
            raise self._obituary(child)
        if "error" in reply:
            raise _error_of(reply)
        return reply["done"]

    def close(self) -> None:
        """End the child, if there is one; it holds nothing that has to be saved."""
        if self._child is not None:
            self._child.end()
        self._child = None

    def interrupt(self) -> None:
        """Call the work off from another thread; the call that waits fails at once, and is last."""
        self._is_off = True
        child = self._child
        if child is not None:
            child.kill()

    def _running(self) -> Child:
        if self._is_off:
            raise SlotClosedError
        if self._child is None:
            from rescore_db.harness.environment import child_environment

            limits = {"RESCORE_CHILD_MB": str(self._settings.child_mb)}
            self._child = Child.start(os.environ | child_environment(wide=self._wide) | limits)
        return self._child

    def _wait(self, child: Child) -> None:
        """Wait until an answer begins, as long as the child gets on from step to step."""
        step, since = child.step(), time.monotonic()
        while not select.select([child.answers], [], [], LOOK_SECONDS)[0]:
            before, step = step, child.step()
            if step != before:
                since = time.monotonic()
            elif time.monotonic() - since > self._seconds_for(step):
                child.end()
                self.close()
                raise ChildDiedError(step, self._too_slow(step))

    def _seconds_for(self, step: Step) -> float:
        if not step.what:  # it waits for the store as long as anybody
            return OWN_SECONDS + self._settings.busy_seconds
        return self._settings.child_seconds * (1 if step.number is not None else WHOLE)

    def _too_slow(self, step: Step) -> str:
        seconds = f"not done after {self._seconds_for(step):g} s and stopped"
        if not step.what:
            return f"{seconds}: lm-eval could not be loaded, or the store did not answer"
        return (
            f"{seconds}: its code hangs (a regular expression may backtrack for ever), or the time "
            f"limit is too short (--timeout {self._settings.child_seconds:g})"
        )

    def _obituary(self, child: Child) -> ChildDiedError:
        """Say how the child died, and of what, and forget it."""
        await_exit(child.process.pid)
        child.words.seek(0)
        words = child.words.read().decode("utf-8", "replace").strip()[-TAIL:]
        step, code = child.step(), child.end()
        self.close()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        msg = f"the scoring child died ({how})" + (f": {words}" if words else "")
        return ChildDiedError(step, msg, was_killed=code == -signal.SIGKILL)


def _error_of(reply: dict[str, Any]) -> Exception:
    """Turn a child's error into ours; a bug stays a bug, with the child's traceback."""
    kind = getattr(errors, reply["kind"], None)
    if isinstance(kind, type) and issubclass(kind, RescoreError):
        return kind(reply["error"])
    return RuntimeError(f"in a scoring child:\n{reply['error']}")
