"""What changed between the definition that a run logged and the one that scores it now."""

from __future__ import annotations

import ast
import contextlib
import itertools
import json
import re
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rescore_db.harness.interface import Definition

NOT_COMPARED: Final = frozenset(
    {
        "dataset_kwargs",  # where documents come from: they are stored
        "dataset_path",
        "fewshot_config",  # what made the prompts: they are stored, and releases log it differently
        "generation_kwargs",  # options of a run
        "group",  # names and places in tables
        "metadata",
        "num_fewshot",
        "tag",
        "task",
        "task_alias",
    }
)
"""Fields that differ from run to run, or from release to release, under one definition."""

ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+")
NAMED_ONLY: Final = re.compile(r"<(?:function|class|bound method) '?([\w.]+)'?[^>]*>")
DEFINED: Final = re.compile(r"\s*(?:@.*\n\s*)*(?:async\s+)?(?:def|class)\s+(\w+)")


def config_differences(logged_config_json: str, definition: Definition) -> list[str]:
    """Name the fields in which a logged config differs from a definition.

    Fields that a release does not log count as lm-eval's default for them.  Functions are
    compared by their code, without layout and comments; where only a name was logged, by name.

    Args:
        logged_config_json: one entry of `configs` in a results file, as JSON text.
        definition: what the task is built from now.

    Returns:
        Names of fields of lm-eval's task config, and "version", sorted; empty where the log
        holds no config.
    """
    logged = json.loads(logged_config_json)
    now = json.loads(definition.config_json)
    if not isinstance(logged, dict) or not logged:
        return []
    found = [
        name
        for name, default in _compared_fields(logged).items()
        if _comparable(name, logged.get(name, default), now.get(name, default))
        != _comparable(name, now.get(name, default), logged.get(name, default))
    ]
    if _version(logged) != _version(now):
        found.append("version")
    return sorted(found)


def _compared_fields(logged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of lm-eval's task config that are compared, with their defaults."""
    from lm_eval.config.task import TaskConfig

    skipped = set(NOT_COMPARED)
    if {"metric": "bypass"} in (logged.get("metric_list") or ()):  # --predict_only replaces them
        skipped |= {"metric_list", "process_results"}
    return {one.name: one.default for one in fields(TaskConfig) if one.name not in skipped}


def _comparable(name: str, value: Any, other: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a field's value in a form that is equal where it means the same.

    Args:
        name: the field.
        value: its value on one side.
        other: its value on the other side; where either is only a function's name, names count.
    """
    if name == "metric_list" and isinstance(value, list):
        value = [_with_defaults(metric) for metric in value]
        other = [_with_defaults(metric) for metric in other] if isinstance(other, list) else other
    return _comparable_value(value, other)


def _comparable_value(value: Any, other: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        others = other if isinstance(other, dict) else {}
        return {key: _comparable_value(item, others.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        listed = other if isinstance(other, list) else []
        pairs = itertools.zip_longest(value, listed[: len(value)])
        return [_comparable_value(item, its) for item, its in pairs]
    if isinstance(value, str):
        is_named = any(isinstance(v, str) and NAMED_ONLY.fullmatch(v) for v in (value, other))
        return _function_name(value) if is_named else _code(value)
    return value


def _with_defaults(metric: Any) -> Any:  # noqa: ANN401 - JSON
    """Return an entry of a metric list with what lm-eval fills in where it says nothing."""
    from lm_eval.api import registry

    if not isinstance(metric, dict) or not isinstance(name := metric.get("metric"), str):
        return metric
    filled = dict(metric)
    if name in registry.metric_agg_registry:
        used = registry.metric_agg_registry.get(name)
        known = registry.aggregation_registry
        filled.setdefault("aggregation", next((n for n in known if known.get(n) is used), None))
    if name in registry.higher_is_better_registry:
        filled.setdefault("higher_is_better", registry.higher_is_better_registry.get(name))
    return filled


def _function_name(text: str) -> str:
    """Return a logged function's name, from its source text or from `<function name at …>`."""
    found = NAMED_ONLY.fullmatch(text) or DEFINED.match(text)
    return found[1].rpartition(".")[2] if found else text


def _code(text: str) -> str:
    """Return a function's text without layout, comments and addresses; other texts as they are."""
    if DEFINED.match(text):
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):
            return ast.dump(ast.parse(textwrap.dedent(text)))
    return ADDRESS.sub("0x", text)


def _version(config: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    metadata = config.get("metadata")
    if isinstance(metadata, list) and metadata:  # as 0.4.0 has it
        metadata = metadata[0]
    return metadata.get("version") if isinstance(metadata, dict) else None
