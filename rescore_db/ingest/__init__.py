"""lm-eval's output into the store: deduplicated, one evaluation a transaction, repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore_db.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from rescore_db.records import IngestReport, Progress

__all__ = ["ingest_paths"]


def ingest_paths(
    engine: Engine, paths: Sequence[str], *, progress: Progress | None = None
) -> IngestReport:
    """Take lm-eval's output into the store.

    What is in the store already adds nothing.  A bad file, or a folder that cannot be read, stops
    nothing else: it is among the report's errors, and the others go in.

    Args:
        engine: the store, open for writing.
        paths: folders (with everything below them), globs and single files.
        progress: called with (bytes done, bytes in all, current file) as it goes on.

    Raises:
        NotFoundError: a path does not exist, or nowhere is a file that lm-eval wrote.
        StoreUnusableError: the database failed; whole evaluations that were written stay.
    """
    from rescore_db.harness_log.discovery import discover
    from rescore_db.ingest.report import Tally
    from rescore_db.ingest.run import RunIngest, run_size

    found = discover(paths)
    total = sum(run_size(files) for files in found.runs)
    tally = Tally(found, total, progress)
    max_bytes = Settings.from_environment().max_line_mb * 1_000_000
    for files in found.runs:
        RunIngest(engine, files, tally, max_bytes).ingest()
    return tally.report()
