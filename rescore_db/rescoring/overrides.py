"""Users' own filters and metrics, in lm-eval's syntax."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import TaskError, UsageError
from rescore_db.harness.interface import FUNCTION
from rescore_db.rescoring.user_yaml import (
    is_list_of_mappings,
    is_reference,
    malformed,
    read_yaml,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rescore_db.harness.interface import TaskRequest
    from rescore_db.rescoring.slot import Slot

FILTERS: Final = """\
- name: last-number
  filter:
    - function: regex
      regex_pattern: "(-?[0-9]+)"
      group_select: -1
    - function: take_first"""

METRICS: Final = """\
- metric: exact_match
  aggregation: mean
  higher_is_better: true
  ignore_case: true"""

Entries = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Overrides:
    """A list of filters or metrics, and where the source files are that it refers to."""

    entries: Entries
    code: Mapping[str, str]


def read_filters(path: str) -> Overrides:
    """Read a `filter_list`: a YAML list, or a mapping that holds one under that key.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not YAML, or not a list of `{name, filter: [{function, …}]}`.
    """
    return _read(path, "filter_list", checked_filters, FILTERS)


def read_metrics(path: str) -> Overrides:
    """Read a `metric_list`: a YAML list, or a mapping that holds one under that key.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not YAML, or not a list of `{metric, …}`.
    """
    return _read(path, "metric_list", checked_metrics, METRICS)


def check_with_lm_eval(filters: str, metrics: str, template: TaskRequest, slot: Slot) -> None:
    """Let a child look whether lm-eval has filters and metrics: every task would say the same.

    Args:
        filters: where the filters are from, for the message.
        metrics: likewise.
        template: holds them.
        slot: supervises the child.

    Raises:
        UsageError: lm-eval has them not, or a function of the user's cannot be loaded.
    """
    for where, alone in (
        (filters, replace(template, metrics_json=None)),
        (metrics, replace(template, filters_json=None)),
    ):
        if alone.filters_json is None and alone.metrics_json is None:
            continue
        try:
            slot.call("check_overrides", request=alone.to_json())
        except TaskError as error:
            msg = f"{where}: {error}"
            raise UsageError(msg) from None


def _read(path: str, key: str, check: Callable[[Any, str], Entries], example: str) -> Overrides:
    found = read_yaml(path, example)
    content = found.content
    if isinstance(content, dict) and key in content:
        content = content[key]
    if not is_list_of_mappings(content):
        raise malformed(path, f"it is no list of entries, nor holds one under `{key}:`", example)
    return Overrides(check(content, path), found.code)


def checked_filters(entries: Any, where: str) -> Entries:  # noqa: ANN401 - parsed YAML
    """Return a filter list that has lm-eval's shape; whether lm-eval has the filters shows later.

    Raises:
        UsageError: it has another shape; begins with `where`.
    """
    if not is_list_of_mappings(entries):
        raise malformed(where, "filters are a list of entries", FILTERS)
    for number, entry in enumerate(entries, 1):
        steps = entry.get("filter")
        if not isinstance(entry.get("name"), str) or not isinstance(steps, list) or not steps:
            raise malformed(where, f"entry {number} needs `name` and a list `filter`", FILTERS)
        if not all(isinstance(step, dict) and _is_named(step.get("function")) for step in steps):
            raise malformed(where, f"each step of {entry['name']!r} needs `function`", FILTERS)
    _refuse_twice(where, [entry["name"] for entry in entries], FILTERS)
    return list(entries)


def checked_metrics(entries: Any, where: str) -> Entries:  # noqa: ANN401 - parsed YAML
    """Return a metric list that has lm-eval's shape; whether lm-eval has the metrics shows later.

    Raises:
        UsageError: it has another shape; begins with `where`.
    """
    if not is_list_of_mappings(entries):
        raise malformed(where, "metrics are a list of entries", METRICS)
    for number, entry in enumerate(entries, 1):
        if not _is_named(entry.get("metric")):
            raise malformed(where, f"entry {number} needs `metric`", METRICS)
        if is_reference(entry["metric"]) and not _is_named(entry.get("aggregation")):
            what = f"entry {number}, a function of yours, needs `aggregation` (such as mean)"
            raise malformed(where, what, METRICS)
    _refuse_twice(where, [metric_name(entry) for entry in entries], METRICS)
    return list(entries)


def metric_name(entry: Mapping[str, Any]) -> str:
    """Return what lm-eval calls a metric of a list: a function's own name if it is one."""
    metric = entry["metric"]
    return str(metric[FUNCTION]).rpartition(".")[2] if is_reference(metric) else str(metric)


def _is_named(value: object) -> bool:
    return isinstance(value, str) or is_reference(value)


def _refuse_twice(where: str, names: Sequence[str], example: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise malformed(where, f"the name {twice[0]!r} stands twice", example)
