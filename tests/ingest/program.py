"""The program in a process of its own, which can be killed or limited."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def start(url: str, *line: str, **how: Any) -> subprocess.Popen[str]:
    """Start `rescore LINE` on a store."""
    more = how.pop("env", {})
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "rescore_db", *line],
        env=os.environ | {"RESCORE_DB": url} | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def run(url: str, *line: str, **how: Any) -> tuple[int, str, str]:
    """Run `rescore LINE` on a store; return exit code, stdout and stderr."""
    process = start(url, *line, **how)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def limited(setting: int, limit: int) -> Any:
    """Return what to give as `preexec_fn` so that the program has a limit."""
    import resource

    return lambda: resource.setrlimit(setting, (limit, limit))
