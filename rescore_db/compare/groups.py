"""Rows for groups of tasks: the aggregates that both sides stored, without statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rescore_db.compare.sides import match_groups
from rescore_db.compare.statistics import finite
from rescore_db.records import CompareRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rescore_db.compare.sides import LoadedSide
    from rescore_db.store.metrics import GroupMetric

NO_STATISTICS: Final = "group: no paired statistics yet"


def group_rows(a: LoadedSide, b: LoadedSide, tasks: Sequence[CompareRow]) -> Iterator[CompareRow]:
    """Yield a row for each metric of a group that both sides have.

    `a` and `b` are the stored aggregates, over all samples of each side.  `n` and `unpaired` are
    the sums of those of the tasks in the group, as far as they are known.

    Args:
        a: the baseline.
        b: the other side.
        tasks: the rows of these two sides' tasks.
    """
    for filter_, left, right in match_groups(a, b):
        members = {*a.tasks_in(left.task), *b.tasks_in(right.task)}
        below = [
            row
            for row in tasks
            if row.task in members and (row.filter, row.metric) == (filter_, left.metric)
        ]
        first, second = _number(left), _number(right)
        yield CompareRow(
            run_a=a.run.label,
            run_b=b.run.label,
            task=left.task,
            filter=filter_,
            metric=left.metric,
            n=sum(row.n for row in below),
            a=first,
            b=second,
            diff=None if first is None or second is None else finite(second - first),
            stderr=None,
            ci_low=None,
            ci_high=None,
            test=None,
            p=None,
            p_adjusted=None,
            improved=None,
            regressed=None,
            unchanged=None,
            unpaired=sum(row.unpaired for row in below),
            verdict=None,
            warnings=tuple(_warnings(left, right, below)),
            is_group=True,
        )


def _number(metric: GroupMetric) -> float | None:
    from rescore_db.store.metrics import as_number

    return finite(as_number(metric.value))


def _warnings(left: GroupMetric, right: GroupMetric, below: Sequence[CompareRow]) -> Iterator[str]:
    yield NO_STATISTICS
    if left.n != right.n and left.n and right.n:
        yield f"group: samples: {left.n} against {right.n}"
    if any(row.unpaired for row in below):
        yield "group: a and b are over unpaired samples, too"
