"""What is stored into files: lm-eval's own, and formats of ours.

One module a format; what they share is here: which runs are meant, where their files lie
(`places`), and how a file gets there (`files`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.export.files import write_file
from rescore_db.export.request import ExportRequest
from rescore_db.records.exported import ExportedFile, ExportReport

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from rescore_db.export.files import NewFile
    from rescore_db.export.places import Places
    from rescore_db.records import Progress
    from rescore_db.store.logged_files import LoggedRun

    Planner = Callable[[Connection, ExportRequest, Places], list[NewFile]]

MOST_NAMED: Final = 10  # runs, in a message

__all__ = ["FORMATS", "ExportRequest", "export_runs"]

FORMATS: Final = ("lm-eval", "responses")
STEP: Final = 500  # records between two reports of progress


def export_runs(
    engine: Engine,
    out: str | os.PathLike[str],
    request: ExportRequest,
    *,
    progress: Progress | None = None,
) -> ExportReport:
    """Write runs as files below a folder.

    Each file is written beside its place and then put there, so that it is whole or not there;
    the same store and request give the same bytes.  A file that is there with other content
    stays, and is told, unless the request says to replace it.

    Args:
        engine: the store.
        out: the folder, made where it is missing.
        request: which runs, in which format.
        progress: called with records done and to do.

    Raises:
        NotFoundError: there is no such run, task, scoring or format, or no run at all.
        OutputError: a file cannot be written; those before it stay.
        UsageError: `out` is a file, or a scoring is asked for in a format without scores.
    """
    from rescore_db.export.places import Places
    from rescore_db.store.engine import reading

    planner = _planner(request)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        msg = f"{folder} is a file: name a folder to write into"
        raise UsageError(msg)
    places = Places()
    with reading(engine) as conn:
        left = () if request.runs or request.scoring else _left_out(conn)
        files = planner(conn, request, places)
        advance = _Advance(sum(one.records for one in files), progress)
        written = [_write(conn, folder, one, advance, force=request.force) for one in files]
    return ExportReport(
        format=request.format,
        out=str(folder),
        runs=tuple(dict.fromkeys(one.run for one in written)),
        files=tuple(written),
        lines=sum(one.lines for one in written),
        bytes=sum(one.bytes for one in written),
        notes=(*places.notes, *left),
    )


def _planner(request: ExportRequest) -> Planner:
    """Return what says which files a request asks for.

    Raises:
        NotFoundError: there is no such format.
        UsageError: the format has no scores.
    """
    if request.format not in FORMATS:
        kind = "format"
        raise NotFoundError.among(kind, request.format, FORMATS)
    if request.scoring is not None and request.format != "lm-eval":
        msg = f"--scoring writes lm-eval's files; {request.format} have no scores: leave one out"
        raise UsageError(msg)
    return _logged_files if request.scoring is None else _rescored_files


def _logged_files(conn: Connection, request: ExportRequest, places: Places) -> list[NewFile]:
    """Return the files of runs as they were logged."""
    from rescore_db.export import lm_eval, responses

    files_of = {"lm-eval": lm_eval, "responses": responses}[request.format].files_of
    return [one for run in _chosen(conn, request) for one in files_of(run, places)]


def _rescored_files(conn: Connection, request: ExportRequest, places: Places) -> list[NewFile]:
    """Return the files of runs under a scoring; what lm-eval logged is such a scoring, too."""
    from rescore_db.export import lm_eval, rescored
    from rescore_db.store.logged_files import logged_runs
    from rescore_db.store.scored_runs import chosen_scorings

    scorings = chosen_scorings(conn, request.scoring or "", request.runs)
    runs = {one.id: one for one in logged_runs(conn, [s.run_id for s in scorings], request.tasks)}
    files = []
    for scoring in scorings:
        run = runs.get(scoring.run_id)
        if run is None:
            continue  # it has none of the tasks
        if scoring.is_logged:
            files += lm_eval.files_of(run, places)
        else:
            files += rescored.files_of(conn, scoring, run, places)
    return files


def _left_out(conn: Connection) -> tuple[str, ...]:
    """Say which runs nobody named, and have a newer version."""
    from rescore_db.store.logged_files import older_versions

    older = older_versions(conn)
    if not older:
        return ()
    named = " ".join(f"--run {key}" for key in older[:MOST_NAMED])
    more = f" and {len(older) - MOST_NAMED:,} more" if len(older) > MOST_NAMED else ""
    return (f"older versions of runs are left out; to have them as well: {named}{more}",)


def _chosen(conn: Connection, request: ExportRequest) -> list[LoggedRun]:
    from rescore_db.store.logged_files import logged_runs
    from rescore_db.store.references import find_runs

    ids = find_runs(conn, request.runs)
    if not ids:
        msg = "there is no run to export: `rescore ingest` takes logs into the store"
        raise NotFoundError(msg)
    return logged_runs(conn, ids, request.tasks)


class _Advance:
    """Passes records on and tells the progress."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._done = 0
        self._progress = progress

    def through(self, records: Iterator[bytes], what: str) -> Iterator[bytes]:
        """Yield the records of one file."""
        for record in records:
            yield record
            self._done += 1
            if self._progress is not None and self._done % STEP == 0:
                self._progress(min(self._done, self._total), self._total, what)


def _write(
    conn: Connection, folder: Path, new: NewFile, advance: _Advance, *, force: bool
) -> ExportedFile:
    target = folder / new.path
    records = advance.through(new.content(conn), new.path.name)
    written = write_file(target, new.frame, records, force=force)
    return ExportedFile(
        file=str(target),
        kind=new.kind,
        run=new.run,
        task=new.task,
        lines=0 if new.kind == "results" else written.records,
        bytes=written.size,
        status=written.status,
    )
