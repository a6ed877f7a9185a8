"""Definitions from the log: the config that lm-eval wrote beside its results.

Nothing in a log is executed.  A config is taken only when it is purely declarative; where lm-eval
logged a function, it logged its source text or its address, and the config is refused.  Its
templates are rendered in a sandbox (`templates.cached_templates`).
"""

from __future__ import annotations

import re
from typing import Any, Final

from rescore_db.errors import NotFoundError, TaskError
from rescore_db.harness.overrides import checked_filters

UNUSED: Final = (
    "custom_dataset",
    "process_docs",
    "fewshot_config",
    "doc_to_image",
    "doc_to_audio",
    "doc_to_decontamination_query",
    "dataset_kwargs",
    "tag",
    "group",
)
"""Fields that made the documents and the prompts, which are stored: scoring does without them."""

CODE: Final = re.compile(
    r"\s*(?:@\w|(?:async\s+)?def\s+\w+\s*\(|class\s+\w+\s*[(:]|(?:\w+\s*=\s*)?lambda\b"
    r"|<(?:function|class|bound method|built-in|\S+ object at 0x)|functools\.partial\()"
)
"""How the text of a function or class begins, as lm-eval logs it."""


def declarative_config(logged: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - parsed JSON
    """Return a logged config as one that a task can be built from.

    Args:
        logged: one entry of `configs` in a results file.
        name: the task's name.

    Raises:
        TaskError: it holds functions, or what only the run's own lm-eval knows; says what.
    """
    if not isinstance(logged, dict) or not logged:
        msg = f"{name}: the log holds no config of this task"
        raise TaskError(msg)
    config = {key: value for key, value in logged.items() if key not in UNUSED}
    config["task"] = name
    if functions := sorted(set(_functions(config))):
        msg = (
            f"{name}: its logged config holds Python code ({', '.join(functions)}), and code from "
            "logs is never run; give the definition (--include-path DIR or --task-yaml FILE)"
        )
        raise TaskError(msg)
    if config.get("use_prompt") is not None:
        msg = f"{name}: its prompts come from promptsource, which the log does not hold"
        raise TaskError(msg)
    _check_names(config, name)
    known = known_fields()
    return {key: value for key, value in config.items() if key in known}


def _functions(config: dict[str, Any]) -> list[str]:
    """Name the fields that hold a function's text."""
    found = [key for key, value in config.items() if _holds_code(value)]
    if config.get("process_results") is not None:  # only ever a function
        found.append("process_results")
    return found


def _holds_code(value: Any) -> bool:  # noqa: ANN401 - parsed JSON
    if isinstance(value, str):
        return CODE.match(value) is not None
    if isinstance(value, list):
        return any(_holds_code(item) for item in value)
    if isinstance(value, dict):
        return any(_holds_code(item) for item in value.values())
    return False


def _check_names(config: dict[str, Any], name: str) -> None:
    """Refuse metrics, aggregations and filters that the installed lm-eval does not have."""
    from lm_eval.api.registry import aggregation_registry, metric_registry

    metrics = config.get("metric_list") or []
    if any(metric.get("metric") == "bypass" for metric in metrics):
        msg = f"{name}: it was run with --predict_only, its logged config holds no metrics"
        raise TaskError(msg)
    if fetched := [metric.get("metric") for metric in metrics if metric.get("hf_evaluate")]:
        msg = f"{name}: metric {fetched[0]!r} is code of the `evaluate` library, named by a log"
        raise TaskError(msg)
    for kind, registry in (("metric", metric_registry), ("aggregation", aggregation_registry)):
        for metric in metrics:
            used = metric.get(kind)
            if used is not None and used not in registry:
                msg = f"{name}: {NotFoundError.among(kind, used, registry)}"
                raise TaskError(msg)
    if config.get("filter_list") is not None:
        checked_filters(config["filter_list"])


def known_fields() -> set[str]:
    """Return the fields of the installed lm-eval's task configs; others logged other fields."""
    from dataclasses import fields

    from lm_eval.config.task import TaskConfig

    return {one.name for one in fields(TaskConfig)}
