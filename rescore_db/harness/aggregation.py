"""From scores to results: lm-eval's own aggregation, standard errors and groups."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rescore_db.errors import TaskError
from rescore_db.harness.bootstrap import fast_bootstrap
from rescore_db.harness.index import TaskNames
from rescore_db.harness.isolation import isolated
from rescore_db.harness.members import group_of_names
from rescore_db.harness.segments import remembered_segments
from rescore_db.harness.whereabouts import here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rescore_db.harness.offline import OfflineTask

Members = Mapping[str, "Sequence[str]"]


def aggregate(
    task: OfflineTask,
    values: Mapping[tuple[str, str], list[Any]],
    bootstrap_iters: int | None,
) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Aggregate a task's scores and compute their standard errors, as lm-eval does.

    Args:
        task: the task that gave the scores.
        values: (filter, metric) → the scores in position order, with the types that
            `process_results` gave them; samples without a score are left out.
        bootstrap_iters: as in lm-eval; 0 or None for no standard errors.

    Returns:
        (filter, metric) → (value, standard error); "N/A" where lm-eval has none.

    Raises:
        TaskError: an aggregation fails; names the filter and metric.
    """
    results: dict[tuple[str, str], tuple[Any, Any]] = {}
    with task.running(), _one_process(), fast_bootstrap(), remembered_segments():
        _adopt_expanded_metrics(task, [metric for _, metric in values])
        for (filter_, metric), scores in values.items():
            results[filter_, metric] = _aggregate_one(
                task, filter_, metric, scores, bootstrap_iters
            )
    return results


def _aggregate_one(
    task: OfflineTask, filter_: str, metric: str, scores: list[Any], bootstrap_iters: int | None
) -> tuple[Any, Any]:
    """Aggregate the scores of one metric after one filter."""
    from lm_eval.evaluator_utils import _compute_task_aggregations

    here.step(f"aggregating {metric!r} of filter {filter_!r}")
    try:
        found, _ = _compute_task_aggregations(
            task.lm_eval_task, {(metric, filter_): scores}, bootstrap_iters
        )
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        msg = (
            f"{task.definition.name}: aggregating {metric!r} of filter {filter_!r} over "
            f"{len(scores)} scores fails: {reason}; choose a metric that fits the task "
            f"({task.definition.output_type or 'a class'}) and its references"
        )
        raise TaskError(msg) from error
    return found[f"{metric},{filter_}"], found[f"{metric}_stderr,{filter_}"]


@contextlib.contextmanager
def _one_process() -> Iterator[None]:
    """Let lm-eval's bootstrap draw in this process; the draws are the same."""
    before = os.environ.get("DISABLE_MULTIPROC")
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before


def _adopt_expanded_metrics(task: OfflineTask, metrics: Iterable[str]) -> None:
    """Give metrics that another one expands to (`pass@1` of `pass_at_k`) that one's aggregation.

    lm-eval does so while it scores, and scoring may have been done by another process.

    Raises:
        TaskError: it can't be told which of the task's metrics they come from.
    """
    own = task.lm_eval_task
    declared = getattr(own, "_metric_fn_list", {})
    aggregations = getattr(own, "_aggregation_list", {})
    produced = list(dict.fromkeys(metrics))
    unknown = [metric for metric in produced if metric not in own.aggregation()]
    if not unknown or own.OUTPUT_TYPE != "generate_until" or _scores_itself(own):
        return  # lm-eval takes the mean of these
    sources = [name for name in declared if name not in produced] or list(declared)
    ways = {id(aggregations[name]) for name in sources if name in aggregations}
    if len(ways) > 1:
        msg = (
            f"{task.definition.name}: the scores {', '.join(unknown)} come from one of the metrics "
            f"{', '.join(sources)}, which are aggregated in different ways"
        )
        raise TaskError(msg)
    for name in unknown:
        for source in sources:
            if source in aggregations:
                aggregations[name] = aggregations[source]
                own._higher_is_better[name] = own._higher_is_better.get(source)  # noqa: SLF001


def _scores_itself(task: Any) -> bool:  # noqa: ANN401 - lm-eval's Task
    """Tell whether a task's scores come from a function of its own."""
    from lm_eval.api.task import ConfigurableTask

    own = type(task).process_results is not ConfigurableTask.process_results
    return own or callable(task.config.process_results)


def aggregate_groups(
    groups: Iterable[str] | Members,
    include_paths: Sequence[str],
    task_metrics: Mapping[str, Mapping[str, Any]],
    cache: Path | None = None,
) -> dict[str, dict[str, Any]]:
    """Aggregate groups from their tasks' results, with lm-eval's own code.

    Args:
        groups: names of groups; as a mapping (the log's `group_subtasks`), each with its direct
            members, to which it is restricted and whose order it takes.
        include_paths: folders of definitions that win over lm-eval's registry.
        task_metrics: task → `{"acc,none": …, "acc_stderr,none": …, "sample_len": …}`.
        cache: folder of the task index; None takes the setting's.

    Returns:
        Group → what lm-eval's results hold for it (`alias`, `name`, `sample_len`, "acc,none" …),
        children before parents, nested groups of the named ones included.

    Raises:
        TaskError: a group's definition is missing, or its values can't be combined.
    """
    with isolated():
        found: dict[str, dict[str, Any]] = {}
        here.step("aggregating groups")
        for group in _groups_bottom_up(groups, include_paths, cache):
            try:
                found[group.name] = group.aggregate(dict(task_metrics))
            except Exception as error:
                msg = f"group {group.name!r} can't be aggregated: {type(error).__name__}: {error}"
                raise TaskError(msg) from error
        return found


def _groups_bottom_up(
    groups: Iterable[str] | Members, include_paths: Sequence[str], cache: Path | None
) -> list[Any]:
    """Return lm-eval groups of stand-ins, children before parents."""
    from lm_eval.evaluator_utils import _collect_groups_bottom_up

    members = groups if isinstance(groups, Mapping) else {}
    names = TaskNames(include_paths, cache)
    known: dict[str, Any] = {}
    for name in groups:
        if name not in known:
            group = group_of_names(names, name)
            for one in (group, *group.get_all_groups()):
                known.setdefault(one.name, one)
    for name, children in members.items():
        if children:
            _restrict(known[name], children, known)
    found: list[Any] = _collect_groups_bottom_up(known)
    return found


def _restrict(group: Any, children: Sequence[str], known: Mapping[str, Any]) -> None:  # noqa: ANN401
    """Give a group the members, and their order, that it had in a run."""
    from rescore_db.harness.members import task_stand_in

    before = dict(group._children)  # noqa: SLF001 - lm-eval has no way to reorder
    group._children.clear()  # noqa: SLF001
    for name in children:
        group.add(known.get(name) or before.get(name) or task_stand_in(name))
