"""Records of lm-eval 0.4.0 to 0.4.6, completed to what a record of a newer release holds.

Those releases write neither the filter's name nor which keys are metrics, and up to 0.4.2 the
arguments are lists.  What is added here is named in `form`, so that export leaves it out again.
"""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.arrays import ArrayReader, read_array
from rescore_db.harness_log.blocks import ONE_BLOCK, Blocks, FilterRanks, find_blocks
from rescore_db.harness_log.files import open_log
from rescore_db.harness_log.lines import BOM, LogLine, parse_line, read_lines
from rescore_db.harness_log.written import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rescore_db.harness_log.lines import Digest
    from rescore_db.harness_log.naming import Form
    from rescore_db.harness_log.results import TaskResults

__all__ = ["ArrayReader", "Completer", "OlderRecords", "is_older", "open_records", "read_array"]

OWN_FIELDS: Final = frozenset({
    "doc_id", "doc", "target", "arguments", "resps", "filtered_resps",
    "doc_hash", "prompt_hash", "target_hash",
})  # fmt: skip
"""What those releases write on each record beside the metrics' values."""

GUESSED: Final = "filter-{}"
"""What a filter is called whose name nothing tells."""

MANY: Final = 5  # names that are not all shown
ADDED: Final = ("filter", "metrics")
BEFORE_ADDED: Final = "filtered_resps"
"""The field behind which newer releases write what is added here."""

_lists = msgspec.json.Decoder(list[list[msgspec.Raw]]).decode


def is_older(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Tell by a file's first record whether lm-eval 0.4.0 to 0.4.6 wrote it.

    A metric may be named like a field: a number in `filter` is a score.
    """
    if "resps" not in fields or bytes(fields.get("filter", b"")).startswith(b'"'):
        return False
    return not bytes(fields.get("metrics", b"")).startswith(b"[")


def filter_names(results: TaskResults | None) -> tuple[str, ...]:
    """Return the filters that a results file names for a task, in lm-eval's order, if it does.

    The configuration's `filter_list` has the order; where the metrics name others, they count.
    """
    if results is None:
        return ()
    scored = dict.fromkeys(filter_ for filter_, _ in results.metrics)
    config = None if results.config_json is None else json_exact.loads(results.config_json)
    listed = config.get("filter_list") if isinstance(config, dict) else None
    names = [one.get("name") for one in listed or () if isinstance(one, dict)]
    declared = dict.fromkeys(name for name in names if isinstance(name, str))
    if scored.keys() <= declared.keys():
        return tuple(declared)
    return tuple(scored)


class Completer:
    """Adds to the records of one file what their release did not write.

    Attributes:
        form: what was added or changed, as `evaluation.layout_json` keeps it; empty before the
            first record.  `added`: fields that are not in the file; `arguments`: "lists" where
            the file has `[[context, …], …]`; `guessed`: the filters' names are not lm-eval's.
        notes: what users should know.
    """

    def __init__(self, file: str, results: TaskResults | None, blocks: Blocks) -> None:
        """Begin a file.

        Args:
            file: its name for messages.
            results: what the results file says of the task, None where nothing does.
            blocks: how its records divide, see `blocks_of`.
        """
        self.form: dict[str, Any] = {}
        self.notes: tuple[str, ...] = ()
        self._file = file
        self._ranks = FilterRanks(blocks)
        self._told = filter_names(results)
        self._scored = frozenset() if results is None else {m for _, m in results.metrics}
        self._blocks = blocks
        self._names: dict[int, msgspec.Raw] = {}
        self._metrics: dict[tuple[str, ...], msgspec.Raw] = {}

    @property
    def guessed(self) -> tuple[str, ...]:
        """The filters whose names are not lm-eval's, in its order."""
        if self._told:
            return ()
        return tuple(GUESSED.format(rank) for rank in range(1, self._blocks.count + 1))

    def complete(self, line: LogLine) -> LogLine:
        """Return a record with all fields of a newer release's; the text stays the file's.

        Raises:
            LogFormatError: the record is not of the same release as the file's first one.
        """
        if not self.form:
            self._begin(line)
        fields = line.fields
        self._check(line)
        added = {
            "filter": self._filter(self._ranks.rank(line)),
            "metrics": self._listed(fields),
        }
        added = {name: added[name] for name in self.form["added"]}
        whole: dict[str, msgspec.Raw] = {}
        for name, value in fields.items():
            whole[name] = value
            if name == BEFORE_ADDED:
                whole.update(added)
        whole.update(added)
        if "arguments" in self.form and "arguments" in whole:
            whole["arguments"] = named_arguments(whole["arguments"])
        return LogLine(line.number, line.text, whole)

    def _begin(self, line: LogLine) -> None:
        """Decide by the first record what is missing in the file, and say what is guessed."""
        self.form = {"added": [name for name in ADDED if name not in line.fields]}
        if bytes(line.fields.get("arguments", b"")).startswith(b"["):
            self.form["arguments"] = "lists"
        notes = []
        if not self._told:
            self.form["guessed"] = True
            names = self.guessed if len(self.guessed) < MANY else (self.guessed[0], "…")
            notes.append(
                f"neither the lines nor a results file name the filters: called {', '.join(names)}"
            )
        if not self._blocks.is_even:
            notes.append(
                f"the lines do not divide evenly among {self._blocks.count} filters: some may be "
                "missing or stand under the wrong one"
            )
        self.notes = tuple(notes)

    def _check(self, line: LogLine) -> None:
        """Refuse what export could not tell from what is added."""
        mixed = [name for name in self.form["added"] if name in line.fields]
        lists = "arguments" in self.form
        if lists and bytes(line.fields.get("arguments", b"")).startswith(b"{"):
            mixed.append("arguments with names")
        if mixed:
            message = (
                f"{' and '.join(mixed)} here, where the first line is as an older release of "
                "lm-eval wrote it: split the file"
            )
            raise LogFormatError(self._file, line.number, message)

    def _filter(self, rank: int) -> msgspec.Raw:
        name = self._names.get(rank)
        if name is None:
            told = self._told[rank] if rank < len(self._told) else GUESSED.format(rank + 1)
            name = self._names[rank] = msgspec.Raw(json.dumps(told).encode())
        return name

    def _listed(self, fields: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
        """Return the metrics of a record: keys that are not lm-eval's, or that a metric took."""
        keys = tuple(fields)
        listed = self._metrics.get(keys)
        if listed is None:
            names = [key for key in keys if key not in OWN_FIELDS or key in self._scored]
            listed = self._metrics[keys] = msgspec.Raw(json.dumps(names).encode())
        return listed


def named_arguments(raw: msgspec.Raw) -> msgspec.Raw:
    """Turn `[[context, …], …]` into `{"gen_args_0": {"arg_0": context, …}, …}`.

    What is of another shape, or has a request without arguments, is given back as it is.
    """
    requests = _argument_texts(raw)
    if not requests or not all(requests):
        return raw
    parts = [
        b'"gen_args_%d": {%b}'
        % (index, b", ".join(b'"arg_%d": %b' % (at, bytes(one)) for at, one in enumerate(request)))
        for index, request in enumerate(requests)
    ]
    return msgspec.Raw(b"{%b}" % b", ".join(parts))


def _argument_texts(raw: msgspec.Raw) -> list[list[msgspec.Raw]]:
    """Return the JSON text of each argument of each request; nothing for other shapes."""
    try:
        return _lists(raw)
    except (msgspec.DecodeError, RecursionError):
        requests = json_exact.loads(bytes(raw))
    if not isinstance(requests, list) or not all(isinstance(one, list) for one in requests):
        return []
    return [
        [msgspec.Raw(encoded(json_exact.dumps(argument))) for argument in one] for one in requests
    ]


class OlderRecords:
    """The records of a samples file of any release; those of older ones are completed.

    The first record decides.  In an array, reading may go on behind an element that raised.
    """

    def __init__(
        self,
        lines: Iterator[LogLine],
        file: str,
        *,
        form: Form,
        max_bytes: int,
        results: TaskResults | None,
    ) -> None:
        """Prepare to complete what `lines` gives; the rest is as for `open_records`."""
        self._lines = lines
        self._file = file
        self._form: Form = form
        self._max_bytes = max_bytes
        self._results = results
        self._completer: Completer | None = None
        self._begun = False

    @property
    def form(self) -> dict[str, Any]:
        """What was added or changed, see `Completer.form`; complete after the first record."""
        return {} if self._completer is None else self._completer.form

    @property
    def guessed(self) -> tuple[str, ...]:
        """The filters whose names are not lm-eval's, in its order; after the first record."""
        return () if self._completer is None else self._completer.guessed

    @property
    def refused(self) -> bytes:
        """The text of the element that raised last; empty where the array itself is broken."""
        return self._lines.text if isinstance(self._lines, ArrayReader) else b""

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know, after the first record."""
        return () if self._completer is None else self._completer.notes

    def __iter__(self) -> Iterator[LogLine]:
        """Return the reader."""
        return self

    def __next__(self) -> LogLine:
        """Return the next record.

        Raises:
            LogFormatError: it cannot be read, or is not of the same release as the first one.
        """
        line = next(self._lines)
        if not self._begun:
            self._begun = True
            self._completer = completer_for(
                line,
                self._file,
                form=self._form,
                max_bytes=self._max_bytes,
                results=self._results,
            )
        return line if self._completer is None else self._completer.complete(line)


def open_records(
    stream: IO[bytes],
    file: str,
    *,
    form: Form = "lines",
    max_bytes: int,
    results: TaskResults | None = None,
    digest: Digest | None = None,
) -> OlderRecords:
    """Return an iterator over the records of a samples file of any release since 0.4.0.

    Args:
        stream: the file's content, uncompressed.
        file: its path; where several filters' records are to be told apart it is read twice.
        form: one record a line, or one array.
        max_bytes: the longest record that is read.
        results: what the results file says of the task, None where nothing does.
        digest: is given every byte of the file, if the file is read to its end.
    """
    read = read_array if form == "array" else read_lines
    lines = read(stream, file=file, max_bytes=max_bytes, digest=digest)
    return OlderRecords(lines, file, form=form, max_bytes=max_bytes, results=results)


def completer_for(
    first: LogLine,
    file: str,
    *,
    form: Form,
    max_bytes: int,
    results: TaskResults | None,
) -> Completer | None:
    """Return what completes a file's records; None if its first record shows that none lack.

    The file is read once for it, unless the results file names just one filter.
    """
    if not is_older(first.fields):
        return None
    told = filter_names(results)
    blocks = ONE_BLOCK
    if len(told) != 1:
        with open_log(file) as log:
            blocks = find_blocks(
                _good_records(log.stream, file, form, max_bytes), len(told) or None
            )
    return Completer(file, results, blocks)


def _good_records(stream: IO[bytes], file: str, form: Form, max_bytes: int) -> Iterator[LogLine]:
    """Yield the records that can be read; the others are told when their turn comes."""
    records = (
        ArrayReader(stream, file=file, max_bytes=max_bytes)
        if form == "array"
        else _LineByLine(stream, file, max_bytes)
    )
    while True:
        try:
            yield next(records)
        except LogFormatError:
            continue
        except StopIteration:
            return


class _LineByLine:
    """The records of a file with one on each line; reading goes on behind one that raised."""

    def __init__(self, stream: IO[bytes], file: str, max_bytes: int) -> None:
        self._stream = stream
        self._file = file
        self._max_bytes = max_bytes
        self._number = 0

    def __next__(self) -> LogLine:
        while text := self._stream.readline(self._max_bytes + 1):
            self._number += 1
            part = text
            while len(part) > self._max_bytes and not part.endswith(b"\n"):
                part = self._stream.readline(self._max_bytes + 1)
            if self._number == 1:
                text = text.removeprefix(BOM)
            if not text.isspace():
                return LogLine(self._number, text, parse_line(text, self._file, self._number))
        raise StopIteration
