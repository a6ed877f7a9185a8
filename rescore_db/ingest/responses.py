"""Responses made elsewhere into the store: a run that can be scored, without logged scores.

The file is read twice: first every line is checked and the whole gets its digest, which tells
whether the store has it; then the samples are written, in one transaction.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db import json_exact
from rescore_db.errors import LogFormatError, NotFoundError, UsageError
from rescore_db.harness_log.files import open_log, size_on_disk
from rescore_db.harness_log.lines import read_lines
from rescore_db.harness_log.responses import ABSENT, read_line
from rescore_db.ingest.tasks import add_task
from rescore_db.ingest.versions import Incoming, decide
from rescore_db.records.ingested import IngestOptions, Taken
from rescore_db.settings import Settings
from rescore_db.store import runs
from rescore_db.store.bulk import lock_content
from rescore_db.store.engine import atomic
from rescore_db.store.references import iso_date

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from rescore_db.harness_log.responses import ResponseLine
    from rescore_db.ingest.report import Tally
    from rescore_db.records import IngestReport, Progress

BATCH: Final = 500  # lines in memory at a time
DIGEST_KIND: Final = b"\x02"
"""The first byte of a digest: made here, over what the lines say."""

DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,6})?)?")
MADE_ELSEWHERE: Final = "responses made elsewhere: no logged scores, and no configuration is known"
OTHER_VERSION: Final = (
    "other responses than version {} of the run has: they are stored as another version"
)


@dataclass(frozen=True, slots=True)
class ResponsesOf:
    """Whose responses they are; `date` is ISO 8601, "" where it is not known."""

    task: str
    model: str
    date: str = ""


def ingest_responses(
    engine: Engine,
    path: str,
    of: ResponsesOf,
    *,
    options: IngestOptions | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Take a file of responses into the store, as `docs/responses.md` describes it.

    All of it goes in or, where a line is wrong, nothing: then the report has the error.  What is
    in the store already adds nothing; other responses of the same run and task make a new version
    of the run.

    Args:
        engine: the store, open for writing.
        path: the file.
        of: whose responses they are.
        options: the run's step; all else is for files of lm-eval.
        progress: called with (bytes done, bytes in all, file) as it goes on.

    Raises:
        NotFoundError: there is no such file.
        StoreUnusableError: the database failed.
        UsageError: a name or the date cannot be stored.
    """
    from rescore_db.harness_log.discovery import Discovery
    from rescore_db.ingest.report import Tally

    if not Path(path).exists():
        msg = f"--responses {path}: there is no such file"
        raise NotFoundError(msg)
    tally = Tally(Discovery((), ()), size_on_disk(path), progress)
    ingest = ResponsesIngest(path, _checked(of), options or IngestOptions(), tally)
    try:
        ingest.check()
        with atomic(engine) as conn:
            lock_content(conn)
            ingest.store(conn)
    except LogFormatError as error:
        tally.fail(error)
    else:
        ingest.tell()
    tally.finish(path, size_on_disk(path))
    return tally.report()


def _checked(of: ResponsesOf) -> ResponsesOf:
    """Return names and date as they are stored.

    Raises:
        UsageError: they cannot be.
    """
    for option, name in (("--task", of.task), ("--model", of.model)):
        if not name or json_exact.UNSTORABLE.search(name):
            msg = f"{option} {name!r}: give a name that a database can hold"
            raise UsageError(msg)
    date = iso_date(of.date)
    if date and not _is_date(date):
        msg = f"--date {of.date!r}: give a date such as 2026-03-02 or 2026-03-02T10:04:27"
        raise UsageError(msg)
    return ResponsesOf(of.task, of.model, date)


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return DATE.fullmatch(text) is not None


class ResponsesIngest:
    """One file of responses on its way into the store."""

    def __init__(self, path: str, of: ResponsesOf, options: IngestOptions, tally: Tally) -> None:
        """Prepare to read a file; `tally` takes note of what happens."""
        self._path = path
        self._of = of
        self._step = options.step
        self._tally = tally
        self._max_bytes = Settings.from_environment().max_line_mb * 1_000_000
        self._digest = b""
        self._size = 0
        self._known: int | None = None
        self._filled: tuple[int, Taken, tuple[str, ...]] | None = None

    def check(self) -> None:
        """Check every line, and learn the digest.

        Raises:
            LogFormatError: the file or a line cannot be read.
        """
        digest = hashlib.sha256()
        count = 0
        for line in self._lines():
            digest.update(_identity(line))
            count += 1
        if not count:
            message = "no lines: give one JSON object a line, as docs/responses.md describes them"
            raise LogFormatError(self._path, None, message)
        self._digest = DIGEST_KIND + digest.digest()

    def store(self, conn: Connection) -> None:
        """Store the responses, unless they are known.

        Raises:
            LogFormatError: a document or what was asked of it cannot be found.
        """
        of = self._of
        versions = runs.find_versions(conn, of.model, of.date)
        known = {of.task: frozenset({self._digest})}
        decision = decide(versions, Incoming(None, known))
        version = decision.version
        if version is not None and decision.kind == "known":
            self._known = version.id
            return
        if version is not None and decision.kind == "add":
            self._fill(conn, version.id, ())
            return
        new = runs.NewRun(of.model, of.date, step=self._step, notes=(MADE_ELSEWHERE,))
        note = "" if version is None else OTHER_VERSION.format(version.version)
        self._fill(conn, runs.add_run(conn, new).id, (note,) if note else ())

    def _fill(self, conn: Connection, run_id: int, notes: tuple[str, ...]) -> None:
        from rescore_db.ingest.answers import AnswersWriter

        of = self._of
        found = runs.find_evaluation(conn, run_id, of.task)
        if found is not None:  # aggregates only
            key = found.id
        else:
            task_id = add_task(conn, of.task, None)
            key = runs.add_evaluation(conn, run_id, task_id, runs.EvaluationFacts())
        writer = AnswersWriter(conn, key, of.task, self._path)
        for batch in self._batches():
            writer.write(batch)
        notes = (*notes, *writer.notes())
        columns = {
            "source_file_id": runs.add_source_file(conn, self._path, self._digest, self._size),
            "digest": self._digest,
            "layout_json": json.dumps({"filters": [], "form": {"responses": True}}),
            "n_samples": writer.count,
            "n_lines": writer.count,
            "n_hash_mismatches": 0,
            "hashes_logged": False,
            "incomplete": False,
        }
        runs.set_samples(conn, key, columns, notes)
        taken = Taken(self._path, run_id, of.model, of.date, of.task, writer.count, 0)
        self._filled = (key, taken, notes)

    def tell(self) -> None:
        """Note what came of it."""
        if self._known is not None:
            self._tally.touch(self._known)
            self._tally.skip(self._path, f"already in the store as run {self._known}")
        elif self._filled is not None:
            self._tally.take(*self._filled)

    # ----------------------------------------------------------------------------------- reading

    def _lines(self) -> Iterator[ResponseLine]:
        with open_log(self._path) as file:
            self._size = 0
            for line in read_lines(file.stream, file=self._path, max_bytes=self._max_bytes):
                self._size += len(line.text)
                yield read_line(line, self._path)
                self._tally.advance(self._path, file.consumed())

    def _batches(self) -> Iterator[list[ResponseLine]]:
        lines: list[ResponseLine] = []
        for line in self._lines():
            lines.append(line)
            if len(lines) == BATCH:
                yield lines
                lines = []
        if lines:
            yield lines


def _identity(line: ResponseLine) -> bytes:
    """Return what a line says, whatever way it is written in."""
    hash_ = None if line.doc_hash is None else line.doc_hash.hex()
    target: list[Any] = [] if line.target is ABSENT else [line.target]
    said = [line.doc_id, hash_, line.arguments, line.responses, target]
    return json_exact.escaped(said).encode() + b"\n"
