"""One task or group over time: every run's value, with the change against the run before it."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rescore_db.compare.conditions import doubts, task_differences
from rescore_db.compare.statistics import finite
from rescore_db.errors import NotFoundError
from rescore_db.records import HistoryRow, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Engine

    from rescore_db.store.metrics import GroupMetric, Metric, ScoringOfRun
    from rescore_db.store.pairs import SharedSamples

LOGGED: Final = "logged"


@dataclass(frozen=True, slots=True)
class _Point:
    """One value of one run."""

    scoring: ScoringOfRun
    metric: Metric | GroupMetric

    @property
    def order(self) -> tuple[int, str, str, int, int, int, tuple[int, int]]:
        """By date, then runs without one by model, few-shot examples and step, then the rest."""
        one = self.scoring
        step = -1 if one.step is None else one.step
        if one.date:
            return 0, one.date, one.model, 0, step, one.run_id, self.metric.place
        few = -1 if self.num_fewshot is None else self.num_fewshot
        return 1 + (one.step is None), one.model, "", few, step, one.run_id, self.metric.place

    @property
    def num_fewshot(self) -> int | None:
        """How many examples stood in each prompt, None where that is unknown or differs."""
        from rescore_db.store.metrics import Metric

        return self.metric.conditions.num_fewshot if isinstance(self.metric, Metric) else None

    @property
    def n(self) -> int:
        """How many samples the value is over, 0 if unknown."""
        from rescore_db.store.metrics import Metric

        aggregated = None
        if isinstance(self.metric, Metric):
            aggregated = self.metric.conditions.n_effective
        return self.metric.n or aggregated or 0

    @property
    def series(self) -> tuple[str, str, str, int | str | None]:
        """What a change is computed within.

        Nothing tells whether a step lies before a date, and results files of one step that differ
        in the examples of their prompts are different experiments, not one after the other.
        """
        one = self.scoring
        kind = "dated" if one.date else self.num_fewshot
        return one.model, self.metric.filter, self.metric.metric, kind

    @property
    def has_place(self) -> bool:
        """Whether a date or a step says where in time it stands."""
        return bool(self.scoring.date) or self.scoring.step is not None


def history(
    engine: Engine,
    task: str,
    *,
    scoring: str = LOGGED,
    filter: str | None = None,  # noqa: A002 - the field's word
    metric: str | None = None,
    model: str | None = None,
) -> Rows[HistoryRow]:
    """Return every run's value of a task or group by date, then runs without a date by step.

    Only the newest version of each run counts.  `change` is against the run before it of the same
    model, filter and metric; runs with neither date nor step come last and have none, for nothing
    tells their order.

    Args:
        engine: a store.
        task: a task's or a group's name.
        scoring: "logged" for what lm-eval wrote, else a scoring's name or id: each run's scoring
            of that name, and where a run has none, its last scoring that was made the same way.
        filter: a filter's name or pattern, None for all.
        metric: likewise.
        model: likewise.

    Raises:
        NotFoundError: the task, scoring, filter, metric or model is not there.
    """
    from rescore_db.store.engine import reading

    names: dict[str, tuple[str | None, Callable[[_Point], str]]] = {
        "model": (model, lambda point: point.scoring.model),
        "filter": (filter, lambda point: point.metric.filter),
        "metric": (metric, lambda point: point.metric.metric),
    }
    with reading(engine) as conn:
        points = _points(conn, task, scoring)
        for kind, (pattern, name_of) in names.items():
            if pattern is not None:
                points = _matching(points, kind, pattern, name_of)
        return Rows(_rows(conn, task, sorted(points, key=lambda point: point.order)))


def _points(conn: Connection, task: str, scoring: str) -> list[_Point]:
    """Return all values of a task or group under one scoring a run."""
    from rescore_db.store.metrics import (
        group_metrics,
        known_tasks,
        scorings_of_newest_runs,
        task_metrics,
    )

    _, of_task = task_metrics(conn, task)
    of_group = group_metrics(conn, task)
    if not of_task and not of_group and task not in (known := known_tasks(conn)):
        kind = "task"
        raise NotFoundError.among(kind, task, known)
    chosen = _chosen_scorings(scorings_of_newest_runs(conn), scoring)
    found: list[tuple[int, Metric | GroupMetric]] = [
        *((metric.conditions.scoring_id, metric) for metric in of_task),
        *((metric.scoring_id, metric) for metric in of_group),
    ]
    points = [_Point(chosen[key], metric) for key, metric in found if key in chosen]
    if not points:
        msg = f"no run has a value of {task} under scoring {scoring!r}"
        raise NotFoundError(msg)
    return points


def _chosen_scorings(scorings: Sequence[ScoringOfRun], name: str) -> dict[int, ScoringOfRun]:
    """Return one scoring a run, by id: the one that is named, else the last made the same way."""
    if name == LOGGED:
        return {one.id: one for one in scorings if one.kind == LOGGED}
    named = {one.id for one in scorings if name in (one.name, str(one.id))}
    if not named:
        kind = "scoring"
        raise NotFoundError.among(kind, name, {one.name for one in scorings})
    ways = {one.how for one in scorings if one.id in named}
    best: dict[int, ScoringOfRun] = {}
    for one in sorted(scorings, key=lambda one: (one.id in named, one.attempt, one.id)):
        if one.id in named or one.how in ways:
            best[one.run_id] = one
    return {one.id: one for one in best.values()}


def _matching(
    points: list[_Point], kind: str, pattern: str, name_of: Callable[[_Point], str]
) -> list[_Point]:
    """Leave the points whose name is, or matches, a pattern."""
    found = [
        point
        for point in points
        if name_of(point) == pattern or fnmatch.fnmatchcase(name_of(point), pattern)
    ]
    if not found:
        raise NotFoundError.among(kind, pattern, {name_of(point) for point in points})
    return found


def _rows(conn: Connection, task: str, points: Iterable[_Point]) -> Iterator[HistoryRow]:
    """Yield a row a point; the points stand in their order."""
    from rescore_db.store.metrics import as_number
    from rescore_db.store.pairs import SharedSamples

    samples = SharedSamples(conn)
    before: dict[tuple[str, str, str, int | str | None], _Point] = {}
    for point in points:
        scoring, metric = point.scoring, point.metric
        value = finite(as_number(metric.value))
        last = before.get(point.series) if point.has_place else None
        earlier = None if last is None else finite(as_number(last.metric.value))
        yield HistoryRow(
            run=scoring.run_id,
            model=scoring.model,
            date=scoring.date or None,
            step=scoring.step,
            num_fewshot=point.num_fewshot,
            scoring=scoring.name,
            task=task,
            filter=metric.filter,
            metric=metric.metric,
            value=value,
            stderr=finite(as_number(metric.stderr)),
            n=point.n,
            change=None if value is None or earlier is None else finite(value - earlier),
            warnings=tuple(_warnings(conn, samples, point, last)),
        )
        before[point.series] = point


def _warnings(
    conn: Connection, samples: SharedSamples, point: _Point, last: _Point | None
) -> Iterator[str]:
    """Yield what to know about a point, and what changed since the one before it."""
    from rescore_db.store.metrics import Metric

    if not point.has_place:
        yield "neither date nor step: its place in time is unknown"
    if isinstance(point.metric, Metric):
        yield from doubts("", point.metric.conditions)
    if last is not None:
        for text in _changes(conn, samples, last, point):
            yield f"since run {last.scoring.run_id}: {text}"


def _other_docs(samples: SharedSamples, last: _Point, point: _Point) -> Iterator[str]:
    """Say that two points are not over the same documents, as far as that is known."""
    from rescore_db.store.metrics import Metric

    shared = None
    if isinstance(last.metric, Metric) and isinstance(point.metric, Metric):
        shared = samples.count(last.metric, point.metric)
    if last.n != point.n and last.n and point.n:
        both = "" if shared is None else f", {shared} of them the same documents"
        yield f"samples: {last.n} against {point.n}{both}"
    elif shared is not None and shared < point.n:
        yield f"other documents: only {shared} of {point.n} samples are of the same"


def _changes(
    conn: Connection, samples: SharedSamples, last: _Point, point: _Point
) -> Iterator[str]:
    """Yield in what two points of a series differ besides their values."""
    from rescore_db.store.metrics import Metric

    earlier, metric = last.metric, point.metric
    if isinstance(metric, Metric) and isinstance(earlier, Metric):
        yield from task_differences(conn, earlier.conditions, metric.conditions)
        if metric.conditions.recipe_id != earlier.conditions.recipe_id:
            yield "the recipe differs"
    elif LOGGED not in (last.scoring.kind, point.scoring.kind) and (
        last.scoring.how != point.scoring.how
    ):
        yield "the scoring was made another way"
    yield from _other_docs(samples, last, point)
    old, new = last.scoring.lm_eval_version, point.scoring.lm_eval_version
    if point.scoring.kind == LOGGED and old != new and None not in (old, new):
        yield f"lm-eval version: {old} against {new}"
