"""Filters and metrics of the user's in place of a task's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import NotFoundError, TaskError, UsageError
from rescore_db.harness.interface import FUNCTION
from rescore_db.harness.user_code import with_functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rescore_db.harness.interface import Definition, SampleScores, TaskRequest

PER_DOC_FILTERS: Final = frozenset(
    {
        "format_span",
        "lowercase",
        "majority_vote",
        "map",
        "multi_choice_regex",
        "regex",
        "regex_pos",
        "remove_whitespace",
        "take_first",
        "take_first_k",
        "uppercase",
    }
)
"""lm-eval's own filters but `custom`: each looks at one document's responses alone."""


def replace_filters_and_metrics(config: dict[str, Any], request: TaskRequest) -> None:
    """Put the request's filters and metrics into a task's config, in place.

    A task whose scores come from a Python function of its own (`process_results`, a class) takes
    other filters but no other metrics: lm-eval would ignore the list and only change how the
    function's values are aggregated.

    Raises:
        UsageError: the metrics of such a task were to be replaced.
        TaskError: a filter or metric that lm-eval does not have, or a malformed list.
    """
    if request.filters_json is not None:
        config["filter_list"] = requested_filters(request)
    if request.metrics_json is not None:
        if config.get("process_results") is not None or "class" in config:
            msg = (
                f"{request.name}: its scores come from a Python function of its own "
                f"({_scorer(config)}), which no metric list changes; give a whole definition "
                "(--task-yaml FILE)"
            )
            raise UsageError(msg)
        config["metric_list"] = requested_metrics(request)


def requested_filters(request: TaskRequest) -> list[dict[str, Any]]:
    """Return the filters that a request puts in the place of a task's own, with their functions.

    Raises:
        TaskError: a filter that lm-eval does not have, a function that cannot be had.
    """
    given = json.loads(request.filters_json or "null")
    return checked_filters(with_functions(given, dict(request.code)))


def requested_metrics(request: TaskRequest) -> list[dict[str, Any]]:
    """Return the metrics that a request puts in the place of a task's own; as the filters.

    Raises:
        TaskError: a metric that lm-eval does not have, a function that cannot be had.
    """
    given = json.loads(request.metrics_json or "null")
    return checked_metrics(with_functions(given, dict(request.code)))


def refuse_unused(
    request: TaskRequest, definition: Definition, results: Sequence[SampleScores]
) -> None:
    """Refuse metrics that lm-eval drops without a word, as the task's kind computes others.

    Raises:
        TaskError: names them.
    """
    scored = [one.metrics for one in results if one.error is None]
    if request.metrics_json is None or not scored:
        return
    computed = set[str]().union(*scored)
    asked = json.loads(request.metrics_json)
    if computed:  # functions, and metrics of `evaluate`, may give several, named as they like
        asked = [one for one in asked if isinstance(one["metric"], str)]
        asked = [one for one in asked if not one.get("hf_evaluate")]
    names = [one["metric"] for one in asked]
    unused = [str(name[FUNCTION] if isinstance(name, dict) else name) for name in names]
    if unused := [name for name in unused if name not in computed]:
        msg = (
            f"{request.name} is a {definition.output_type} task, for which lm-eval computes no "
            f"{' and no '.join(unused)}; leave that out, or give a whole definition "
            "(--task-yaml FILE)"
        )
        raise TaskError(msg)


def check_overrides(request: TaskRequest) -> None:
    """Look whether a request's filters and metrics can be had, whatever the task.

    Raises:
        TaskError: says which can't, and why.
    """
    from rescore_db.harness.isolation import isolated

    with isolated():
        import lm_eval.api.task  # noqa: F401 - registers lm-eval's filters and metrics

        if request.filters_json is not None:
            requested_filters(request)
        if request.metrics_json is not None:
            requested_metrics(request)


def _scorer(config: dict[str, Any]) -> str:
    scorer = config.get("class") or config.get("process_results")
    return str(getattr(scorer, "__name__", scorer))


def checked_filters(filters: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parsed JSON
    """Return a `filter_list` whose filters lm-eval has and can make.

    Raises:
        TaskError: names what is wrong, with the nearest names.
    """
    from lm_eval.api.registry import filter_registry, get_filter

    if not isinstance(filters, list) or not filters:
        msg = f"a filter list is a list of filters with `name` and `filter`, not {filters!r}"
        raise TaskError(msg)
    for one in filters:
        if not _is_named_chain(one):
            msg = f"a filter needs `name` and a list `filter` of steps with `function`: {one!r}"
            raise TaskError(msg)
        for step in one["filter"]:
            function = step["function"]
            if callable(function) and not isinstance(function, type):
                msg = (
                    f"filter {one['name']!r}: {function.__name__} is a function, a step is a class "
                    "(lm_eval.api.filter.Filter); for a function write "
                    "{function: custom, filter_fn: !function …}"
                )
                raise TaskError(msg)
            if not callable(function) and function not in filter_registry:
                unknown = NotFoundError.among("filter", function, filter_registry)
                msg = f"filter {one['name']!r}: {unknown}"
                raise TaskError(msg)
            arguments = {key: value for key, value in step.items() if key != "function"}
            try:
                get_filter(function)(**arguments)
            except Exception as error:
                msg = f"filter {one['name']!r}: {function} refuses {arguments}: {error}"
                raise TaskError(msg) from error
    return filters


def _is_named_chain(one: Any) -> bool:  # noqa: ANN401 - parsed JSON
    return (
        isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("filter"), list)
        and bool(one["filter"])
        and all(isinstance(step, dict) and "function" in step for step in one["filter"])
    )


def checked_metrics(metrics: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parsed JSON
    """Return a `metric_list` whose metrics and aggregations lm-eval has.

    Metrics of the `evaluate` library are let through; whether they can be had without a download
    shows when the task is built.

    Raises:
        TaskError: names what is wrong, with the nearest names.
    """
    from lm_eval.api.registry import aggregation_registry, metric_registry

    if not isinstance(metrics, list) or not metrics:
        msg = f"a metric list is a list of metrics with `metric`, not {metrics!r}"
        raise TaskError(msg)
    for one in metrics:
        if not isinstance(one, dict) or not _is_metric(one.get("metric")):
            msg = f"a metric needs `metric`, the name of one of lm-eval's metrics: {one!r}"
            raise TaskError(msg)
        if (
            not callable(one["metric"])
            and one["metric"] not in metric_registry
            and one.get("hf_evaluate") is not True
        ):
            raise TaskError(str(NotFoundError.among("metric", one["metric"], metric_registry)))
        aggregation = one.get("aggregation")
        if isinstance(aggregation, str) and aggregation not in aggregation_registry:
            known = NotFoundError.among("aggregation", aggregation, aggregation_registry)
            raise TaskError(str(known))
    return metrics


def _is_metric(value: Any) -> bool:  # noqa: ANN401 - parsed JSON, a function put in
    return isinstance(value, str) or callable(value)


def is_per_doc(filters: list[Any]) -> bool:
    """Tell whether every one of a task's filter pipelines looks at one document at a time.

    Args:
        filters: lm-eval's `FilterEnsemble`s.
    """
    from lm_eval.api.registry import filter_registry

    own = {filter_registry.get(name) for name in PER_DOC_FILTERS}
    return all(step.func in own for ensemble in filters for step in ensemble.filters)
