"""Reading one samples file of any release, in batches of records."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, Final

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.decode import decode, refuse_names
from rescore_db.harness_log.files import open_log
from rescore_db.harness_log.older import completer_for, is_older, open_records
from rescore_db.harness_log.records import RecordDigest, checked, read_records, record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rescore_db.harness_log.discovery import SamplesFile
    from rescore_db.harness_log.older import Completer
    from rescore_db.harness_log.records import Record
    from rescore_db.harness_log.results import TaskResults

BATCH_LINES: Final = 2000
BATCH_BYTES: Final = 2_000_000  # what the processor still has at hand when it is taken apart
MAX_BAD: Final = 10_000  # lines of a file that may be left out
MAX_KEPT: Final = 1_000_000  # bytes of a bad line that are kept
MAX_KEPT_IN_ALL: Final = 20_000_000  # bytes of a file's bad lines; of further ones
MAX_KEPT_OF_MANY: Final = 1000  # so many of each


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was left out; `content` is the line, or how it begins where it is too long."""

    number: int
    reason: str
    size: int
    content: bytes


class SamplesReader:
    """Reads one samples file in batches.

    Attributes:
        digest: of the file, complete at its end.
        size: bytes so far, uncompressed.
        bad: the lines that were left out.
        form: what an older release wrote otherwise, see `older.Completer.form`.
        notes: what users should know of how it was read.
    """

    def __init__(
        self,
        source: SamplesFile,
        max_bytes: int,
        tick: Callable[[int], None],
        *,
        skip_bad: bool = False,
        known_bad: Mapping[int, str] | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            source: the file.
            max_bytes: the longest line that is read.
            tick: is told how many bytes on disk are read.
            skip_bad: leave out lines that cannot be read, in place of refusing the file.
            known_bad: lines to be left out in any case: number → reason.
        """
        self.digest = RecordDigest()
        self.size = 0
        self.bad: list[BadLine] = []
        self.form: dict[str, Any] = {}
        self.notes: tuple[str, ...] = ()
        self._source = source
        self._max_bytes = max_bytes
        self._tick = tick
        self._skip_bad = skip_bad
        self._known_bad = known_bad or {}
        self._kept = 0

    def batches(self, results: TaskResults | None = None) -> Iterator[list[Record]]:
        """Yield the records, some thousands or some megabytes at a time.

        Args:
            results: what the results file says of the task, None where nothing does; it names
                the filters of older releases.

        Raises:
            LogFormatError: the file or a line cannot be read.
        """
        with open_log(self._source.path) as file:
            records, size = [], 0
            for record in self._usable(file.stream, results):
                records.append(record)
                size += len(record.text)
                if size >= BATCH_BYTES or len(records) >= BATCH_LINES:
                    self.size += size
                    yield records
                    self._tick(file.consumed())
                    records, size = [], 0
            self.size += size
            if records:
                yield records

    def _usable(self, stream: IO[bytes], results: TaskResults | None) -> Iterator[Record]:
        """Yield the records that are not to be left out."""
        if self._source.form == "array":
            found = self._elements(stream, results)
        else:
            found = self._completed(self._lines(stream), results)
        if self._skip_bad or self._known_bad:
            return filter(self._is_usable, found)
        return found

    def _lines(self, stream: IO[bytes]) -> Iterator[Record]:
        return read_records(
            stream,
            file=self._source.path,
            max_bytes=self._max_bytes,
            digest=self.digest,
            on_bad=self._leave_out if self._skip_bad else None,
        )

    def _completed(
        self, records: Iterator[Record], results: TaskResults | None
    ) -> Iterator[Record]:
        """Give the records of an older release what they lack; those of newer ones pass."""
        first = next(records, None)
        if first is None:
            return records
        records = chain([first], records)
        if not is_older(first.fields):
            return records
        completer = completer_for(
            first.line(),
            self._source.path,
            form="lines",
            max_bytes=self._max_bytes,
            results=results,
        )
        if completer is None:
            return records
        return self._complete(completer, records)

    def _complete(self, completer: Completer, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            yield record_of(completer.complete(record.line()))
            self.form, self.notes = completer.form, completer.notes

    def _elements(self, stream: IO[bytes], results: TaskResults | None) -> Iterator[Record]:
        """Yield the records of one array."""
        records = open_records(
            stream,
            self._source.path,
            form="array",
            max_bytes=self._max_bytes,
            results=results,
            digest=self.digest,
        )
        while True:
            try:
                line = next(records)
            except StopIteration:
                return
            except LogFormatError as error:
                if not self._skip_bad or error.line is None:
                    raise
                refused = records.refused
                self._leave_out(error.line, error.message, len(refused), refused)
                continue
            self.form, self.notes = records.form, records.notes
            yield record_of(line)

    def _is_usable(self, record: Record) -> bool:
        """Tell whether all of a record can be stored; one that can't be is left out."""
        reason = self._known_bad.get(record.number)
        if reason is None and self._skip_bad:
            try:
                line = decode(checked(record, self._source.path).line(), self._source.path)
                refuse_names(line, self._source.path)
            except LogFormatError as error:
                reason = error.message
        if reason is not None:
            self._leave_out(record.number, reason, len(record.text), record.text)
        return reason is None

    def _leave_out(self, number: int, reason: str, size: int, content: bytes) -> None:
        if len(self.bad) == MAX_BAD:
            message = f"more than {MAX_BAD:,} bad lines: not a file that lm-eval wrote"
            raise LogFormatError(self._source.path, None, message)
        content = content[: MAX_KEPT if self._kept < MAX_KEPT_IN_ALL else MAX_KEPT_OF_MANY]
        self._kept += len(content)
        self.bad.append(BadLine(number, reason, size, content))

    def check(self, results: TaskResults | None) -> None:
        """Read the whole file without keeping anything.

        Args:
            results: what the results file says of the task, None where nothing does.

        Raises:
            LogFormatError: what storing it would raise.
        """
        records = 0
        for batch in self.batches(results):
            for record in batch:
                decode(checked(record, self._source.path).line(), self._source.path)
            records += len(batch)
        refuse_empty(self._source.path, records, results)


def refuse_empty(file: str, records: int, results: TaskResults | None) -> None:
    """Refuse a file without records.

    Raises:
        LogFormatError: naming how many documents the results file announces.
    """
    if records:
        return
    announced = results.n_effective if results is not None else None
    where = f" where the results file announces {announced} documents" if announced else ""
    raise LogFormatError(file, None, f"no lines{where}: copy the file again")
