"""Progress bars: on stderr, and only where that is a terminal."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bar

    from rescore_db.records import Progress

NAME_WIDTH: Final = 28


@contextmanager
def progress_bar(unit: Literal["bytes", "samples"]) -> Iterator[Progress | None]:
    """Show how far a long command is, with its rate and the remaining time.

    Yields:
        what to call as work goes on; None where there is no terminal to show it on.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from rescore_db.report.tables import cut
    from rescore_db.report.values import one_line

    with _bar(unit) as bar:
        task = bar.add_task("preparing", total=None)

        def progress(done: int, total: int, what: str) -> None:
            name = cut(one_line(what), NAME_WIDTH, "end")
            bar.update(task, completed=done, total=total, description=name)

        yield progress


def _bar(unit: Literal["bytes", "samples"]) -> Bar:
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.text import Text

    class Samples(rich_progress.ProgressColumn):
        """Samples done, of how many, and how many a second."""

        def render(self, task: rich_progress.Task) -> Text:
            if task.total is None:
                return Text()
            rate = f" · {task.speed:,.0f}/s" if task.speed else ""
            return Text(f"{task.completed:,.0f}/{task.total:,.0f}{rate}")

    amount: tuple[rich_progress.ProgressColumn, ...] = (
        (rich_progress.DownloadColumn(), rich_progress.TransferSpeedColumn())
        if unit == "bytes"
        else (Samples(),)
    )
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        *amount,
        rich_progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
