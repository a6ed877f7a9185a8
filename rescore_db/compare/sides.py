"""What each side of a comparison holds, and which of its metrics stand against which."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar

from rescore_db.compare.conditions import RunConditions, run_conditions
from rescore_db.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from rescore_db.store.metrics import Conditions, GroupMetric, Metric
    from rescore_db.store.references import Side

    Named = TypeVar("Named", Metric, GroupMetric)
    Keyed = dict[tuple[str, str, str], Named]


@dataclass(frozen=True, slots=True)
class LoadedSide:
    """One side with everything that can be compared.

    Attributes:
        filter: the filter that was named, None for all.
        run: what its run was made under.
        evaluations: the scored evaluations by task, those without metrics included.
        metrics: all metrics, or those of the filter that was named.
        group_metrics: likewise, of groups.
    """

    filter: str | None
    run: RunConditions
    evaluations: dict[str, Conditions]
    metrics: list[Metric]
    group_metrics: list[GroupMetric]

    def below(self, name: str) -> list[str]:
        """Return the names of all tasks and groups below a group, its own the first."""
        waiting, found = [name], dict[str, None]()
        while waiting:
            one = waiting.pop()
            if one not in found:
                found[one] = None
                waiting.extend(reversed(self._members(one)))
        return list(found)

    def tasks_in(self, group: str) -> list[str]:
        """Return the tasks below a group; of anything else, the name itself."""
        return [one for one in self.below(group) if not self._members(one)]

    def _members(self, name: str) -> list[str]:
        return [] if name in self.evaluations else self.run.groups.get(name) or []


@dataclass(frozen=True, slots=True)
class Match:
    """Two metrics that stand against each other.

    Attributes:
        filter: the filter's name, "A→B" where two filters are compared with each other.
        a: the first side's metric.
        b: the second side's, of the same task and name.
    """

    filter: str
    a: Metric
    b: Metric


@dataclass(frozen=True, slots=True)
class Lone:
    """What one side has and the other has not.

    Attributes:
        side: which side has it.
        what: "task", "filter" or "metric": the widest thing that the other side lacks.
        metrics: that side's metrics under it.
    """

    side: Literal["a", "b"]
    what: Literal["task", "filter", "metric"]
    metrics: tuple[Metric, ...]


def load_side(conn: Connection, side: Side) -> LoadedSide:
    """Read what a side holds."""
    from rescore_db.store.metrics import scoring_group_metrics, scoring_metrics
    from rescore_db.store.runs import get_results_json

    evaluations, metrics = scoring_metrics(conn, side.scoring_id)
    return LoadedSide(
        filter=side.filter,
        run=run_conditions(side.run_id, side.label, get_results_json(conn, side.run_id)),
        evaluations={one.task: one for one in evaluations},
        metrics=[one for one in metrics if side.filter in (None, one.filter)],
        group_metrics=[
            one
            for one in scoring_group_metrics(conn, side.scoring_id)
            if side.filter in (None, one.filter)
        ],
    )


def select_metrics(
    sides: Sequence[LoadedSide],
    *,
    tasks: Sequence[str],
    filters: Sequence[str],
    metrics: Sequence[str],
) -> list[LoadedSide]:
    """Leave only the metrics whose task, filter and name match one of the patterns of each kind.

    A pattern is a name or what `fnmatch` understands; none means all.  The name of a group stands
    for itself and all that is in it.

    Raises:
        NotFoundError: a pattern matches nothing on any side.
    """
    inside = dict.fromkeys(name for task in tasks for side in sides for name in side.below(task))
    chosen = (
        ("task", _expanded(sides, tasks), (*tasks, *inside)),
        ("filter", filters, filters),
        ("metric", metrics, metrics),
    )
    for kind, needed, patterns in chosen:
        if not patterns:
            continue
        known = {getattr(one, kind) for side in sides for one in _all_metrics(side)}
        for pattern in needed:
            if not any(_matches(name, pattern) for name in known):
                raise NotFoundError.among(kind, pattern, known)
        kept = {name for name in known if any(_matches(name, pattern) for pattern in patterns)}
        sides = [
            replace(
                side,
                metrics=[one for one in side.metrics if getattr(one, kind) in kept],
                group_metrics=[one for one in side.group_metrics if getattr(one, kind) in kept],
            )
            for side in sides
        ]
    return list(sides)


def match_sides(a: LoadedSide, b: LoadedSide) -> tuple[list[Match], list[Lone]]:
    """Put the metrics of two sides against each other, by task, filter and name.

    When both sides name a filter, those two are compared; when one does, the other's filter of
    that name; when none does, filters of equal names.  Two scorings of one run that have one
    filter each for a task ask for these two, whatever they are called.

    Returns:
        the matches, and what stands on one side only; both by task, in lm-eval's order within.
    """
    left, right = (_keyed(a, b, sorted(side.metrics, key=_order)) for side in (a, b))
    matches = [Match(key[1], one, right[key]) for key, one in left.items() if key in right]
    lone = [*_lone("a", left, right), *_lone("b", right, left)]
    return matches, sorted(lone, key=lambda one: one.metrics[0].conditions.task)


def match_groups(a: LoadedSide, b: LoadedSide) -> Iterator[tuple[str, GroupMetric, GroupMetric]]:
    """Yield the filter and both sides' metrics of what both have of a group, as `match_sides`."""
    left, right = (_keyed(a, b, side.group_metrics) for side in (a, b))
    for key, one in left.items():
        if key in right:
            yield key[1], one, right[key]


def _keyed(a: LoadedSide, b: LoadedSide, metrics: Iterable[Named]) -> Keyed[Named]:
    """Return one side's metrics by what pairs them: task, filter as it is shown, and name."""
    chosen = {side.filter for side in (a, b)} - {None}
    shown = None if None in (a.filter, b.filter) else _arrow(str(a.filter), str(b.filter))
    only = {} if chosen else _only_filters(a, b)
    return {
        (one.task, shown or only.get(one.task) or one.filter, one.metric): one
        for one in metrics
        if shown or not chosen or one.filter in chosen
    }


def _only_filters(a: LoadedSide, b: LoadedSide) -> dict[str, str]:
    """Return task or group → "A→B" where two scorings of one run have one filter each."""
    if a.run.run_id != b.run.run_id:
        return {}
    left, right = (_filters(side) for side in (a, b))
    return {
        name: _arrow(*left[name], *right[name])
        for name in left.keys() & right.keys()
        if len(left[name]) == len(right[name]) == 1
    }


def _filters(side: LoadedSide) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in _all_metrics(side):
        found.setdefault(one.task, set()).add(one.filter)
    return found


def _all_metrics(side: LoadedSide) -> list[Metric | GroupMetric]:
    return [*side.metrics, *side.group_metrics]


def _lone(
    side: Literal["a", "b"],
    own: dict[tuple[str, str, str], Metric],
    other: Iterable[tuple[str, str, str]],
) -> list[Lone]:
    """Gather what the other side lacks, each under the widest thing that it lacks."""
    theirs = list(other)
    tasks = {key[0] for key in theirs}
    filters = {key[:2] for key in theirs}
    gathered: dict[tuple[str, ...], list[Metric]] = {}
    for key, one in own.items():
        if key not in other:
            width = 1 if key[0] not in tasks else 2 if key[:2] not in filters else 3
            gathered.setdefault(key[:width], []).append(one)
    words: tuple[Literal["task", "filter", "metric"], ...] = ("task", "filter", "metric")
    return [Lone(side, words[len(key) - 1], tuple(found)) for key, found in gathered.items()]


def _order(one: Metric) -> tuple[str, tuple[int, int]]:
    return one.conditions.task, one.place


def _arrow(a: str, b: str) -> str:
    return a if a == b else f"{a}→{b}"


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _expanded(sides: Sequence[LoadedSide], patterns: Sequence[str]) -> list[str]:
    """Return the patterns with each group's name replaced by the tasks in it, on any side."""
    tasks = {name for side in sides for name in side.evaluations}
    found: dict[str, None] = {}
    for pattern in patterns:
        of_sides = [[pattern]] if pattern in tasks else [side.tasks_in(pattern) for side in sides]
        is_group = any(names != [pattern] for names in of_sides)
        names = [name for names in of_sides for name in names if not is_group or name != pattern]
        found.update(dict.fromkeys(names))
    return list(found)
