"""What `cog` writes into the README: real output of real commands over the demo's logs.

`cog -r README.md` refreshes it, `cog --check README.md` (part of `make test`) finds stale blocks.
Commands run in the order of the page, in one scratch folder that looks like the tour's.
"""

from __future__ import annotations

import atexit
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.main import get_command

from rescore_db.cli.main import app
from rescore_db.demo import prepare
from rescore_db.store.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100
MOMENT = "2026-04-01T09:00:00"


@cache
def folder() -> Path:
    """Return a scratch folder with the demo's logs and tasks, removed at exit."""
    base = Path(tempfile.mkdtemp(prefix="rescore-readme-"))
    atexit.register(shutil.rmtree, base)
    return prepare(base / "demo")


def output_of(command: str, width: int = WIDTH) -> str:
    """Run a command line of ours and return what it prints on stdout.

    The moments at which it ran are replaced by one that stays.

    Args:
        command: as a user types it, beginning with `rescore`.
        width: columns of the terminal.

    Raises:
        RuntimeError: it failed.
    """
    program, *arguments = shlex.split(command)
    if program != "rescore":
        msg = f"not a command of ours: {command}"
        raise ValueError(msg)
    today = datetime.now(UTC).date().isoformat()
    kept = {name: value for name, value in os.environ.items() if name != "RESCORE_DB"}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "rescore_db", *arguments],
        cwd=folder(),
        env=kept | {"COLUMNS": str(width), "NO_COLOR": "1", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        msg = f"{command}: exit {done.returncode}: {done.stderr[-2000:]}"
        raise RuntimeError(msg)
    days = "|".join({today, datetime.now(UTC).date().isoformat()})
    return re.sub(rf"(?:{days})T\d\d:\d\d:\d\d", MOMENT, done.stdout)


def console(*commands: str, width: int = WIDTH) -> str:
    """Return commands with their output as one block for the README."""
    lines: list[str] = []
    for command in commands:
        printed = "\n".join(line.rstrip() for line in output_of(command, width).splitlines()).strip(
            "\n"
        )
        lines += [f"$ {command}", printed, ""]
    return "\n".join(["```console", *lines[:-1], "```"])


def listing(name: str) -> str:
    """Return a file of the demo as a block for the README."""
    text = (folder() / name).read_text(encoding="utf-8").strip()
    return f"```{Path(name).suffix[1:]}\n{text}\n```"


def views() -> str:
    """Return the views that `rescore sql` reads, each with its columns, as a table."""
    rows = [f"| `{each.name}` | {each.row} | {', '.join(each.columns)} |" for each in VIEWS]
    return "\n".join(["| view | a row is | columns |", "|---|---|---|", *rows])


def commands() -> str:
    """Return every command with the first line of its help, as a table."""
    rows = [f"| `{name}` | {says} |" for name, says in _commands(get_command(app), "rescore")]
    return "\n".join(["| command | does |", "|---|---|", *rows])


def _commands(command: Any, name: str) -> Iterator[tuple[str, str]]:
    # typer's own copy of click has no public types
    inside = getattr(command, "commands", {})
    for child in command.list_commands(None) if inside else ():  # in the order of --help
        inner, full = inside[child], f"{name} {child}"
        if getattr(inner, "commands", {}) and not inner.invoke_without_command:
            yield from _commands(inner, full)
            continue
        yield full, (inner.help or "").strip().split("\n\n")[0].replace("\n", " ")
        yield from _commands(inner, full)
