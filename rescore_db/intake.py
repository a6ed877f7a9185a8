"""The verbs of a store that take something in, and what they left out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rescore_db.records import Rows
from rescore_db.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from rescore_db.ingest.responses import ResponsesOf
    from rescore_db.records import (
        IngestOptions,
        IngestReport,
        Progress,
        QuarantineRow,
        Taken,
    )
    from rescore_db.records.planned import DryRun

    PathLike = str | os.PathLike[str]


class Intake:
    """What `Store` does with files."""

    _engine: Engine

    def ingest(
        self,
        paths: PathLike | Sequence[PathLike],
        *,
        options: IngestOptions | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Take lm-eval's output into the store.

        Args:
            paths: a folder, glob, file or URL, or several.
            options: how, and what the runs are to be called.
            progress: called as bytes are read.

        Raises:
            AlreadyExistsError: another run has the name that the run is to have.
            NotFoundError: a path does not exist, or nowhere is a file of lm-eval.
            UsageError: a name, step or tag that a run cannot have, or a name for several runs.
        """
        from rescore_db.ingest import ingest_paths

        return ingest_paths(self._engine, _texts(paths), options=options, progress=progress)

    def watch(
        self,
        folders: PathLike | Sequence[PathLike],
        *,
        options: IngestOptions | None = None,
        interval: float = 10.0,
        stop: Callable[[], bool] | None = None,
        told: Callable[[Taken], None] | None = None,
    ) -> IngestReport:
        """Follow folders where runs are being written; take each evaluation once it is complete.

        Args:
            folders: one or several, with everything below them.
            options: how, and what the runs are to be called.
            interval: seconds between two looks.
            stop: is asked several times a second whether to end; Ctrl-C ends it, too.
            told: is told of each evaluation that has gone in.

        Raises:
            NotFoundError: a folder does not exist.
            UsageError: a name, which is for one run; a step or tag that a run cannot have.
        """
        from rescore_db.ingest.watch import Watching, watch_folders
        from rescore_db.records import IngestOptions

        watching = Watching(interval, stop or (lambda: False), told)
        return watch_folders(
            self._engine, _texts(folders), options=options or IngestOptions(), watching=watching
        )

    def ingest_responses(
        self,
        path: PathLike,
        of: ResponsesOf,
        *,
        options: IngestOptions | None = None,
        progress: Progress | None = None,
    ) -> IngestReport:
        """Take responses made elsewhere into the store, as `docs/responses.md` describes them.

        Args:
            path: the file.
            of: whose responses they are.
            options: what the run is to be called.
            progress: called as bytes are read.

        Raises:
            NotFoundError: there is no such file.
            UsageError: a name or the date cannot be stored.
        """
        from rescore_db.ingest.labels import check_labels, label_run
        from rescore_db.ingest.responses import ingest_responses
        from rescore_db.records import IngestOptions

        options = options or IngestOptions()
        check_labels(options)
        report = ingest_responses(
            self._engine, os.fspath(path), of, options=options, progress=progress
        )
        for run_id in report.runs:
            label_run(self._engine, run_id, options)
        return report

    def ingest_results(self, results: object, *, model: str | None = None) -> IngestReport:
        """Take what `lm_eval.simple_evaluate(..., log_samples=True)` returned into the store.

        Raises:
            UsageError: these are no results, or they hold no samples or no model's name.
        """
        from rescore_db.ingest.in_memory import ingest_results

        return ingest_results(self._engine, results, model=model)

    def quarantined(self) -> Rows[QuarantineRow]:
        """List the lines that were left out, with `skip_bad_lines`."""
        from rescore_db.store import quarantine
        from rescore_db.store.engine import reading

        with reading(self._engine) as conn:
            return Rows(quarantine.list_lines(conn))


def plan_ingest(paths: PathLike | Sequence[PathLike], url: str | None = None) -> DryRun:
    """Say what an ingest would read and about what would come of it; reads no samples file.

    Args:
        paths: as for `Store.ingest`.
        url: the store, which need not be there yet; None as for `open_store`.

    Raises:
        NotFoundError: a path does not exist, or nowhere is a file of lm-eval.
        StoreUnusableError: there is something else than a store.
    """
    from rescore_db.ingest.dry_run import plan_ingest
    from rescore_db.store.lifecycle import current

    where = url or Settings.from_environment().url
    if current(where).revision is None:
        return plan_ingest(None, _texts(paths))
    from rescore_db.store.engine import open_engine

    engine = open_engine(where, write=False)
    try:
        return plan_ingest(engine, _texts(paths))
    finally:
        engine.dispose()


def _texts(paths: PathLike | Sequence[PathLike]) -> list[str]:
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    return [os.fspath(path) for path in given]
