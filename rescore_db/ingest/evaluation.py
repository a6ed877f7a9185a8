"""One samples file into one evaluation, in the caller's transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescore_db.harness_log.lines import value_of
from rescore_db.ingest.assemble import Assembler
from rescore_db.ingest.positions import MISMATCH
from rescore_db.ingest.reading import refuse_empty
from rescore_db.ingest.writer import EvaluationWriter
from rescore_db.store import logged, runs
from rescore_db.store.content import deletions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rescore_db.harness_log.discovery import SamplesFile
    from rescore_db.harness_log.results import TaskResults
    from rescore_db.ingest.reading import SamplesReader
    from rescore_db.ingest.requests import Requests


@dataclass(frozen=True, slots=True)
class Filled:
    """What came of a samples file: samples added, and what users should know."""

    samples: int
    notes: tuple[str, ...]


def fill_evaluation(
    conn: Connection,
    evaluation: tuple[int, int],
    source: SamplesFile,
    results: TaskResults | None,
    reader: SamplesReader,
    requests: Requests,
) -> Filled:
    """Store the samples of a file, and its logged scores, in place of what the evaluation had.

    Args:
        conn: inside `atomic()`, after `lock_content`.
        evaluation: ids of the evaluation and of the run's logged scoring.
        source: the file.
        results: what the results file says of the task, None where nothing does.
        reader: over the file, not begun.
        requests: what is known of the store's requests; forget it if the transaction fails.

    Raises:
        LogFormatError: the file or a line cannot be stored.
    """
    evaluation_id, scoring_id = evaluation
    requests.begin(deletions(conn))
    scored_id = logged.open_evaluation(conn, scoring_id, evaluation_id)
    assembler = Assembler(source.path)
    writer = EvaluationWriter(conn, evaluation_id, scored_id, assembler)
    for records in reader.batches(results):
        known = requests.resolve(conn, records, source.path)
        writer.write(assembler.take(records, known))
    refuse_empty(source.path, assembler.records, results)
    writer.finish()
    if results is not None:
        logged.set_aggregates(conn, scored_id, results.metrics, results.higher_is_better)
    notes = (*reader.notes, *_notes(assembler, writer, results))
    digest = reader.digest.digest()
    total = assembler.positions.count
    columns = {
        "source_file_id": runs.add_source_file(conn, source.path, digest, reader.size),
        "digest": digest,
        "layout_json": json.dumps(_layout(assembler, reader)),
        "n_samples": total,
        "n_lines": assembler.records,
        "n_hash_mismatches": _mismatches(assembler),
        "hashes_logged": assembler.hashes_logged,
        "incomplete": bool(reader.bad) or any(one.seen.count < total for one in assembler.filters),
    }
    runs.set_samples(conn, evaluation_id, columns, notes)
    return Filled(total, notes)


def _layout(assembler: Assembler, reader: SamplesReader) -> dict[str, Any]:
    """Return how the lines looked, for writing them again."""
    filters = [
        {
            "name": one.name,
            "keys": one.keys,
            "metrics": value_of(one.metrics),
            "offset": one.offset,
        }
        for one in assembler.filters
    ]
    return {"filters": filters, "form": reader.form} if reader.form else {"filters": filters}


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
