"""A scoring child and all that came of it, ended together."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

PROCESSES: Final = Path("/proc")  # where Linux tells of them
EXIT_SECONDS: Final = 5.0  # how long a process that closed its pipes may take to be gone
LOOK_SECONDS: Final = 0.01


def kill_family(pid: int) -> None:
    """Kill a process that leads a group and was not waited for yet, and all that it started.

    Its group goes as a whole; on Linux so do those of its descendants that left the group.
    """
    others = descendants(pid)
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, of a zombie
        os.killpg(pid, signal.SIGKILL)
    for other in others:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(other, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started; Linux only."""
    children: dict[int, list[int]] = {}
    for entry in PROCESSES.glob("[0-9]*/stat"):
        with suppress(OSError):  # it is gone
            parent = entry.read_text("utf-8", "replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(entry.parent.name))
    found, waiting = [], [pid]
    while waiting:
        started = children.get(waiting.pop(), [])
        found += started
        waiting += started
    return found


def await_exit(pid: int) -> None:
    """Give a process a moment to be gone by itself; its exit code stays to be asked for."""
    end = time.monotonic() + EXIT_SECONDS
    while time.monotonic() < end:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return
        time.sleep(LOOK_SECONDS)
