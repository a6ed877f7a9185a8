"""The scoring child: a process of its own that resolves tasks and scores shards.

It has a main thread (lm-eval uses SIGALRM), an environment that was set before numpy loaded, a
memory limit, and can be killed at any moment: what it writes, it writes in one transaction.
Started as `python -m rescore_db.rescoring.child`, it answers messages until its input ends.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from rescore_db.harness.whereabouts import here
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
    """Make allocations beyond the limit fail with MemoryError, where the system can.

    What libraries have reserved and never touched does not count: pyarrow alone reserves 1 GB.
    """
    try:
        import resource
    except ImportError:  # not on this system: the parent's time limit is what is left
        return
    size = megabytes * 2**20 + reserved_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or hard > size:
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def reserved_bytes() -> int:
    """Return how much private memory this process has reserved and not touched; 0 if unknown."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:  # only Linux tells
        return 0
    kilobytes = {
        name: rest.split()[0]
        for name, _, rest in (one.partition(":") for one in lines)
        if name in {"VmData", "RssAnon"}
    }
    if len(kilobytes) < 2:  # noqa: PLR2004 - an old kernel, or a sandbox's own /proc
        return 0
    return (int(kilobytes["VmData"]) - int(kilobytes["RssAnon"])) * 1024


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies: a hung regex cannot notice it.

    To Linux the parent is the thread that started the child, so that thread has to stay.  What
    the child forks does the same.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes
    import signal

    set_death_signal = 1  # PR_SET_PDEATHSIG in <sys/prctl.h>
    with suppress(OSError, AttributeError):  # another libc: the end of stdin is what is left
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)


def fall_first() -> None:
    """Let Linux, where it runs out of memory, end this process before any other."""
    with suppress(OSError):  # another system
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


@lru_cache(maxsize=1)
def get_ready() -> None:
    """Load lm-eval, then take the limits that are for tasks."""
    from rescore_db.harness.offline import load_lm_eval

    load_lm_eval()
    limit_memory(int(os.environ["RESCORE_CHILD_MB"]))


def answer(message: dict[str, Any]) -> dict[str, Any]:
    """Do what one message asks; an error becomes an answer, for the parent shows it."""
    from rescore_db.errors import RescoreError
    from rescore_db.rescoring import work

    here.count_by("document")
    try:
        get_ready()
        return {"done": work.OPERATIONS[message["op"]](**message["arguments"])}
    except RescoreError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except MemoryError:
        limit = f"its memory limit of {os.environ['RESCORE_CHILD_MB']} MB was reached (--memory)"
        return {"error": f"a scoring child failed: {limit}", "kind": "TaskError"}
    except Exception:  # noqa: BLE001 - our own bug or a task's: the parent tells which
        import traceback

        return {"error": traceback.format_exc(), "kind": "bug"}
    except BaseException as error:  # noqa: BLE001 - nobody but a task ends a child in this way
        said = f"{here.read()}: its code raised {type(error).__name__}({str(error)!r})"
        return {"error": said, "kind": "TaskError"}


def main() -> int:
    """Answer messages until there are no more."""
    incoming, outgoing = take_pipes()
    here.share(int(sys.argv[1]))
    die_with_parent()
    os.register_at_fork(after_in_child=die_with_parent)
    fall_first()
    while (message := read_message(incoming)) is not None:
        write_message(outgoing, answer(message))
    return 0


if __name__ == "__main__":
    sys.exit(main())
