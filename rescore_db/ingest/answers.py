"""Checked lines of responses as samples: what is not on a line is looked up in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import REQUIRED, LogLine
from rescore_db.harness_log.records import record_of
from rescore_db.harness_log.responses import ABSENT, FieldError, check_fit
from rescore_db.harness_log.written import encoded
from rescore_db.ingest.contents import response_content
from rescore_db.ingest.requests import Requests
from rescore_db.store import asked, schema
from rescore_db.store.bulk import write_rows
from rescore_db.store.content import deletions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from rescore_db.harness_log.records import Record
    from rescore_db.harness_log.responses import ResponseLine
    from rescore_db.store.asked import AskedRequest

NOT_LOGGED: Final = msgspec.Raw(b"null")
"""What stands in a record's fields behind its head, which nobody reads."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store has of a document that a line names.

    Attributes:
        key: primary key of `doc`, None where the line gives a document that is new to the task.
        asked: the ways in which the task asked it.
    """

    key: int | None
    asked: Sequence[AskedRequest]


class AnswersWriter:
    """Writes the samples of one evaluation; all inside one transaction.

    Attributes:
        count: samples so far.
    """

    def __init__(self, conn: Connection, evaluation_id: int, task: str, file: str) -> None:
        """Begin an evaluation.

        Args:
            conn: inside `atomic()`, after `lock_content`.
            evaluation_id: which.
            task: whose evaluations are searched for documents and requests.
            file: for messages.
        """
        self.count = 0
        self._conn = conn
        self._evaluation_id = evaluation_id
        self._task = task
        self._file = file
        self._requests = Requests()
        self._requests.begin(deletions(conn))
        self._times: dict[int, int] = {}  # document → how often it was answered
        self._unasked = 0
        self._repeated = 0

    def write(self, lines: Sequence[ResponseLine]) -> None:
        """Store some lines.

        Raises:
            LogFormatError: a document or what was asked of it cannot be found.
        """
        stored = self._look_up(lines)
        pairs = list(zip(lines, stored, strict=True))
        unread = {one.key for line, one in pairs if line.doc is None and one.key is not None}
        texts = asked.doc_texts(self._conn, unread)
        chosen: list[tuple[int, int] | Record] = []
        for line, one in pairs:
            try:
                chosen.append(self._request(line, one, texts))
            except FieldError as error:
                raise LogFormatError(self._file, line.number, str(error)) from None
        records = [one for one in chosen if not isinstance(one, tuple)]
        known = self._requests.resolve(self._conn, records, self._file)
        rows = []
        for line, request in zip(lines, chosen, strict=True):
            if isinstance(request, tuple):
                doc_id, request_id = request
            else:
                found = known[request.key]
                doc_id, request_id = found.doc_id, found.id
            rows.append(self._row(line, doc_id, request_id))
        write_rows(self._conn, schema.sample, rows)

    def notes(self) -> tuple[str, ...]:
        """Say what was missing or odd."""
        notes = []
        if self._repeated:
            notes.append(f"{self._repeated} of {self.count} samples repeat a document")
        if self._unasked:
            notes.append(
                f"{self._unasked} of {self.count} samples have an empty prompt: none was given, "
                "and not just one is stored for their documents and task"
            )
        return tuple(notes)

    def _row(self, line: ResponseLine, doc_id: int, request_id: int) -> tuple[Any, ...]:
        nth = self._times.get(doc_id, 0)
        self._times[doc_id] = nth + 1
        self._repeated += nth > 0
        columns, _ = response_content(encoded(json_exact.dumps(line.responses)))
        position = self.count
        self.count += 1
        return self._evaluation_id, position, doc_id, nth, request_id, *columns

    # ---------------------------------------------------------------------------------- look-up

    def _look_up(self, lines: Sequence[ResponseLine]) -> list[Stored]:
        """Return what the store has of the lines' documents."""
        conn, task = self._conn, self._task
        by_number = [one for one in lines if one.doc_hash is None]
        wanted = {one.doc_id for one in by_number if one.doc_id is not None}
        numbered = asked.docs_numbered(conn, task, wanted)
        hashes = {one.doc_hash for one in lines if one.doc_hash is not None}
        hashed = asked.docs_hashed(conn, task, hashes)
        keys = [self._key(one, numbered, hashed) for one in lines]
        requests = asked.requests_of(conn, task, {key for key in keys if key is not None})
        return [Stored(key, requests.get(key, []) if key is not None else []) for key in keys]

    def _key(
        self,
        line: ResponseLine,
        numbered: dict[int, frozenset[int]],
        hashed: dict[bytes, int],
    ) -> int | None:
        """Return the primary key of a line's document, None for one that is new to the task."""
        if line.doc_hash is not None:
            key = hashed.get(line.doc_hash)
            if key is None and line.doc is None:
                self._unknown(line, "doc_hash", line.doc_hash.hex())
            return key
        found = numbered.get(line.doc_id or 0, frozenset())
        if not found:
            self._unknown(line, "doc_id", str(line.doc_id))
        if len(found) > 1:
            message = (
                f"doc_id: {len(found)} documents of task {self._task} are logged with "
                f"{line.doc_id}: give doc_hash or doc"
            )
            raise LogFormatError(self._file, line.number, message)
        return next(iter(found))

    def _unknown(self, line: ResponseLine, field: str, value: str) -> NoReturn:
        message = (
            f"{field}: the store has no document {value} of task {self._task}: give doc, or "
            "ingest a log of the task first"
        )
        raise LogFormatError(self._file, line.number, message)

    # --------------------------------------------------------------------------------- requests

    def _request(
        self, line: ResponseLine, stored: Stored, texts: dict[int, str]
    ) -> tuple[int, int] | Record:
        """Return a stored (document, request), or the record of one that may be new.

        Raises:
            FieldError: nobody knows what was asked.
        """
        ways = [one for one in stored.asked if one.is_regular]
        one = ways[0] if len(ways) == 1 else None
        arguments = line.arguments
        if arguments is None and one is not None:
            check_fit(one.arguments, line.responses, line.kind)
            same = line.target is ABSENT or _are_same(line.target, one.target)
            if same and line.doc_id in {None, one.logged_doc_id} and stored.key is not None:
                return stored.key, one.id
            arguments = one.arguments
        if arguments is None:
            arguments = self._unasked_arguments(line, len(ways))
        targets = {json_exact.escaped(way.target): way.target for way in stored.asked}
        target = line.target
        if target is ABSENT:
            target = next(iter(targets.values())) if len(targets) == 1 else None
        numbers = {way.logged_doc_id for way in stored.asked}
        number = line.doc_id
        if number is None and len(numbers) == 1:
            number = numbers.pop()
        if line.doc is None and stored.key is not None:
            doc = texts[stored.key].encode()
        else:
            doc = encoded(json_exact.dumps(line.doc))
        return _record(line.number, number, doc, target, arguments)

    def _unasked_arguments(self, line: ResponseLine, n_ways: int) -> list[list[Any]]:
        if line.kind == "text" and len(line.responses) == 1:
            self._unasked += 1
            return [["", {}]]
        what = f"{n_ways} ways of asking are" if n_ways else "nothing is"
        message = f"arguments: missing, and {what} stored for the document: give arguments"
        raise FieldError(message)


def _record(
    number: int,
    doc_id: int | None,
    doc: bytes,
    target: Any,  # noqa: ANN401 - any JSON value
    arguments: list[list[Any]],
) -> Record:
    """Return the head of a line that lm-eval would have written, as a record."""
    named = {
        f"gen_args_{index}": {f"arg_{at}": value for at, value in enumerate(request)}
        for index, request in enumerate(arguments)
    }
    fields = dict.fromkeys(REQUIRED, NOT_LOGGED)
    if doc_id is not None:
        fields["doc_id"] = msgspec.Raw(str(doc_id).encode())
    fields["doc"] = msgspec.Raw(doc)
    fields["target"] = msgspec.Raw(encoded(json_exact.dumps(target)))
    fields["arguments"] = msgspec.Raw(encoded(json_exact.dumps(named)))
    return record_of(LogLine(number, b"", fields))


def _are_same(one: Any, other: Any) -> bool:  # noqa: ANN401 - any JSON values
    return json_exact.escaped(one) == json_exact.escaped(other)
