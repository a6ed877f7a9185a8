"""From differences to a verdict: what a difference means, and what caused it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rescore_db.records import ScoreRow, VerifyRow
from rescore_db.rescoring.comparison import Comparison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORST_FIRST: Final = (
    "unsupported",
    "different",
    "drift",
    "nondeterministic",
    "ulp",
    "unlogged",
    "identical",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status of `rescore verify` and its reason."""

    status: str
    reason: str | None = None


def judge(found: Mapping[str, Any], reply: Mapping[str, Any]) -> Verdict:
    """Judge one filter of one evaluation.

    Args:
        found: the comparison of this filter, see `recomputed.compare_with_log`.
        reply: everything the child said of the evaluation.
    """
    if reply["errors"]:
        return Verdict("unsupported", cannot_score(reply["errors"]))
    if not found["is_defined"]:
        changed = _listed(reply["differences"]) or "the definition has other filters"
        return Verdict("drift", f"the task has no filter {found['filter']!r} now: {changed}")
    accounts = reply.get("filters")
    if accounts and not any(one["is_logged"] for one in accounts):
        return Verdict("unlogged", "there is no log: the responses were made elsewhere")
    if not found["is_logged"]:
        changed = _listed(reply["differences"]) or "the log may be incomplete"
        return Verdict("drift", f"the log has no filter {found['filter']!r}: {changed}")
    return _judge_differences(found, reply) if found["total"] else _without_difference(found, reply)


def _without_difference(found: Mapping[str, Any], reply: Mapping[str, Any]) -> Verdict:
    """Tell what is identical from what there was nothing to compare with."""
    if not found["n"]:
        return Verdict("unlogged", "the log has no line of this filter")
    if not found["has_scores"]:
        return Verdict("unlogged", "the log has no scores (--predict_only)")
    return Verdict("identical", _cut(reply) or _by_order(found))


def _by_order(found: Mapping[str, Any]) -> str | None:
    """Say that the log does not name its filters, if so."""
    meant = found.get("meant", found["filter"])
    if meant == found["filter"]:
        return None
    return f"compared with {meant!r} by its place: the log does not name its filters"


def _cut(reply: Mapping[str, Any]) -> str | None:
    """Say that the aggregates could not be compared, if so."""
    if reply["announced"] is None:
        return None
    return (
        f"sample by sample; the logged aggregates are of {reply['announced']} samples, the log "
        f"holds {reply['n']}"
    )


def _judge_differences(found: Mapping[str, Any], reply: Mapping[str, Any]) -> Verdict:
    if reply["nondeterministic"]:
        return Verdict("nondeterministic", reply["nondeterministic"])
    if found["filter"] in reply.get("agrees_wide", ()):
        return Verdict(
            "ulp",
            "last digits: identical where numpy uses this CPU's AVX-512, which rounds otherwise",
        )
    if causes := [*reply["differences"], *reply["targets"]]:
        return Verdict("drift", f"the definition changed: {_listed(causes)}")
    if not found["beyond_rounding"]:
        return Verdict(
            "ulp",
            "last digits: the Python (3.12 and newer add floats otherwise), numpy or CPU that "
            "wrote the log rounds otherwise than this one",
        )
    return Verdict("different", "no cause found: the log does not follow from its responses")


def judge_group(
    logged: Sequence[ScoreRow],
    found: Mapping[str, Mapping[str, Any]] | str,
    statuses: Mapping[str, set[str]],
) -> list[VerifyRow]:
    """Judge a run's groups, one row a group and filter.

    Args:
        logged: the groups' metrics as logged.
        found: the recomputed ones, or why there are none.
        statuses: group → the statuses of the tasks below it.
    """
    rows = []
    for group, filter_ in dict.fromkeys((row.task, row.filter) for row in logged):
        mine = [row for row in logged if (row.task, row.filter) == (group, filter_)]
        rows.append(_judge_one_group(mine, found, _worst(statuses[group])))
    return rows


def _judge_one_group(
    logged: Sequence[ScoreRow], found: Mapping[str, Mapping[str, Any]] | str, worst: str
) -> VerifyRow:
    first = logged[0]
    comparison = Comparison(keep=len(logged) * 2)
    if isinstance(found, str):
        verdict = Verdict("unsupported", found)
    elif first.task not in found:
        verdict = Verdict(worst, "a task of the group can't be recomputed")
    else:
        for row in logged:
            _compare_metric(comparison, row, found[first.task])
        verdict = _group_verdict(comparison, worst)
    return VerifyRow(
        run=first.run,
        model=first.model,
        task=first.task,
        filter=first.filter,
        status=verdict.status,
        reason=verdict.reason,
        n=first.n,
        differences=tuple(comparison.shown),
        n_differences=comparison.total,
        is_group=True,
    )


def _compare_metric(comparison: Comparison, row: ScoreRow, metrics: Mapping[str, Any]) -> None:
    """Compare one metric of a group with what was recomputed."""
    key = f"{row.metric},{row.filter}"
    comparison.check("group", row.metric, row.value, metrics.get(key))
    if row.stderr is not None:
        stderr = metrics.get(f"{row.metric}_stderr,{row.filter}")
        comparison.check("group", f"{row.metric} stderr", row.stderr, stderr)


def _group_verdict(comparison: Comparison, worst: str) -> Verdict:
    if not comparison.total:
        return Verdict("identical")
    if worst == "unlogged":
        return Verdict(worst, "a task's samples are not those that were aggregated")
    if worst != "identical":
        return Verdict(worst, f"a task of the group is {worst}")
    return Verdict("different", "its tasks are identical, the group's aggregate is not")


def _worst(statuses: set[str]) -> str:
    return next((status for status in WORST_FIRST if status in statuses), "identical")


def cannot_score(errors: Sequence[str]) -> str | None:
    """Say which samples can't be scored; None when all can."""
    if not errors:
        return None
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"can't be scored: {errors[0]}{more}"


def _listed(causes: Sequence[str], most: int = 3) -> str:
    more = f"; and {len(causes) - most} more" if len(causes) > most else ""
    return "; ".join(causes[:most]) + more
