"""One evaluation's samples and logged scores on their way into the store, batch by batch."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from rescore_db.harness_log.lines import value_of
from rescore_db.ingest import contents
from rescore_db.ingest.assemble import HASHES, scored_metrics, unusable
from rescore_db.ingest.positions import MISMATCH, ODD
from rescore_db.store import logged, schema, scores
from rescore_db.store.bulk import lock_content, write_rows
from rescore_db.store.content import (
    add_docs,
    add_requests,
    add_texts,
    find_requests,
)
from rescore_db.store.samples import BATCH, read_samples
from rescore_db.typed_values import kind_of, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from rescore_db.harness_log.lines import LogLine
    from rescore_db.ingest.assemble import Answer, Assembler, Batch, FilterLines, NewSample
    from rescore_db.records import ScoreKind
    from rescore_db.store.content import Columns, KnownRequest, NewRequest

Found = TypeVar("Found")
LARGEST_ID: Final = 2**63 - 1
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
        """Begin an evaluation; other writers of contents wait from now on."""
        lock_content(conn)
        self.filters: dict[int, WrittenFilter] = {}
        self._conn = conn
        self._evaluation_id = evaluation_id
        self._scored_evaluation_id = scored_evaluation_id
        self._assembler = assembler
        self._requests = contents.Requests()
        self._firsts: dict[int, Any] = {}

    def write(self, batch: Batch) -> None:
        """Write what a batch of lines adds.

        Raises:
            ValueError: a value that Python cannot hold.
        """
        self._firsts.clear()
        if batch.samples:
            self._write_samples(batch.samples)
        self._write_answers(batch.answers)

    # ------------------------------------------------------------------------------- samples

    def _write_samples(self, samples: list[NewSample]) -> None:
        conn = self._conn
        docs = add_docs(conn, {one.doc_hash: _text(one.line, "doc") for one in samples})
        requests = self._add_requests(samples)
        targets = self._each(
            samples, lambda one: contents.target_content(one.line.fields["target"])
        )
        responses = self._each(
            samples, lambda one: contents.response_content(one.line.fields["resps"])
        )
        target_ids = add_texts(conn, schema.target, {key: one for key, one, _ in targets})
        response_ids = add_texts(conn, schema.response, {key: one for key, one, _ in responses})
        rows = []
        for sample, target, response in zip(samples, targets, responses, strict=True):
            request = requests[sample.arguments_hash]
            doc_id = _doc_id(sample.line)
            rows.append(
                (
                    self._evaluation_id,
                    sample.position,
                    docs[sample.doc_hash],
                    sample.nth,
                    request.id,
                    response_ids[response[0]],
                    target_ids[target[0]],
                    doc_id,
                )
            )
            self._firsts[sample.position] = response[2]
            hashes = (sample.doc_hash, request.prompt_hash, target[2])
            self._flag(sample.position, sample.line, hashes)
            if doc_id is None and "doc_id" in sample.line.fields:
                self._assembler.positions.flags[sample.position] |= ODD
        write_rows(conn, schema.sample, rows)

    def _add_requests(self, samples: list[NewSample]) -> dict[bytes, KnownRequest]:
        """Return the requests of samples by the hash of their arguments' text.

        That hash is the request's identity wherever the text is canonical, as lm-eval's is; only
        what it does not find is parsed, and stored if it is new in other words as well.
        """
        wanted = {one.arguments_hash: one for one in samples}
        known = find_requests(self._conn, wanted)
        unknown = [one for raw_hash, one in wanted.items() if raw_hash not in known]
        read = self._each(unknown, self._read_request)
        new = dict(read)
        known |= find_requests(self._conn, [hash_ for hash_ in new if hash_ not in wanted])
        missing = {hash_: one for hash_, one in new.items() if hash_ not in known}
        known |= add_requests(self._conn, missing, self._requests.contexts)
        self._requests.clear()
        for one, (hash_, _) in zip(unknown, read, strict=True):
            known[one.arguments_hash] = known[hash_]
        return known

    def _read_request(self, sample: NewSample) -> tuple[bytes, NewRequest]:
        return self._requests.read(sample.line.fields["arguments"], sample.arguments_hash)

    def _each(self, samples: list[NewSample], convert: Callable[[NewSample], Found]) -> list[Found]:
        """Convert samples one by one; what can't be is an error that names its line."""
        found: list[Found] = []
        try:
            found.extend(map(convert, samples))
        except (ValueError, RecursionError) as error:
            raise unusable(self._assembler.file, samples[len(found)].line, error) from None
        return found

    def _flag(
        self, position: int, line: LogLine, hashes: tuple[bytes, bytes | None, bytes]
    ) -> None:
        """Compare a line's hashes with those of its content (doc, first prompt, target)."""
        for name, computed in zip(HASHES, hashes, strict=True):
            raw = line.fields.get(name)
            if raw is None:
                continue
            if computed is None:  # a prompt that is no text: nothing to compare with
                self._assembler.positions.flags[position] |= ODD
            elif bytes(raw) != b'"%b"' % computed.hex().encode():
                self._assembler.positions.flags[position] |= MISMATCH

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
                raise unusable(self._assembler.file, answer.line, error) from None
            if columns is not None:
                filtered.append((written.id, answer.position, *columns))
            if odd is not None:
                odd_lines.append(odd)
        filtered.sort(key=_by_key)
        scores.write_filtered(self._conn, filtered)
        for key in sorted(values):
            scores.write_scores(self._conn, values[key])
        if odd_lines:
            write_rows(self._conn, schema.line, odd_lines)

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
        fields = answer.line.fields
        if answer.differs:  # the sample's own first responses are not this line's
            return contents.filtered_content(fields["filtered_resps"], contents.NOTHING)
        if answer.position in self._firsts:
            first = self._firsts[answer.position]
        else:
            first = contents.response_content(fields["resps"])[2]
        return contents.filtered_content(fields["filtered_resps"], first)

    def _add_scores(
        self,
        answer: Answer,
        written: WrittenFilter,
        values: dict[int, list[tuple[int, int, float | None, str | None]]],
    ) -> None:
        fields = answer.line.fields
        names = answer.filter.names if answer.is_regular else scored_metrics(answer.line)
        for name in names:
            raw = bytes(fields[name])
            metric = written.metrics.get(name)
            if metric is None:
                metric = self._add_metric(written, name, value_of(raw))
            pair = metric.known.get(raw)
            if pair is None:
                pair = split(value_of(raw), metric.kind)
                if len(metric.known) < MAX_CACHED:
                    metric.known[raw] = pair
            metric.n += 1
            values.setdefault(metric.id, []).append((metric.id, answer.position, *pair))

    def _add_metric(self, written: WrittenFilter, name: str, value: Any) -> WrittenMetric:  # noqa: ANN401
        """Store a metric; its first value decides its kind (a null leaves it at "float")."""
        kind = "float" if value is None else kind_of(value)
        new = scores.NewAggregate(written.id, len(written.metrics), name, kind, n=0)
        metric = WrittenMetric(scores.add_aggregate(self._conn, new), kind, 0, {})
        written.metrics[name] = metric
        return metric

    def _odd_line(self, answer: Answer) -> tuple[int, int, int, int, str | None] | None:
        """Return the row of a line that the sample's columns and the order do not give back."""
        lines, positions = answer.filter, self._assembler.positions
        if answer.differs:
            self._check_own_hashes(answer)
        needs_text = answer.differs or not answer.is_regular or positions.flags[answer.position]
        if not needs_text and answer.rank == lines.offset + answer.position:
            return None
        text = answer.line.json() if needs_text else None
        return self._evaluation_id, lines.index, answer.position, answer.rank, text

    def _check_own_hashes(self, answer: Answer) -> None:
        """Flag the sample of a line whose own hashes do not fit what the line itself holds."""
        fields = answer.line.fields
        if any(name not in fields for name in HASHES):
            return
        _, request = self._requests.read(fields["arguments"], b"")
        hashes = (
            contents.doc_hash(fields["doc"], bytes(fields["doc_hash"])[1:-1]),
            request.prompt_hash,
            contents.target_content(fields["target"])[2],
        )
        self._requests.clear()
        self._flag(answer.position, answer.line, hashes)

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


def _by_key(row: tuple[Any, ...]) -> tuple[int, int]:
    return row[0], row[1]


def _text(line: LogLine, field: str) -> str:
    return bytes(line.fields[field]).decode()


def _doc_id(line: LogLine) -> int | None:
    """Return lm-eval's `doc_id`, None where it is no integer that a database holds."""
    raw = line.fields.get("doc_id")
    try:
        doc_id = int(bytes(raw)) if raw is not None else None
    except ValueError:
        return None
    return doc_id if doc_id is not None and -LARGEST_ID <= doc_id <= LARGEST_ID else None
