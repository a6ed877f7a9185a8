"""One evaluation's samples and logged scores on their way into the store, batch by batch."""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rescore_db.harness_log.lines import value_of
from rescore_db.ingest import contents
from rescore_db.ingest.assemble import scored_metrics
from rescore_db.json_exact import UNSTORABLE
from rescore_db.store import logged, schema, scores
from rescore_db.store.bulk import write_rows
from rescore_db.store.samples import BATCH, read_samples
from rescore_db.typed_values import kind_of, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from rescore_db.harness_log.records import Record
    from rescore_db.ingest.assemble import (
        Answer,
        Assembler,
        Batch,
        FilterLines,
        NewSample,
        Stretch,
    )
    from rescore_db.records import ScoreKind
    from rescore_db.store.content import Columns

MAX_CACHED: Final = 10_000


class WrittenMetric(msgspec.Struct):
    """A metric under one filter: its row, and how its values are stored."""

    id: int
    kind: ScoreKind
    n: int
    known: dict[bytes, tuple[float | None, str | None]]


class WrittenFilter(msgspec.Struct):
    """A filter's row, and its metrics in the order in which they were met."""

    id: int
    metrics: dict[str, WrittenMetric]


def _split(metric: WrittenMetric, raw: bytes) -> tuple[float | None, str | None]:
    """Return a score's columns from its JSON text, and remember them."""
    pair = split(value_of(raw), metric.kind)
    if len(metric.known) < MAX_CACHED:
        metric.known[raw] = pair
    return pair


class EvaluationWriter:
    """Writes the batches of one samples file; all inside one transaction.

    Attributes:
        filters: what was written of each filter, by its index.
    """

    def __init__(
        self,
        conn: Connection,
        evaluation_id: int,
        scored_evaluation_id: int,
        assembler: Assembler,
    ) -> None:
        """Begin an evaluation."""
        self.filters: dict[int, WrittenFilter] = {}
        self._conn = conn
        self._evaluation_id = evaluation_id
        self._scored_evaluation_id = scored_evaluation_id
        self._assembler = assembler
        self._firsts: dict[int, Any] = {}

    def write(self, batch: Batch) -> None:
        """Write what a batch of lines adds.

        Raises:
            LogFormatError: a line holds a value that Python cannot hold.
        """
        self._firsts.clear()
        if batch.samples:
            self._write_samples(batch.samples)
        self._write_answers(batch.answers)
        for stretch in batch.stretches:
            self._write_stretch(stretch)

    # ------------------------------------------------------------------------------- samples

    def _write_samples(self, samples: list[NewSample]) -> None:
        evaluation_id, firsts = self._evaluation_id, self._firsts
        rows = []
        for sample in samples:
            position, request = sample.position, sample.request
            try:
                columns, firsts[position] = contents.response_content(sample.responses)
            except (ValueError, RecursionError) as error:
                file = self._assembler.file
                raise contents.unusable(file, sample.record.number, error) from None
            rows.append((evaluation_id, position, request.doc_id, sample.nth, request.id, *columns))
        write_rows(self._conn, schema.sample, rows)

    # ------------------------------------------------------------------------------- answers

    def _write_answers(self, answers: list[Answer]) -> None:
        filtered, odd_lines = [], []
        values: dict[int, list[tuple[int, int, float | None, str | None]]] = {}
        for answer in answers:
            written = self.filters.get(answer.filter.index) or self._add_filter(answer.filter)
            try:
                columns = self._filtered(answer)
                self._add_scores(answer, written, values)
                odd = self._odd_line(answer)
            except (ValueError, RecursionError) as error:
                file = self._assembler.file
                raise contents.unusable(file, answer.record.number, error) from None
            if columns is not None:
                filtered.append((written.id, answer.position, *columns))
            if odd is not None:
                odd_lines.append(odd)
        filtered.sort()
        scores.write_filtered(self._conn, filtered)
        for key in sorted(values):
            scores.write_scores(self._conn, values[key])
        if odd_lines:
            write_rows(self._conn, schema.line, odd_lines)

    # ------------------------------------------------------------------------------ stretches

    def _write_stretch(self, stretch: Stretch) -> None:
        """Write lines that are all alike; what an irregular one needs is never asked."""
        written = self.filters[stretch.filter.index]
        evaluation_id, start = self._evaluation_id, stretch.start
        samples, filtered = [], []
        lines = zip(stretch.records, stretch.requests, stretch.responses, strict=True)
        for position, (record, request, responses) in enumerate(lines, start):
            try:
                columns, first = contents.response_content(responses)
                other = contents.filtered_content(bytes(record.fields["filtered_resps"]), first)
            except (ValueError, RecursionError) as error:
                raise contents.unusable(self._assembler.file, record.number, error) from None
            if stretch.is_new:
                samples.append((evaluation_id, position, request.doc_id, 0, request.id, *columns))
            if other is not None:
                filtered.append((written.id, position, *other))
        write_rows(self._conn, schema.sample, samples)
        scores.write_filtered(self._conn, filtered)
        for name in stretch.filter.names:
            pairs = self._pairs(written.metrics[name], name, stretch.records)
            key = written.metrics[name].id
            scores.write_scores(
                self._conn, ((key, at, *pair) for at, pair in enumerate(pairs, start))
            )
        offset = stretch.filter.offset
        if stretch.rank != offset + start:
            ranks = range(stretch.rank, stretch.rank + len(stretch.records))
            rows = zip(
                repeat(evaluation_id),
                repeat(stretch.filter.index),
                range(start, start + len(ranks)),
                ranks,
                repeat(None),
            )
            write_rows(self._conn, schema.line, rows)

    def _pairs(
        self, metric: WrittenMetric, name: str, records: Sequence[Record]
    ) -> list[tuple[float | None, str | None]]:
        """Return a metric's (value, exact) of some lines."""
        known = metric.known
        pairs = []
        for record in records:
            raw = bytes(record.fields[name])
            pair = known.get(raw)
            if pair is None:
                try:
                    pair = _split(metric, raw)
                except (ValueError, RecursionError) as error:
                    file = self._assembler.file
                    raise contents.unusable(file, record.number, error) from None
            pairs.append(pair)
        metric.n += len(pairs)
        return pairs

    # -------------------------------------------------------------------------------- filters

    def _add_filter(self, lines: FilterLines) -> WrittenFilter:
        key = scores.add_scored_filter(
            self._conn,
            self._scored_evaluation_id,
            lines.name,
            index=lines.index,
            n=0,
            complete=True,
        )
        written = self.filters[lines.index] = WrittenFilter(key, {})
        return written

    def _filtered(self, answer: Answer) -> Columns | None:
        text = bytes(answer.record.fields["filtered_resps"])
        if answer.differs:  # the sample's own first responses are not this line's
            return contents.filtered_content(text, contents.NOTHING)
        first = self._firsts.get(answer.position, contents.UNREAD)
        if first is contents.UNREAD:
            first = contents.response_content(bytes(answer.record.fields["resps"]))[1]
        return contents.filtered_content(text, first)

    def _add_scores(
        self,
        answer: Answer,
        written: WrittenFilter,
        values: dict[int, list[tuple[int, int, float | None, str | None]]],
    ) -> None:
        if answer.is_regular:
            fields, names = answer.record.fields, answer.filter.names
        else:
            fields = answer.record.line().fields
            names = scored_metrics(fields)
        for name in names:
            raw = bytes(fields[name])
            metric = written.metrics.get(name)
            if metric is None:
                metric = self._add_metric(written, name, value_of(raw))
            pair = metric.known.get(raw) or _split(metric, raw)
            metric.n += 1
            row = (metric.id, answer.position, *pair)
            try:
                values[metric.id].append(row)
            except KeyError:
                values[metric.id] = [row]

    def _add_metric(self, written: WrittenFilter, name: str, value: Any) -> WrittenMetric:  # noqa: ANN401
        """Store a metric; its first value decides its kind (a null leaves it at "float")."""
        if UNSTORABLE.search(name):
            msg = f"the name {name!r} holds a character that no database holds"
            raise ValueError(msg)
        kind = "float" if value is None else kind_of(value)
        new = scores.NewAggregate(written.id, len(written.metrics), name, kind, n=0)
        metric = WrittenMetric(scores.add_aggregate(self._conn, new), kind, 0, {})
        written.metrics[name] = metric
        return metric

    def _odd_line(self, answer: Answer) -> tuple[int, int, int, int, str | None] | None:
        """Return the row of a line that the sample's columns and the order do not give back."""
        lines, position = answer.filter, answer.position
        needs_text = (
            answer.differs or not answer.is_regular or self._assembler.positions.flags[position]
        )
        if not needs_text and answer.rank == lines.offset + position:
            return None
        text = answer.record.line().json() if needs_text else None
        return self._evaluation_id, lines.index, position, answer.rank, text

    # ---------------------------------------------------------------------------------- end

    def finish(self) -> None:
        """Note the filters' extents and the numbers of scores."""
        total = self._assembler.positions.count
        for lines in self._assembler.filters:
            written = self.filters[lines.index]
            is_complete = lines.seen.count == total
            logged.set_filter(self._conn, written.id, n=lines.seen.count, complete=is_complete)
            if not is_complete:
                self._write_first_responses(written, lines)
            logged.set_counts(
                self._conn, {metric.id: metric.n for metric in written.metrics.values()}
            )
        logged.close_evaluation(self._conn, self._scored_evaluation_id, total)

    def _write_first_responses(self, written: WrittenFilter, lines: FilterLines) -> None:
        """Give an incomplete filter a row for each of its samples, which tells that it has it."""
        seen = (at for at in range(self._assembler.positions.count) if at in lines.seen)
        while batch := list(islice(seen, BATCH)):
            have = logged.positions_with_row(self._conn, written.id, batch)
            bare = [position for position in batch if position not in have]
            scores.write_filtered(
                self._conn,
                [
                    (
                        written.id,
                        one.position,
                        *scores.filtered_columns(scores.first_responses(one.responses)),
                    )
                    for one in read_samples(self._conn, self._evaluation_id, bare)
                ],
            )
