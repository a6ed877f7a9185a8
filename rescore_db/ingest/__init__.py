"""lm-eval's output into the store: deduplicated, one evaluation a transaction, repeatable."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rescore_db.errors import UsageError
from rescore_db.records import IngestOptions
from rescore_db.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Engine

    from rescore_db.records import IngestReport, Progress

__all__ = ["ingest_paths"]


def ingest_paths(
    engine: Engine,
    paths: Sequence[str],
    *,
    options: IngestOptions | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Take lm-eval's output into the store.

    What is in the store already adds nothing.  A bad file, or a folder that cannot be read, stops
    nothing else: it is among the report's errors, and the others go in.

    Args:
        engine: the store, open for writing.
        paths: folders (with everything below them), globs, single files, and URLs of them.
        options: how; None means without any.
        progress: called with (bytes done, bytes in all, current file) as it goes on.

    Raises:
        AlreadyExistsError: another run has the name that the run is to have.
        NotFoundError: a path does not exist, or nowhere is a file that lm-eval wrote.
        StoreUnusableError: the database failed; whole evaluations that were written stay.
        UsageError: a name, step or tag that a run cannot have, or a name for several runs.
    """
    from rescore_db.harness_log.discovery import discover
    from rescore_db.ingest.labels import check_labels, label_run
    from rescore_db.ingest.report import Tally
    from rescore_db.ingest.requests import Requests
    from rescore_db.ingest.run import RunIngest, run_size

    options = options or IngestOptions()
    check_labels(options)
    found = discover(paths)
    if options.name is not None and len(found.runs) > 1:
        msg = f"a name is for one run, here are {len(found.runs)}: give --tag, or one run's files"
        raise UsageError(msg)
    tally = Tally(found, sum(run_size(files) for files in found.runs), progress)
    max_bytes = Settings.from_environment().max_line_mb * 1_000_000
    requests = Requests()
    with _rare_collections():
        for files in found.runs:
            run = RunIngest(engine, files, tally, max_bytes, options, requests)
            run.ingest()
            label_run(engine, run.run_id, options)
    return tally.report()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for reference cycles less often.

    Lines become many objects and next to no cycles: looking for them every 700 objects, Python's
    default, took 7% of the time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(100_000, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
