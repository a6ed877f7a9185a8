"""Two or more sides, compared metric by metric over the samples that both answered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from rescore_db.compare.conditions import (
    doubts,
    is_declared_mean,
    run_differences,
    scoring_differences,
    task_differences,
)
from rescore_db.compare.groups import group_rows
from rescore_db.compare.sides import load_side, match_sides, select_metrics
from rescore_db.compare.statistics import (
    PairedDifference,
    finite,
    is_mean_of,
    paired_difference,
    verdict,
)
from rescore_db.errors import NotFoundError, UsageError
from rescore_db.records import CompareRow, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Engine

    from rescore_db.compare.sides import LoadedSide, Lone, Match
    from rescore_db.compare.statistics import FloatArray
    from rescore_db.store.metrics import Metric
    from rescore_db.store.pairs import Paired, ScoreReader, Scores
    from rescore_db.store.references import Side

TWO_SIDES: Final = 2
NO_DIFFERENCE: Final = PairedDifference(0, None, None, None, None, None, None, None, 0)
SEVERAL: Final = "*"  # stands for more than one filter or metric

TaskDocs = dict[str, set[int]]
"""Task names, each with the primary keys of the docs that were chosen."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What to compare, and over which documents.

    Attributes:
        baseline: the side that all others are compared with; None means the first.
        tasks: names, groups or patterns; none means all.
        filters: likewise.
        metrics: likewise.
        subset: a subset's name: only its documents.
        where: a condition: only documents that satisfy it; a bare name is a key of the document,
            `doc` the whole of it, `task` the task's name.
    """

    baseline: str | None = None
    tasks: Sequence[str] = ()
    filters: Sequence[str] = ()
    metrics: Sequence[str] = ()
    subset: str | None = None
    where: str | None = None


def compare_runs(
    engine: Engine, references: Sequence[str], options: CompareOptions
) -> Rows[CompareRow]:
    """Compare sides with a baseline over the samples that both answered.

    Every metric that both sides have gives a row, then everything that only one of them has, with
    n = 0 and a warning; where a whole task or filter is missing, it is one row, and "*" stands for
    its several filters or metrics.  Groups that both have come last, unless a subset or a
    condition chose documents: see `compare.groups`.  Where two filters are compared, `filter` is
    "FIRST→SECOND".  `run_a` and `run_b` are texts that name the sides again.

    `a`, `b`, `diff`, its standard error and its interval are over the pairs where the metric is
    the mean of its scores.  A corpus metric (bleu, f1, perplexity …) or another aggregation is not
    computed again here: both sides' stored aggregates stand in `a` and `b` if every sample of both
    is paired, else nothing does; a warning says so.

    Args:
        engine: a store.
        references: sides, see `store.references`.
        options: the baseline, what to compare, and over which documents.

    Raises:
        NotFoundError: an unknown run, scoring, filter, task, metric or subset, or no document.
        UsageError: fewer than two sides, or a text with two meanings.
        BadSqlError: the condition cannot be run.
    """
    from rescore_db.store.engine import reading
    from rescore_db.store.pairs import ScoreReader

    with reading(engine) as conn:
        sides = _sides(conn, references, options.baseline)
        loaded = select_metrics(
            [load_side(conn, side) for side in sides],
            tasks=options.tasks,
            filters=options.filters,
            metrics=options.metrics,
        )
        reader = ScoreReader(conn)
        rows: list[CompareRow] = []
        for side in loaded[1:]:
            docs = _chosen_docs(conn, options, (loaded[0], side))
            of_tasks = list(_Comparison(conn, reader, loaded[0], side, docs).rows())
            of_groups = group_rows(loaded[0], side, of_tasks) if docs is None else ()
            rows += [*of_tasks, *of_groups]
    if not rows and (options.subset is not None or options.where is not None):
        msg = "no document that was chosen is in a task of these runs"
        raise NotFoundError(msg)
    return Rows(rows)


# ------------------------------------------------------------------------------ what is compared


def _sides(conn: Connection, references: Sequence[str], baseline: str | None) -> list[Side]:
    """Return the sides, the baseline first."""
    from rescore_db.store.references import resolve

    sides = [resolve(conn, text) for text in references]
    if baseline is not None:
        first = resolve(conn, baseline)
        sides = [first, *(side for side in sides if not _is_same(side, first))]
    if len(sides) < TWO_SIDES:
        msg = "a comparison needs two sides; each is RUN, RUN:SCORING, RUN/FILTER or both"
        raise UsageError(msg)
    return sides


def _is_same(a: Side, b: Side) -> bool:
    return (a.scoring_id, a.filter) == (b.scoring_id, b.filter)


def _chosen_docs(
    conn: Connection, options: CompareOptions, sides: Sequence[LoadedSide]
) -> TaskDocs | None:
    """Return the documents that a subset and a condition leave, None when neither is given."""
    chosen: set[tuple[str, int]] | None = None
    if options.subset is not None:
        from rescore_db.subsets import subset_docs

        chosen = set(subset_docs(conn, options.subset))
    if options.where is not None:
        from rescore_db.store.conditions.nodes import Scope
        from rescore_db.store.predicates import matching_docs

        run_ids = {side.run.run_id for side in sides}
        matching = set(matching_docs(conn, options.where, run_ids=run_ids, scope=Scope.DOC))
        chosen = matching if chosen is None else chosen & matching
    if chosen is None:
        return None
    docs: TaskDocs = {}
    for task, doc in chosen:
        docs.setdefault(task, set()).add(doc)
    return docs


# -------------------------------------------------------------------------------------- the rows


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One side against another.

    Attributes:
        conn: a connection.
        reader: reads scores through it.
        a: the baseline.
        b: the other side.
        docs: the documents that were chosen, None for all.
    """

    conn: Connection
    reader: ScoreReader
    a: LoadedSide
    b: LoadedSide
    docs: TaskDocs | None

    def rows(self) -> Iterator[CompareRow]:
        """Yield a row for all that both sides have, then for all that only one has."""
        matches, lone = match_sides(self.a, self.b)
        for match in matches:
            if self._is_chosen(match.a):
                yield self._matched_row(match)
        for one in lone:
            if self._is_chosen(one.metrics[0]):
                yield self._lone_row(one)

    def _is_chosen(self, metric: Metric) -> bool:
        return self.docs is None or metric.conditions.task in self.docs

    def _docs_of(self, task: str) -> set[int] | None:
        return None if self.docs is None else self.docs[task]

    def _matched_row(self, match: Match) -> CompareRow:
        from rescore_db.store.pairs import pair

        metrics = match.a, match.b
        task = match.a.conditions.task
        scores = [self.reader.read(metric.aggregate_id) for metric in metrics]
        paired = pair(scores[0], scores[1], self._docs_of(task))
        not_means = [
            name
            for name, metric, side in zip("ab", metrics, scores, strict=True)
            if side.values is not None and not _is_mean(self.conn, metric, side.values)
        ]
        direction = _direction(metrics)
        warnings = _no_pairs(scores, paired)
        if paired.a is None or paired.b is None or not_means:
            found = _from_aggregates(metrics, paired)
            warnings += [] if warnings else [_why_from_aggregates(match, found, not_means)]
        else:
            found = paired_difference(paired.a, paired.b, higher_is_better=direction)
            warnings += _oddities(found, direction=direction)
            for name, metric, side in zip("ab", metrics, scores, strict=True):
                warnings += _strange_aggregate(name, metric, side.values)
        return self._row(
            (task, match.filter, match.a.metric),
            found,
            unpaired=paired.unpaired_a + paired.unpaired_b,
            direction=direction,
            warnings=[*warnings, *self._differences(match, paired)],
        )

    def _lone_row(self, lone: Lone) -> CompareRow:
        own, other = (self.a, self.b) if lone.side == "a" else (self.b, self.a)
        task = lone.metrics[0].conditions.task
        held = "scores of this" if lone.what == "task" and task in other.evaluations else "this"
        warnings = [f"only {lone.side} has {held} {lone.what}"]
        if lone.what == "filter" and own.filter is None and other.filter is None:
            warnings[0] += "; RUN/FILTER against RUN/FILTER compares filters of other names"
        if task in other.evaluations:
            warnings += doubts("b" if lone.side == "a" else "a", other.evaluations[task])
        names = [{one.filter for one in lone.metrics}, {one.metric for one in lone.metrics}]
        filter_, metric = (found.pop() if len(found) == 1 else SEVERAL for found in names)
        row = self._row(
            (task, filter_, metric),
            NO_DIFFERENCE,
            unpaired=max(self._count(one) for one in lone.metrics),
            direction=None,
            warnings=warnings,
        )
        return replace(row, only=lone.side)

    def _count(self, metric: Metric) -> int:
        """Return how many scores a metric has over the chosen documents."""
        if not metric.conditions.n_samples:
            return 0
        docs = self._docs_of(metric.conditions.task)
        return metric.n if docs is None else self.reader.count(metric.aggregate_id, docs)

    def _differences(self, match: Match, paired: Paired) -> Iterator[str]:
        """Yield what else differs between the two sides of a row."""
        a, b = match.a.conditions, match.b.conditions
        if paired.asked_differently:
            asked, n = paired.asked_differently, len(paired.doc_ids)
            yield f"prompts: {asked} of {n} pairs were asked with another prompt or other arguments"
        yield from task_differences(self.conn, a, b)
        yield from run_differences(self.a.run, self.b.run)
        yield from scoring_differences(a, b)
        yield from doubts("a", a)
        yield from doubts("b", b)

    def _row(
        self,
        names: tuple[str, str, str],
        found: PairedDifference,
        *,
        unpaired: int,
        direction: bool | None,
        warnings: list[str],
    ) -> CompareRow:
        """Put a row together; `names` are task, filter and metric."""
        flips = found.flips
        task, filter_, metric = names
        return CompareRow(
            run_a=self.a.run.label,
            run_b=self.b.run.label,
            task=task,
            filter=filter_,
            metric=metric,
            n=found.n,
            a=found.a,
            b=found.b,
            diff=found.diff,
            stderr=found.stderr,
            ci_low=found.ci_low,
            ci_high=found.ci_high,
            test=None,
            p=None,
            p_adjusted=None,
            improved=None if flips is None else flips.improved,
            regressed=None if flips is None else flips.regressed,
            unchanged=None if flips is None else flips.unchanged,
            unpaired=unpaired,
            verdict=verdict(found, higher_is_better=direction),
            warnings=tuple(warnings),
        )


def _direction(metrics: tuple[Metric, Metric]) -> bool | None:
    """Return which way is better, as far as either side tells."""
    known = [one.higher_is_better for one in metrics if one.higher_is_better is not None]
    return known[0] if known else None


def _oddities(found: PairedDifference, *, direction: bool | None) -> list[str]:
    """Say what to know before believing a difference."""
    odd = []
    if found.not_finite:
        odd.append(f"{found.not_finite} pairs hold values that are not finite numbers")
    if found.n and direction is None:
        odd.append("nothing tells whether higher is better: an increase counts as better")
    return odd


def _is_mean(conn: Connection, metric: Metric, values: FloatArray) -> bool:
    """Answer whether a metric is the plain mean of its scores.

    The stored aggregate proves it; where that is of other scores (a log that was cut) or no finite
    number, the task's definition is believed.
    """
    from rescore_db.store.metrics import as_number, task_definition

    if is_mean_of(values, as_number(metric.value)):
        return True
    definition = task_definition(conn, metric.conditions.task, metric.conditions.task_hash)
    return is_declared_mean(definition, metric.metric)


def _strange_aggregate(name: str, metric: Metric, values: FloatArray | None) -> list[str]:
    """Say that a mean's stored aggregate is not the mean of its stored scores."""
    from rescore_db.store.metrics import as_number

    aggregate = finite(as_number(metric.value))
    if values is None or aggregate is None or metric.conditions.incomplete or not len(values):
        return []
    if is_mean_of(values, aggregate):
        return []
    return [f"{name}: the stored aggregate {aggregate:.4g} is not the mean of the stored scores"]


def _from_aggregates(metrics: tuple[Metric, Metric], paired: Paired) -> PairedDifference:
    """Return the stored aggregates of two metrics, if they are over the pairs and nothing else.

    Improved and regressed stay unknown: the scores of such a metric need not point the way of its
    aggregate (perplexity sinks where log-likelihoods rise).
    """
    from rescore_db.store.metrics import as_number

    n = len(paired.doc_ids)
    is_whole = n and not (paired.unpaired_a or paired.unpaired_b or paired.left_out)
    a = b = diff = None
    if is_whole and not any(metric.conditions.incomplete for metric in metrics):
        a, b = (finite(as_number(metric.value)) for metric in metrics)
        diff = None if a is None or b is None else finite(b - a)
    return replace(NO_DIFFERENCE, n=n, a=a, b=b, diff=diff)


def _why_from_aggregates(match: Match, found: PairedDifference, not_means: list[str]) -> str:
    """Say why a row has no standard error, and what its values are then."""
    reason = f"{match.a.metric} is not one number per sample"
    if not_means:
        where = f" ({not_means[0]})" if len(not_means) == 1 else ""
        reason = f"{match.a.metric} is not the mean of its scores{where}"
    if found.a is None and found.b is None:
        return f"{reason}, and is not aggregated again over the pairs: a and b are empty"
    return f"{reason}: a and b are the stored aggregates, without a standard error"


def _no_pairs(scores: Sequence[Scores], paired: Paired) -> list[str]:
    """Say why there is no pair, where there is none."""
    if len(paired.doc_ids):
        return []
    empty = [name for name, side in zip("ab", scores, strict=True) if not len(side.doc_ids)]
    if empty:
        return [f"no pairs: no scores of single samples in {' and '.join(empty)}"]
    return ["no pairs: no document was answered by both sides"]
