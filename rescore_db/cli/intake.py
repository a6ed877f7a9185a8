"""What `rescore ingest` does in each of its modes: call, then tell."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from rescore_db.cli.opening import opened
from rescore_db.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rescore_db.cli.output import Output
    from rescore_db.records import FileError, IngestOptions, IngestReport, Taken


def take(paths: list[str], options: IngestOptions, out: Output, db: str | None) -> None:
    """Take in files of lm-eval."""
    from rescore_db.cli.progress import progress_bar

    with opened(db, write=True) as store, progress_bar("bytes") as progress:
        report = store.ingest(paths, options=options, progress=progress)
    _tell(report, out)


def take_responses(
    path: str,
    of: tuple[str | None, str | None, str | None],
    options: IngestOptions,
    out: Output,
    db: str | None,
) -> None:
    """Take in responses made elsewhere; `of` is their task, model and date.

    Raises:
        UsageError: the task or the model is missing.
    """
    from rescore_db.cli.progress import progress_bar
    from rescore_db.ingest.responses import ResponsesOf

    task, model, date = of
    if task is None or model is None:
        msg = "--responses needs --task NAME and --model NAME: nothing in the file tells them"
        raise UsageError(msg)
    whose = ResponsesOf(task, model, date or "")
    with opened(db, write=True) as store, progress_bar("bytes") as progress:
        report = store.ingest_responses(path, whose, options=options, progress=progress)
    _tell(report, out)


def plan(paths: list[str], out: Output, db: str | None) -> None:
    """Say what an ingest would do."""
    from rescore_db.intake import plan_ingest
    from rescore_db.report.planned import dry_run_text
    from rescore_db.report.render import page

    found = plan_ingest(paths, db)
    out.told(found, lambda plan: dry_run_text(plan, page()))
    if found.errors:
        _fail(found.errors)


def list_quarantine(out: Output, db: str | None) -> None:
    """List the lines that were left out."""
    from rescore_db.records import QuarantineRow

    with opened(db) as store:
        out.rows(store.quarantined(), of=QuarantineRow)


def watch(
    folders: list[str],
    interval: float,
    options: IngestOptions,
    out: Output,
    db: str | None,
) -> None:
    """Follow folders until interrupted, which is its ordinary end: exit code 0, or 1 as ever."""
    from rescore_db.report.render import notice
    from rescore_db.report.summaries import taken_text

    def told(taken: Taken) -> None:
        notice(taken_text(taken))

    with opened(db, write=True) as store, _ended_by_sigterm():
        notice(f"watching {', '.join(folders)}; Ctrl-C ends it")
        report = store.watch(folders, options=options, interval=interval, told=told)
    _tell(report, out)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM, which ends jobs and services, do what Ctrl-C does."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(report: IngestReport, out: Output) -> None:
    from rescore_db.report.render import notice
    from rescore_db.report.summaries import ingest_text
    from rescore_db.report.values import one_line

    out.told(report, ingest_text)
    for note in report.notes:
        notice(f"note: {one_line(note)}")
    if report.errors:
        _fail(report.errors)


def _fail(errors: Sequence[FileError]) -> NoReturn:
    """Name what could not be taken in, and end with exit code 1."""
    from rescore_db.report.render import notice
    from rescore_db.report.values import one_line

    for error in errors:
        place = f"{error.file}:{error.line}" if error.line else error.file
        notice(f"rescore: {one_line(place)}: {error.message}")
    raise typer.Exit(1)
