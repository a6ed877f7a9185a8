"""`rescore_file`: score a samples file again with no store, in constant memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack

from rescore_db.errors import LogFormatError, NotFoundError, TaskError, UsageError
from rescore_db.json_exact import escaped
from rescore_db.rescoring.how import read_way, selection_of
from rescore_db.rescoring.request import ScoreRequest
from rescore_db.rescoring.slot import Slot
from rescore_db.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rescore_db.harness.interface import TaskRequest
    from rescore_db.harness_log.decode import DecodedLine
    from rescore_db.harness_log.naming import Form

BATCH: Final = 200  # lines that are sent at once: enough to make the pipe's cost small


@dataclass(frozen=True, slots=True)
class LineScore:
    """One document under one filter, scored again.

    Attributes:
        line: 1-based line number in the file.
        doc_id: lm-eval's index of the document.
        doc: the document.
        filter: the filter's name.
        filtered: the filtered response of each request, as lm-eval would log it.
        metrics: metric → recomputed value, as lm-eval would log it; empty on error.
        logged: metric → the value on the line (of the line's own filter).
        error: why this document cannot be scored, else None.
    """

    line: int
    doc_id: Any
    doc: Any
    filter: str
    filtered: list[Any]
    metrics: dict[str, Any]
    logged: dict[str, Any]
    error: str | None


class FileOptions(TypedDict, total=False):
    """What a user may say of a file; each may be left out.

    Attributes:
        filters: YAML file in lm-eval's `filter_list` syntax that replaces the task's filters.
        metrics: YAML file in lm-eval's `metric_list` syntax that replaces the task's metrics.
        include_paths: folders of task definitions that come before lm-eval's own.
        task_yaml: the one YAML file that defines the task.
        as_logged: a results file of lm-eval; the task's config in it is the definition, if it is
            purely declarative.
        limit: at most this many documents.
        allow_unsafe: score tasks that execute model-written code.
    """

    filters: str | Path | None
    metrics: str | Path | None
    include_paths: str | Path | Sequence[str | Path]
    task_yaml: str | Path | None
    as_logged: str | Path | None
    limit: int | None
    allow_unsafe: bool


def rescore_file(
    path: str | Path,
    *,
    task: str | None = None,
    where: Callable[[DecodedLine], bool] | None = None,
    **options: Unpack[FileOptions],
) -> Iterator[LineScore]:
    """Yield the recomputed metrics of a samples file, per document and filter.

    Every line is scored under its own filter; with `filters`, the lines of the file's first
    filter are scored under all the given ones (the other lines hold the same responses).  On
    Linux the thread that takes the first result has to stay until the last.

    Args:
        path: a `samples_<task>_<date>.jsonl` file, compressed or not, of any release of lm-eval
            since 0.4.0; before 0.4.7 the filters' names are the definition's, in its order.
        task: the task's name, if the file's name does not tell.
        where: keeps a line when it returns true.
        **options: `filters`, `metrics`, `include_paths`, `task_yaml`, `as_logged`, `limit`,
            `allow_unsafe`, see `FileOptions`.

    Raises:
        LogFormatError: the file is not what lm-eval writes, with the line.
        TaskError: the task cannot be resolved, or has filters that need all documents at once.
        UsageError: the request makes no sense.
    """
    request = ScoreRequest(
        filters=_text(options.get("filters")),
        metrics=_text(options.get("metrics")),
        include_paths=_texts(options.get("include_paths", ())),
        task_yaml=_text(options.get("task_yaml")),
        as_logged=options.get("as_logged") is not None,
        limit=options.get("limit"),
        allow_unsafe=options.get("allow_unsafe", False),
    )
    name = task or _task_of(str(path))
    config = _config_in(_text(options.get("as_logged")), name)
    selection_of(request, None)  # refuses a limit that makes no sense
    template = read_way(request).template
    scorer = FileScorer(
        path=str(path),
        request=replace(template, name=name, config_json=config),
        where=where,
        limit=request.limit,
    )
    return scorer.scores()


def _config_in(results: str | None, task: str) -> str | None:
    """Return a task's config in a results file as JSON text; None without such a file.

    Raises:
        LogFormatError: it is no results file.
        NotFoundError: it holds no config of this task.
    """
    if results is None:
        return None
    from rescore_db.harness_log.results import read_results

    configs = {one.name: one.config_json for one in read_results(results).tasks.values()}
    config = configs.get(task)
    if config is None:
        known = (name for name, text in configs.items() if text is not None)
        kind = f"config in {results}"
        raise NotFoundError.among(kind, task, known)
    return config


def _texts(paths: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Return paths as texts; a single one need not be a list."""
    several = paths if isinstance(paths, list | tuple) else (paths,)
    return tuple(str(one) for one in several)


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _task_of(path: str) -> str:
    from rescore_db.harness_log.discovery import parse_name

    named = parse_name(path)
    if named is None or named.task is None:
        msg = f"{path}: its name, not samples_<task>_<date>.jsonl, tells no task: say task=…"
        raise UsageError(msg)
    return named.task


def _form_of(path: str) -> Form:
    from rescore_db.harness_log.files import read_start
    from rescore_db.harness_log.naming import START, kind_of

    return "array" if kind_of(read_start(path, START)) == "array" else "lines"


@dataclass(frozen=True, slots=True)
class FileScorer:
    """One pass over one file."""

    path: str
    request: TaskRequest
    where: Callable[[DecodedLine], bool] | None
    limit: int | None

    def scores(self) -> Iterator[LineScore]:
        """Yield the scores line by line."""
        from rescore_db.harness_log.decode import decode
        from rescore_db.harness_log.files import open_log
        from rescore_db.harness_log.older import open_records

        settings = Settings.from_environment()
        with open_log(self.path) as file, Slot(settings) as slot:
            records = open_records(
                file.stream,
                self.path,
                form=_form_of(self.path),
                max_bytes=settings.max_line_mb * 1_000_000,
            )
            lines = (decode(one, self.path) for one in records)
            first = next(lines, None)
            if first is None:
                raise LogFormatError(self.path, None, "there is no line in it")
            session = Session(slot, self.request.to_json(), escaped(first.doc))
            names = self._names(records.guessed, session.check())
            named = (
                replace(line, filter=names.get(line.filter, line.filter))
                for some in ((first,), lines)
                for line in some
            )
            yield from self._in_batches(session, self._chosen(named))

    def _names(self, guessed: Sequence[str], defined: Sequence[str]) -> dict[str, str]:
        """Return the definition's names of filters that an older release did not name."""
        from rescore_db.rescoring.filter_names import filters_meant

        return filters_meant(guessed, defined) if self.request.filters_json is None else {}

    def _chosen(self, lines: Iterable[DecodedLine]) -> Iterator[DecodedLine]:
        """Yield the lines that are to be scored."""
        counts: dict[str, int] = {}
        first: str | None = None
        for line in lines:
            first = line.filter if first is None else first
            if self.request.filters_json is not None and line.filter != first:
                continue  # the same responses once more
            if self.where is not None and not self.where(line):
                continue
            counts[line.filter] = counts.get(line.filter, 0) + 1
            if self.limit is None or counts[line.filter] <= self.limit:
                yield line
            elif self.request.filters_json is not None:
                return

    def _in_batches(self, session: Session, lines: Iterator[DecodedLine]) -> Iterator[LineScore]:
        only_own = self.request.filters_json is None
        while batch := list(islice(lines, BATCH)):
            for found in session.score(batch, only_own=only_own):
                line = batch[found["index"]]
                yield LineScore(
                    line=line.number,
                    doc_id=line.doc_id,
                    doc=line.doc,
                    filter=found["filter"],
                    filtered=found["filtered"],
                    metrics=found["metrics"],
                    logged=line.metrics if found["filter"] == line.filter else {},
                    error=found["error"],
                )


@dataclass(frozen=True, slots=True)
class Session:
    """A child that knows the task; the file's first document decides how it reads targets."""

    slot: Slot
    request: str
    first_doc: str

    def check(self) -> tuple[str, ...]:
        """Refuse a task whose filters look at all documents at once; return the filters' names.

        Raises:
            TaskError: it has such filters, or cannot be built.
        """
        found = self.slot.call("define", request=self.request, first_doc=self.first_doc)
        if not found["per_doc_filters"]:
            msg = (
                f"task {found['name']!r} has filters that see all documents at once: "
                "ingest the file and use `rescore score`"
            )
            raise TaskError(msg)
        return tuple(found["filters"])

    def score(self, batch: Sequence[DecodedLine], *, only_own: bool) -> list[dict[str, Any]]:
        """Return the results of a batch, in the order of its lines, then of filters.

        Args:
            batch: the lines.
            only_own: apply a line's own filter to it, not all.
        """
        from rescore_db.harness.interface import Sample

        samples = [asdict(Sample(one.doc, one.arguments, one.responses)) for one in batch]
        found: list[dict[str, Any]] = self.slot.call(
            "score_lines",
            request=self.request,
            first_doc=self.first_doc,
            samples=samples,
            lines=[one.number for one in batch],
            filters=[one.filter for one in batch] if only_own else None,
        )
        return sorted(found, key=lambda one: one["index"])
