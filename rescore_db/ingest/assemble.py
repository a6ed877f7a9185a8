"""From lines to samples: what each line adds, and where it does not fit its sample.

The first line of a sample gives its request and responses; a line of another filter gives filtered
responses and scores, and is an exception where the rest of it differs.
"""

from __future__ import annotations

from array import array
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rescore_db.harness_log.decode import is_score
from rescore_db.harness_log.lines import FIELDS, check_fields, refuse_unstorable, value_of
from rescore_db.harness_log.records import HASHES, HEAD, Record, record_of
from rescore_db.ingest.contents import unusable
from rescore_db.ingest.positions import FREE, MISMATCH, ODD, Positions, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msgspec import Raw

    from rescore_db.store.content import KnownRequest

MAX_SPELLINGS: Final = 1000  # shapes, or ways to write a filter's name, that are remembered
UNKNOWN_FILTER: Final = ""
"""The name of a filter whose lines do not tell it: a metric named `filter` replaced it."""


class Shape:
    """The fields of a line in their order; most files have one shape for each filter.

    Attributes:
        keys: the fields.
        has_hashes: whether all of lm-eval's hashes are there.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        """Work out once what is needed for every line of the shape."""
        self.keys = keys
        self.has_hashes = all(name in keys for name in HASHES)


class FilterLines:
    """What the lines of one filter have in common.

    Attributes:
        index: rank of its first line among the filters'.
        name: as logged.
        keys: the fields of its first line, which its other lines are compared with.
        metrics: the JSON text of `metrics` on its first line.
        names: the metrics listed there that the line has a score for.
        missing: the metrics listed there without a score.
        in_head: a metric is named like a field of the head, and its value stands there.
        is_plain: the name, fields and listed metrics are all there is to its lines.
        offset: the first line's rank among the file's records, less its position.
        seen: its positions.
    """

    def __init__(self, index: int, name: str, shape: Shape, fields: Mapping[str, Raw]) -> None:
        """Take what a filter's lines have in common from the first of them."""
        listed = listed_metrics(fields)
        self.index = index
        self.name = name
        self.keys = shape.keys
        self.metrics = fields["metrics"]
        self.names = scored_metrics(fields)
        self.in_head = any(one in HEAD for one in listed)
        self.missing = tuple(one for one in listed if one not in self.names)
        self.is_plain = all(key in FIELDS or key in self.names for key in self.keys)
        self.offset = 0
        self.seen = Seen()


class NewSample(msgspec.Struct, gc=False):
    """The first line of a sample.

    Attributes:
        position: in the evaluation.
        nth: occurrence of its document.
        request: what it asks.
        record: what it was read from.
        responses: the field `resps`.
    """

    position: int
    nth: int
    request: KnownRequest
    record: Record
    responses: bytes


class Answer(msgspec.Struct, gc=False):
    """One line's filtered responses and scores.

    Attributes:
        filter: whose.
        position: the sample's.
        rank: among the file's records, from 0.
        record: what it was read from.
        differs: the line's own request, responses or hashes are not the sample's.
        is_regular: its fields and listed metrics are those of the filter's first line.
    """

    filter: FilterLines
    position: int
    rank: int
    record: Record
    differs: bool
    is_regular: bool


class Stretch(msgspec.Struct):
    """Lines of one filter at consecutive positions, all as the filter's first line.

    Most lines are in stretches, which are stored column by column: one by one takes twice as long.

    Attributes:
        filter: whose.
        start: the first one's position.
        rank: the first one's, among the file's records.
        is_new: they are the first lines of their samples; else they fit what the samples have.
        records: what they were read from.
        requests: what they ask.
        responses: the fields `resps`.
    """

    filter: FilterLines
    start: int
    rank: int
    is_new: bool
    records: Sequence[Record]
    requests: list[KnownRequest]
    responses: list[bytes]


class Batch(msgspec.Struct):
    """What some lines add; `samples` and `answers` belong to those outside of stretches."""

    samples: list[NewSample]
    answers: list[Answer]
    stretches: list[Stretch]


class Assembler:
    """Joins the lines of one samples file into samples.

    Attributes:
        file: its name, for messages.
        filters: in the order of their first lines.
        positions: the samples so far.
        records: how many lines were taken.
        hashes_logged: every line so far has lm-eval's hashes.
        repeated: samples whose document came before.
        differing: lines whose request or responses are not their sample's.
    """

    def __init__(self, file: str) -> None:
        """Begin a file; its name is for messages."""
        self.filters: list[FilterLines] = []
        self.positions = Positions()
        self.records = 0
        self.hashes_logged = True
        self.repeated = 0
        self.differing = 0
        self.file = file
        self._by_raw: dict[bytes, FilterLines] = {}
        self._shapes: dict[tuple[str, ...], Shape] = {}

    def take(self, records: Sequence[Record], requests: Mapping[bytes, KnownRequest]) -> Batch:
        """Place some lines.

        Args:
            records: the lines.
            requests: by the records' keys.

        Raises:
            LogFormatError: a line lacks a field, or holds what Python cannot.
        """
        batch = Batch([], [], [])
        for raw, group in groupby(records, _filter_of):
            alike = list(group)
            if (
                raw is None or bytes(raw) not in self._by_raw
            ):  # the first of the filter, or a bad one
                self._place_all(alike[:1], requests, batch)
                del alike[:1]
            stretch = self._stretch(alike, requests) if alike else None
            if stretch is None:
                self._place_all(alike, requests, batch)
            else:
                batch.stretches.append(stretch)
        return batch

    def _stretch(
        self, records: Sequence[Record], requests: Mapping[bytes, KnownRequest]
    ) -> Stretch | None:
        """Place lines of one filter at once; None where they have to be placed one by one."""
        fields = [one.fields for one in records]
        state = self._by_raw.get(bytes(fields[0]["filter"]))
        shape = self._shapes.get(tuple(fields[0]))
        if state is None or shape is None or not _are_as_first(state, shape, fields):
            return None
        asked = [requests[one.key] for one in records]
        if not all(one.hashes_fit is True for one in asked):
            return None
        positions, start, ids = self.positions, state.seen.count, [one.id for one in asked]
        end = start + len(asked)
        responses = [bytes(one["resps"]) for one in fields]
        told = list(map(hash, responses))
        doc_ids = [one.doc_id for one in asked]
        is_new = start == positions.count and positions.continue_with(doc_ids)
        if is_new:
            positions.extend(doc_ids, ids, told)
        elif positions.requests[start:end] != array("q", ids) or positions.responses[
            start:end
        ] != array("q", told):
            return None
        stretch = Stretch(state, start, self.records, is_new, records, asked, responses)
        state.seen.extend(len(asked))
        self.records += len(asked)
        return stretch

    def _place_all(
        self, records: Sequence[Record], requests: Mapping[bytes, KnownRequest], batch: Batch
    ) -> None:
        for record in records:
            try:
                self._place(record, requests[record.key], batch)
            except (ValueError, RecursionError) as error:
                raise unusable(self.file, record.number, error) from None

    def _place(self, record: Record, request: KnownRequest, batch: Batch) -> None:
        fields = record.fields
        shape = self._shapes.get(tuple(fields)) or self._shape(record)
        state = self._by_raw.get(bytes(fields["filter"])) or self._filter(record, shape)
        if state.in_head and record.cut:
            record = record_of(record.line(), record.key)
        responses = bytes(fields["resps"])
        told = hash(responses)
        positions, seen = self.positions, state.seen
        position, nth = seen.count, 0
        if (
            not seen.in_order
            or position >= positions.count
            or positions.requests[position] != request.id
        ):
            position, nth = seen.locate(positions, request.doc_id)
        if position == FREE:
            position = positions.add(request.doc_id, nth, request.id, told)
            batch.samples.append(NewSample(position, nth, request, record, responses))
            self.repeated += nth > 0
            differs = False
        else:
            differs = (
                positions.requests[position] != request.id or positions.responses[position] != told
            )
            self.differing += differs
        if request.hashes_fit is not True:
            positions.flags[position] |= ODD if request.hashes_fit is None else MISMATCH
        if not seen.count:
            state.offset = self.records - position
        is_regular = (
            state.is_plain and shape.keys == state.keys and fields["metrics"] == state.metrics
        )
        batch.answers.append(Answer(state, position, self.records, record, differs, is_regular))
        seen.add(position)
        self.records += 1

    def _shape(self, record: Record) -> Shape:
        """Return the shape of a line that has fields as none before it."""
        given = tuple(record.fields)
        shape = Shape(HEAD + given if record.cut else given)
        check_fields(shape.keys, record.number, self.file)
        self.hashes_logged = self.hashes_logged and shape.has_hashes
        if len(self._shapes) < MAX_SPELLINGS:
            self._shapes[given] = shape
        return shape

    def _filter(self, record: Record, shape: Shape) -> FilterLines:
        """Return the filter that a line names in a way not met yet."""
        fields = record.line().fields
        name = value_of(fields["filter"])
        is_told = isinstance(name, str)
        if not is_told:
            name = UNKNOWN_FILTER
        refuse_unstorable((name, *listed_metrics(fields)), self.file, record.number)
        known = next((one for one in self.filters if one.name == name), None)
        if known is None:
            known = FilterLines(len(self.filters), name, shape, fields)
            self.filters.append(known)
        known.is_plain = known.is_plain and is_told
        if len(self._by_raw) < MAX_SPELLINGS:
            self._by_raw[bytes(fields["filter"])] = known
        return known


def _filter_of(record: Record) -> Raw | None:
    return record.fields.get("filter")


def _are_as_first(state: FilterLines, shape: Shape, fields: Sequence[Mapping[str, Raw]]) -> bool:
    """Tell whether some lines of a filter are as its first, and in order.

    Args:
        state: the filter.
        shape: of the first of these lines.
        fields: of each.
    """
    is_plain = state.is_plain and not state.in_head and state.seen.in_order
    if not is_plain or shape.keys != state.keys or len(set(map(tuple, fields))) > 1:
        return False
    metrics = state.metrics
    return all(one["metrics"] == metrics for one in fields)


def listed_metrics(fields: Mapping[str, Raw]) -> tuple[str, ...]:
    """Return the metrics that a line lists."""
    listed: Any = value_of(fields["metrics"])
    if not isinstance(listed, list):
        return ()
    return tuple(name for name in listed if isinstance(name, str))


def scored_metrics(fields: Mapping[str, Raw]) -> tuple[str, ...]:
    """Return the metrics that a line lists and has a score for, each once.

    Args:
        fields: all of the line's: a metric may be named like one of the head.
    """
    listed = dict.fromkeys(listed_metrics(fields))
    return tuple(
        name
        for name in listed
        if name in fields and (name not in FIELDS or is_score(name, value_of(fields[name])))
    )
