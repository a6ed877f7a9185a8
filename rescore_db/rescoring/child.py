"""The scoring child: a process of its own that resolves tasks and scores shards.

It has a main thread (lm-eval uses SIGALRM), an environment that was set before numpy loaded, a
memory limit, and can be killed at any moment: what it writes, it writes in one transaction.
Started as `python -m rescore_db.rescoring.child`, it answers messages until its input ends.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Any

from rescore_db.rescoring.pipe import read_message, write_message


def take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep stdin and stdout for messages; whatever else prints goes to stderr."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


def limit_memory(megabytes: int) -> None:
    """Make allocations beyond the limit fail with MemoryError, where the system can."""
    try:
        import resource
    except ImportError:  # not on this system: the parent's time limit is what is left
        return
    size = megabytes * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > size:
        resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies: a hung regex cannot notice it.

    To Linux the parent is the thread that started the child, so that thread has to stay.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes
    import signal

    set_death_signal = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>
    with suppress(OSError, AttributeError):  # another libc: the end of stdin is what is left
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """Do what one message asks; an error becomes an answer, for the parent shows it."""
    from rescore_db.errors import RescoreError
    from rescore_db.rescoring import work

    try:
        return {"done": work.OPERATIONS[message["op"]](**message["arguments"])}
    except RescoreError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except MemoryError:
        return {"error": "the memory limit of a scoring child was reached", "kind": "TaskError"}
    except SystemExit as stop:
        return {"error": f"the task's code called exit({stop.code!r})", "kind": "TaskError"}
    except Exception:  # noqa: BLE001 - our own bug or a task's: the parent tells which
        import traceback

        return {"error": traceback.format_exc(), "kind": "bug"}


def main() -> int:
    """Answer messages until there are no more."""
    incoming, outgoing = take_pipes()
    die_with_parent()
    limit_memory(int(os.environ["RESCORE_CHILD_MB"]))
    while (message := read_message(incoming)) is not None:
        write_message(outgoing, answer(message))
    return 0


if __name__ == "__main__":
    sys.exit(main())
