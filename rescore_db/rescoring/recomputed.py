"""One evaluation recomputed, side by side with what lm-eval logged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from rescore_db.rescoring.comparison import Comparison
from rescore_db.rescoring.filter_names import filters_meant
from rescore_db.rescoring.shard import as_harness_samples, error_text
from rescore_db.store import scored
from rescore_db.store.scores import first_responses, iter_values
from rescore_db.typed_values import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from rescore_db.harness.interface import SampleScores
    from rescore_db.harness.offline import OfflineTask
    from rescore_db.store.samples import StoredSample

NOT_SCORES: Final = frozenset({"bypass"})
"""What `--predict_only` logs in place of a metric."""


@dataclass(frozen=True, slots=True)
class LoggedMetric:
    """One metric as logged: its aggregate, and its values by position."""

    value: Any
    stderr: Any
    values: dict[int, Any]


@dataclass(frozen=True, slots=True)
class LoggedFilter:
    """One filter as logged: filtered responses by position, where there are any, and metrics."""

    n: int
    positions: frozenset[int] | None  # None: every sample has it
    filtered: dict[int, Any]
    metrics: dict[str, LoggedMetric]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Everything scoring one evaluation gave: by filter and position, and the aggregates.

    `is_cut` when the log's aggregates are of another number of samples than it holds.
    """

    filters: dict[str, dict[int, SampleScores]]
    aggregates: dict[tuple[str, str], tuple[Any, Any]]
    errors: list[str]
    is_cut: bool = False


def read_logged(conn: Connection, evaluation_id: int) -> dict[str, LoggedFilter]:
    """Return what lm-eval logged for an evaluation, by filter."""
    key = scored.logged_evaluation(conn, evaluation_id)
    found = {}
    for one in [] if key is None else scored.read_filters(conn, key):
        filtered = scored.read_filtered(conn, one.id)
        metrics = {
            metric.metric: LoggedMetric(
                metric.value,
                metric.stderr,
                {at: plain(value) for at, value in iter_values(conn, metric.id, metric.kind)},
            )
            for metric in scored.read_aggregates(conn, one.id)
        }
        positions = None if one.complete else frozenset(filtered)
        found[one.name] = LoggedFilter(one.n, positions, filtered, metrics)
    return found


def recompute(
    task: OfflineTask, stored: Sequence[StoredSample], bootstrap_iters: int
) -> Recomputed:
    """Score all samples of an evaluation and aggregate them, unless some can't be scored."""
    from rescore_db.harness.aggregation import aggregate

    filters: dict[str, dict[int, SampleScores]] = {name: {} for name in task.definition.filters}
    values: dict[tuple[str, str], list[Any]] = {}
    errors = []
    for result in task.score(as_harness_samples(stored)):
        position = stored[result.index].position
        filters[result.filter][position] = result
        if result.error is not None:
            errors.append(error_text(position, result))
        for name, value in result.metrics.items():
            values.setdefault((name, result.filter), []).append(value)
    by_filter = {(filter_, name): found for (name, filter_), found in values.items()}
    aggregates = {} if errors else aggregate(task, by_filter, bootstrap_iters)
    return Recomputed(filters, aggregates, errors)


def compare_with_log(
    logged: Mapping[str, LoggedFilter],
    stored: Sequence[StoredSample],
    recomputed: Recomputed,
    keep: int,
) -> list[dict[str, Any]]:
    """Compare filter by filter; one JSON-able account each, for `verdict.judge`.

    Aggregates are left out where `recomputed.is_cut`: they are of samples that the log lacks.
    A filter that only the log or only the definition has is told of, without differences.
    """
    meant = filters_meant(list(logged), list(recomputed.filters))
    names = [*logged, *(name for name in recomputed.filters if name not in meant.values())]
    return [
        _account(name, meant.get(name, name), logged.get(name), stored, recomputed, keep)
        for name in names
    ]


def _account(
    name: str,
    meant: str,
    logged: LoggedFilter | None,
    stored: Sequence[StoredSample],
    recomputed: Recomputed,
    keep: int,
) -> dict[str, Any]:
    ours, found = recomputed.filters.get(meant), Comparison(keep)
    if logged is not None and ours is not None:
        for sample in stored:
            if logged.positions is None or sample.position in logged.positions:
                _compare_sample(sample, logged, ours[sample.position], found)
        _compare_aggregates(meant, logged, recomputed, found)
    return {
        "filter": name,
        "meant": meant,
        "n": logged.n if logged else 0,
        "is_logged": logged is not None,
        "is_defined": ours is not None,
        "has_scores": bool(logged and set(logged.metrics) - NOT_SCORES),
        "total": found.total,
        "beyond_rounding": found.beyond_rounding,
        "shown": [asdict(one) for one in found.shown],
    }


def _compare_sample(
    sample: StoredSample, logged: LoggedFilter, ours: SampleScores, found: Comparison
) -> None:
    """Compare one sample's filtered responses and scores; failed samples are told elsewhere."""
    if ours.error is not None:
        return
    from rescore_db.harness.scoring import as_logged

    where = f"position {sample.position}"
    was = logged.filtered.get(sample.position, first_responses(sample.responses))
    # Up to 0.4.2 lm-eval wrote numbers where it writes their texts since.
    found.check(where, "filtered response", as_logged(was), ours.filtered)
    if not set(logged.metrics) - NOT_SCORES:
        return
    now = {name: plain(value) for name, value in ours.metrics.items()}
    for name, metric in logged.metrics.items():
        if sample.position in metric.values or name in now:
            found.check(where, name, metric.values.get(sample.position), now.get(name))
    for name in now.keys() - logged.metrics.keys():
        found.check(where, name, None, now[name])


def _compare_aggregates(
    name: str, logged: LoggedFilter, recomputed: Recomputed, found: Comparison
) -> None:
    if recomputed.errors or recomputed.is_cut or not set(logged.metrics) - NOT_SCORES:
        return
    for metric, was in logged.metrics.items():
        value, stderr = recomputed.aggregates.get((name, metric), (None, None))
        if was.value is not None:  # no results file: nothing to compare with
            found.check("aggregate", metric, was.value, plain(value))
        if was.stderr is not None:
            found.check("aggregate", f"{metric} stderr", was.stderr, plain(stderr))
