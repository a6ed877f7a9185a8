"""From lines to samples: what each line adds, and where it does not fit its sample.

A batch of lines goes through here before anything is asked of the database.  The first line of a
sample gives its document, request, responses and target; a line of another filter gives filtered
responses and scores, and is an exception where the rest of it differs.
"""

from __future__ import annotations

import hashlib
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.decode import is_score
from rescore_db.harness_log.lines import FIELDS, LogLine, check_fields, refuse_older, value_of
from rescore_db.ingest.contents import doc_hash
from rescore_db.ingest.positions import FREE, WIDTH, Positions, Seen
from rescore_db.json_exact import UNSTORABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from msgspec import Raw

SHARED: Final = ("doc", "target", "resps", "doc_id", "doc_hash", "prompt_hash", "target_hash")
"""Fields that the lines of one sample should agree on, beside `arguments`."""

HASHES: Final = ("doc_hash", "prompt_hash", "target_hash")
MAX_SPELLINGS: Final = 1000  # shapes, or ways to write a filter's name, that are remembered
UNKNOWN_FILTER: Final = ""
"""The name of a filter whose lines do not tell it: a metric named `filter` replaced it."""


class Shape:
    """The fields of a line in their order; most files have one shape for each filter.

    Attributes:
        keys: the fields.
        shared: takes the values of the `SHARED` fields out of a line.
        has_hashes: whether all of lm-eval's hashes are there.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        """Work out once what is needed for every line of the shape."""
        self.keys = keys
        self.shared: Callable[[dict[str, Raw]], tuple[Raw, ...]] = itemgetter(
            *(name for name in SHARED if name in keys)
        )
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
        is_plain: the name, fields and listed metrics are all there is to its lines.
        offset: the first line's rank among the file's records, less its position.
        seen: its positions.
    """

    def __init__(self, index: int, name: str, line: LogLine) -> None:
        """Take the shape of a filter from its first line."""
        listed = listed_metrics(line)
        self.index = index
        self.name = name
        self.keys = tuple(line.fields)
        self.metrics = line.fields["metrics"]
        self.names = scored_metrics(line)
        self.missing = tuple(one for one in listed if one not in self.names)
        self.is_plain = all(key in FIELDS or key in self.names for key in self.keys)
        self.offset = 0
        self.seen = Seen()


class NewSample(msgspec.Struct, gc=False):
    """The first line of a sample.

    Attributes:
        position: in the evaluation.
        nth: occurrence of its document.
        line: what it was read from.
        doc_hash: lm-eval's hash of the document, computed.
        arguments_hash: SHA-256 of the JSON text of the arguments.
    """

    position: int
    nth: int
    line: LogLine
    doc_hash: bytes
    arguments_hash: bytes


class Answer(msgspec.Struct, gc=False):
    """One line's filtered responses and scores.

    Attributes:
        filter: whose.
        position: the sample's.
        rank: among the file's records, from 0.
        line: what it was read from.
        differs: the line's own doc, request, responses, target or hashes are not the sample's.
        is_regular: its fields and listed metrics are those of the filter's first line.
    """

    filter: FilterLines
    position: int
    rank: int
    line: LogLine
    differs: bool
    is_regular: bool


class Batch(msgspec.Struct):
    """What some lines add."""

    samples: list[NewSample]
    answers: list[Answer]


class Assembler:
    """Joins the lines of one samples file into samples.

    Attributes:
        file: its name, for messages.
        filters: in the order of their first lines.
        positions: the samples so far.
        records: how many lines were taken.
        hashes_logged: every line so far has lm-eval's hashes.
        repeated: samples whose document came before.
        differing: lines whose document, request, responses or target are not their sample's.
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

    def take(self, lines: Iterable[LogLine]) -> Batch:
        """Place some lines.

        Raises:
            LogFormatError: a line lacks a field, or holds what Python cannot.
        """
        batch = Batch([], [])
        for line in lines:
            try:
                self._place(line, batch)
            except (ValueError, RecursionError) as error:
                raise unusable(self.file, line, error) from None
        return batch

    def _place(self, line: LogLine, batch: Batch) -> None:
        fields = line.fields
        shape = self._shapes.get(tuple(fields)) or self._shape(line)
        state = self._by_raw.get(bytes(fields["filter"])) or self._filter(line)
        arguments_hash = hashlib.sha256(fields["arguments"]).digest()
        shared = b"\n".join((arguments_hash, *shape.shared(fields)))
        fingerprint = hashlib.sha256(shared).digest()[:WIDTH]
        positions, seen = self.positions, state.seen
        following = seen.count
        if (
            seen.in_order
            and following < positions.count
            and positions.fingerprint(following) == fingerprint
        ):
            position, differs = following, False
        else:
            hash_ = doc_hash(fields["doc"], _digits(fields.get("doc_hash")))
            position, nth, key = seen.locate(positions, hash_)
            if position == FREE:
                position = positions.add(key, fingerprint)
                batch.samples.append(NewSample(position, nth, line, hash_, arguments_hash))
                self.repeated += nth > 0
            differs = positions.fingerprint(position) != fingerprint
            self.differing += differs
        rank = self.records
        if not seen.count:
            state.offset = rank - position
        is_regular = (
            state.is_plain and shape.keys == state.keys and fields["metrics"] == state.metrics
        )
        batch.answers.append(Answer(state, position, rank, line, differs, is_regular))
        seen.add(position)
        self.records += 1

    def _shape(self, line: LogLine) -> Shape:
        """Return the shape of a line that has fields as none before it."""
        if not self.records:
            refuse_older(line, self.file)
        check_fields(line, self.file)
        shape = Shape(tuple(line.fields))
        self.hashes_logged = self.hashes_logged and shape.has_hashes
        if len(self._shapes) < MAX_SPELLINGS:
            self._shapes[shape.keys] = shape
        return shape

    def _filter(self, line: LogLine) -> FilterLines:
        """Return the filter that a line names in a way not met yet."""
        name = value_of(line.fields["filter"])
        is_told = isinstance(name, str)
        if not is_told:
            name = UNKNOWN_FILTER
        for one in (name, *listed_metrics(line)):
            if UNSTORABLE.search(one):
                message = f"the name {one!r} holds a character that no database holds: mend it"
                raise LogFormatError(self.file, line.number, message)
        known = next((one for one in self.filters if one.name == name), None)
        if known is None:
            known = FilterLines(len(self.filters), name, line)
            self.filters.append(known)
        known.is_plain = known.is_plain and is_told
        if len(self._by_raw) < MAX_SPELLINGS:
            self._by_raw[bytes(line.fields["filter"])] = known
        return known


def unusable(file: str, line: LogLine, error: Exception) -> LogFormatError:
    """Return the error for a line with a value that Python cannot hold."""
    deep = isinstance(error, RecursionError)
    reason = "nested too deeply to be read" if deep else str(error)
    return LogFormatError(file, line.number, f"{reason}: mend or remove the line")


def listed_metrics(line: LogLine) -> tuple[str, ...]:
    """Return the metrics that a line lists."""
    listed: Any = value_of(line.fields["metrics"])
    if not isinstance(listed, list):
        return ()
    return tuple(name for name in listed if isinstance(name, str))


def scored_metrics(line: LogLine) -> tuple[str, ...]:
    """Return the metrics that a line lists and has a score for, each once."""
    listed = dict.fromkeys(listed_metrics(line))
    fields = line.fields
    return tuple(
        name
        for name in listed
        if name in fields and (name not in FIELDS or is_score(name, value_of(fields[name])))
    )


def _digits(raw: Raw | None) -> bytes:
    """Return the hexadecimal digits of a logged hash, b"" where there is none."""
    return b"" if raw is None else bytes(raw)[1:-1]
