"""`rescore ingest`: take lm-eval's output into the store."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import AsJson, Db

Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH", help="Folders, files or globs that hold lm-eval's output."),
]


def ingest(paths: Paths, as_json: AsJson = False, db: Db = None) -> None:
    """Take lm-eval's output into the store.

    Reads what `lm_eval --log_samples --output_path DIR` wrote. What the store already holds is
    not added again, so the same folder can be given after each new run.
    """
    from rescore_db.cli.progress import progress_bar
    from rescore_db.report.machine import json_object
    from rescore_db.report.render import emit, notice
    from rescore_db.report.summaries import ingest_text

    with opened(db, write=True) as store, progress_bar("bytes") as progress:
        report = store.ingest(paths, progress=progress)
    emit(json_object(report) if as_json else ingest_text(report))
    for note in report.notes:
        notice(f"note: {note}")
    for error in report.errors:
        place = f"{error.file}:{error.line}" if error.line else error.file
        notice(f"rescore: {place}: {error.message}")
    if report.errors:
        raise typer.Exit(1)
