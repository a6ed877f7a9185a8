"""One samples file of a run: stored in one transaction, without its bad lines if users say so."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rescore_db.errors import LogFormatError
from rescore_db.harness_log import results as results_file
from rescore_db.ingest.evaluation import fill_evaluation
from rescore_db.ingest.reading import SamplesReader
from rescore_db.ingest.tasks import add_task, facts
from rescore_db.ingest.versions import has_samples
from rescore_db.records import Taken
from rescore_db.store import logged, quarantine, runs
from rescore_db.store.bulk import lock_content
from rescore_db.store.carried import carry_scores
from rescore_db.store.engine import atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from rescore_db.harness_log.discovery import SamplesFile
    from rescore_db.harness_log.results import TaskResults
    from rescore_db.ingest.run import RunIngest


class OvertakenError(Exception):
    """Another ingest stored some of the same run since it was looked for."""


class SamplesIngest:
    """One samples file on its way into the store."""

    def __init__(self, run: RunIngest, source: SamplesFile) -> None:
        """Prepare to store a file.

        Args:
            run: whose file it is; is told what comes of it.
            source: the file.
        """
        self._run = run
        self._source = source
        self._known_bad: dict[int, str] = {}  # line → reason, beside what reading alone finds

    def check(self) -> None:
        """Read the whole file without storing anything.

        Raises:
            LogFormatError: what storing it would raise.
        """
        results = self._run.results
        announced = None if results is None else results.tasks.get(self._source.task)
        reader = self._reader()
        try:
            reader.check(announced)
        except LogFormatError as error:
            raise self._explained(error, reader) from None

    def ingest(self, version: runs.RunVersion | None) -> None:
        """Store the file, unless a version that it is to be added to has it.

        What is wrong with it is noted.

        Raises:
            OvertakenError: another ingest stored it meanwhile.
            StoreUnusableError: the database failed.
        """
        run, source = self._run, self._source
        if version is not None and has_samples(
            version, source.task, run.digests.of(source, [version])
        ):
            run.skip(source, version.id)
            return
        while True:
            reader = self._reader()
            try:
                with self._transaction() as conn:
                    evaluation_id, taken, notes = self._store(conn, reader)
            except LogFormatError as error:
                if self._goes_on_without(error):
                    continue
                run.fail(source, self._explained(error, reader))
                return
            if run.run_id is None:
                run.tell_unknown()
            run.run_id = taken.run
            run.tally.take(evaluation_id, taken, notes)
            run.finish(source)
            return

    # -------------------------------------------------------------------------------- bad lines

    def _goes_on_without(self, error: LogFormatError) -> bool:
        """Answer whether a line that could not be stored can be left out, and note it."""
        line = error.line
        may = self._run.options.skip_bad_lines
        if not may or line is None or line in self._known_bad:
            return False
        self._known_bad[line] = error.message
        return True

    def _explained(self, error: LogFormatError, reader: SamplesReader) -> LogFormatError:
        """Return what to say of a file that cannot be stored."""
        if not reader.bad or error.line is not None:
            return error
        first = min(reader.bad, key=lambda one: one.number)
        what = f"not one of its {len(reader.bad)} lines can be stored; the first: {first.reason}"
        return LogFormatError(error.file, first.number, what)

    # ------------------------------------------------------------------------------------ store

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Open the one transaction of the file; what is undone with it is known no more."""
        try:
            with atomic(self._run.engine) as conn:
                lock_content(conn)
                yield conn
        except BaseException:
            self._run.requests.forget()
            raise

    def _store(self, conn: Connection, reader: SamplesReader) -> tuple[int, Taken, tuple[str, ...]]:
        """Write everything; return the evaluation, what has gone in, and what is odd about it."""
        run, source = self._run, self._source
        run_id, evaluation_id, scoring_id, task = self._open(conn)
        ids = (evaluation_id, scoring_id)
        filled = fill_evaluation(conn, ids, source, task, reader, run.requests)
        notes = filled.notes
        if reader.bad:
            notes = (*notes, _left_out(len(reader.bad)))
            quarantine.add_lines(conn, evaluation_id, reader.bad, notes)
        carried = self._carry(conn, run_id, evaluation_id)
        taken = Taken(
            file=source.path,
            run=run_id,
            model=run.model,
            date=run.files.date,
            task=source.task,
            samples=filled.samples,
            quarantined=len(reader.bad),
        )
        return evaluation_id, taken, (*notes, *carried)

    def _open(self, conn: Connection) -> tuple[int, int, int, TaskResults | None]:
        """Return run, evaluation and logged scoring to fill, made where there are none."""
        run, source = self._run, self._source
        if run.run_id is None:
            run.require_unchanged(conn)
        else:
            self._require_run(conn, run.run_id)
        run_id = run.run_id or runs.add_run(conn, run.new_run()).id
        task = self._task_results(conn, run_id)
        known = runs.find_evaluation(conn, run_id, source.task)
        if known is not None and known.digest is not None:
            raise OvertakenError
        if known is not None:
            key = known.id
        else:
            key = runs.add_evaluation(conn, run_id, add_task(conn, source.task, task), facts(task))
        return run_id, key, logged.find_or_add_scoring(conn, run_id), task

    def _require_run(self, conn: Connection, run_id: int) -> None:
        """Make sure that the run of the files before this one is still there.

        Raises:
            LogFormatError: somebody deleted it.
        """
        files = self._run.files
        if not runs.is_stored(conn, run_id, self._run.model, files.date, files.origin):
            what = (
                f"run {run_id} ({self._run.label}) was deleted while its files were read: "
                "run the same command again to have all of it"
            )
            raise LogFormatError(self._source.path, None, what)

    def _task_results(self, conn: Connection, run_id: int) -> TaskResults | None:
        """Return what is known of the task: from the results file at hand, else the stored one."""
        found = self._run.results
        if found is None and (text := runs.get_results_json(conn, run_id)) is not None:
            found = results_file.parse_results(text.encode(), f"results of run {run_id}")
        return None if found is None else found.tasks.get(self._source.task)

    def _carry(self, conn: Connection, run_id: int, evaluation_id: int) -> tuple[str, ...]:
        """Give unchanged samples the rescored scores that an older version of the run has."""
        run, source = self._run, self._source
        for version in run.versions:
            if version.id == run_id:
                continue
            if has_samples(version, source.task, run.digests.of(source, [version])):
                old_id = version.evaluations[source.task].id
                n = carry_scores(conn, old_id, evaluation_id)
                if n:
                    many = f"{n} scoring{'s' if n > 1 else ''}"
                    return (f"unchanged since run {version.id}, whose {many} it keeps",)
        return ()

    def _reader(self) -> SamplesReader:
        run, source = self._run, self._source
        return SamplesReader(
            source,
            run.max_bytes,
            lambda within: run.tally.advance(source.path, within),
            skip_bad=run.options.skip_bad_lines,
            known_bad=self._known_bad,
        )


def _left_out(n: int) -> str:
    lines = "1 line is" if n == 1 else f"{n} lines are"
    return f"{lines} in the quarantine (rescore ingest --errors): the evaluation is incomplete"
