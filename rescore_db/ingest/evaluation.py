"""One samples file into one evaluation, in the caller's transaction."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.files import open_log
from rescore_db.harness_log.lines import read_lines, value_of
from rescore_db.ingest.assemble import Assembler
from rescore_db.ingest.positions import MISMATCH
from rescore_db.ingest.writer import EvaluationWriter
from rescore_db.store import logged, runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from rescore_db.harness_log.discovery import SamplesFile
    from rescore_db.harness_log.lines import LogLine
    from rescore_db.harness_log.results import TaskResults

BATCH_LINES: Final = 2000
BATCH_BYTES: Final = 8_000_000


@dataclass(frozen=True, slots=True)
class Filled:
    """What came of a samples file: samples added, and what users should know."""

    samples: int
    notes: tuple[str, ...]


class SamplesReader:
    """Reads one samples file in batches.

    Attributes:
        digest: SHA-256 of the file, complete at its end.
        size: bytes so far, uncompressed.
    """

    def __init__(self, path: str, max_bytes: int, tick: Callable[[int], None]) -> None:
        """Prepare to read.

        Args:
            path: the file.
            max_bytes: the longest line that is read.
            tick: is told how many bytes on disk are read.
        """
        self.digest = hashlib.sha256()
        self.size = 0
        self._path = path
        self._max_bytes = max_bytes
        self._tick = tick

    def batches(self) -> Iterator[list[LogLine]]:
        """Yield the records, some thousands or some megabytes at a time.

        Raises:
            LogFormatError: the file or a line cannot be read.
        """
        with open_log(self._path) as file:
            lines, size = [], 0
            for line in read_lines(
                file.stream, file=self._path, max_bytes=self._max_bytes, digest=self.digest
            ):
                lines.append(line)
                size += len(line.text)
                if size >= BATCH_BYTES or len(lines) >= BATCH_LINES:
                    yield lines
                    self.size += size
                    self._tick(file.consumed())
                    lines, size = [], 0
            if lines:
                yield lines
                self.size += size

    def check(self, results: TaskResults | None) -> None:
        """Read the whole file without keeping anything.

        Args:
            results: what the results file says of the task, None where nothing does.

        Raises:
            LogFormatError: what storing it would raise.
        """
        assembler = Assembler(self._path)
        for lines in self.batches():
            assembler.take(lines)
        refuse_empty(assembler, results)


def fill_evaluation(
    conn: Connection,
    evaluation: tuple[int, int],
    source: SamplesFile,
    results: TaskResults | None,
    reader: SamplesReader,
) -> Filled:
    """Store the samples of a file, and its logged scores, in place of what the evaluation had.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        evaluation: ids of the evaluation and of the run's logged scoring.
        source: the file.
        results: what the results file says of the task, None where nothing does.
        reader: over the file, not begun.

    Raises:
        LogFormatError: the file or a line cannot be stored.
    """
    evaluation_id, scoring_id = evaluation
    scored_id = logged.open_evaluation(conn, scoring_id, evaluation_id)
    assembler = Assembler(source.path)
    writer = EvaluationWriter(conn, evaluation_id, scored_id, assembler)
    for lines in reader.batches():
        writer.write(assembler.take(lines))
    refuse_empty(assembler, results)
    writer.finish()
    if results is not None:
        logged.set_aggregates(conn, scored_id, results.metrics, results.higher_is_better)
    notes = _notes(assembler, writer, results)
    digest = reader.digest.digest()
    total = assembler.positions.count
    columns = {
        "source_file_id": runs.add_source_file(conn, source.path, digest, reader.size),
        "digest": digest,
        "layout_json": json.dumps({"filters": _layout(assembler)}),
        "n_samples": total,
        "n_lines": assembler.records,
        "n_hash_mismatches": _mismatches(assembler),
        "hashes_logged": assembler.hashes_logged,
        "incomplete": any(one.seen.count < total for one in assembler.filters),
    }
    runs.set_samples(conn, evaluation_id, columns, notes)
    return Filled(total, notes)


def refuse_empty(assembler: Assembler, results: TaskResults | None) -> None:
    """Refuse a file without records.

    Raises:
        LogFormatError: naming how many documents the results file announces.
    """
    if assembler.records:
        return
    announced = results.n_effective if results is not None else None
    where = f" where the results file announces {announced} documents" if announced else ""
    raise LogFormatError(assembler.file, None, f"no lines{where}: copy the file again")


def _layout(assembler: Assembler) -> list[dict[str, Any]]:
    """Return how the lines looked, for writing them again."""
    return [
        {
            "name": one.name,
            "keys": one.keys,
            "metrics": value_of(one.metrics),
            "offset": one.offset,
        }
        for one in assembler.filters
    ]


def _mismatches(assembler: Assembler) -> int:
    return sum(1 for flag in assembler.positions.flags if flag & MISMATCH)


def _notes(
    assembler: Assembler, writer: EvaluationWriter, results: TaskResults | None
) -> tuple[str, ...]:
    """Say what was missing or odd."""
    total = assembler.positions.count
    notes = []
    mismatches = _mismatches(assembler)
    if mismatches:
        notes.append(f"{mismatches} of {total} samples have a logged hash that does not fit them")
    if assembler.repeated:
        notes.append(f"{assembler.repeated} of {total} samples repeat a document")
    if assembler.differing:
        notes.append(
            f"{assembler.differing} of {assembler.records} lines differ from another filter's "
            "line of the same document in more than scores"
        )
    notes += [
        f"filter {one.name} has {one.seen.count} of {total} samples: the evaluation is incomplete"
        for one in assembler.filters
        if one.seen.count < total
    ]
    for one in assembler.filters:
        metrics = writer.filters[one.index].metrics
        notes += [f"metric {name} of filter {one.name} is on no line" for name in one.missing]
        notes += [
            f"metric {name} of filter {one.name} is on {metric.n} of {one.seen.count} lines"
            for name, metric in metrics.items()
            if metric.n < one.seen.count
        ]
    effective = results.n_effective if results is not None else None
    if effective is not None and effective != total:
        notes.append(f"the results file counts {effective} documents, the samples file {total}")
    return tuple(notes)
