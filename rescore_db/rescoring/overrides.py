"""Users' own filters and metrics, read from YAML files in lm-eval's syntax."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

FILTERS: Final = """\
- name: last-number
  filter:
    - function: regex
      regex_pattern: "(-?[0-9]+)"
      group_select: -1
    - function: take_first"""

MAX_BYTES: Final = 1_000_000  # of a YAML file; people write them by hand

METRICS: Final = """\
- metric: exact_match
  aggregation: mean
  higher_is_better: true
  ignore_case: true"""


def read_filters(path: str) -> list[dict[str, Any]]:
    """Read a `filter_list`: a YAML list, or a mapping that holds one under that key.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not YAML, or not a list of `{name, filter: [{function, …}]}`.
    """
    entries = _read_list(path, "filter_list", FILTERS)
    for number, entry in enumerate(entries, 1):
        steps = entry.get("filter")
        if not isinstance(entry.get("name"), str) or not isinstance(steps, list) or not steps:
            raise _malformed(path, f"entry {number} needs `name` and a list `filter`", FILTERS)
        if not all(
            isinstance(step, dict) and isinstance(step.get("function"), str) for step in steps
        ):
            raise _malformed(path, f"each step of {entry['name']!r} needs `function`", FILTERS)
    _refuse_twice(path, [entry["name"] for entry in entries], FILTERS)
    return entries


def read_metrics(path: str) -> list[dict[str, Any]]:
    """Read a `metric_list`: a YAML list, or a mapping that holds one under that key.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not YAML, or not a list of `{metric, …}`.
    """
    entries = _read_list(path, "metric_list", METRICS)
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry.get("metric"), str):
            raise _malformed(path, f"entry {number} needs `metric`", METRICS)
    _refuse_twice(path, [entry["metric"] for entry in entries], METRICS)
    return entries


def _refuse_twice(path: str, names: Sequence[str], example: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _malformed(path, f"the name {twice[0]!r} stands twice", example)


def _read_list(path: str, key: str, example: str) -> list[dict[str, Any]]:
    import yaml

    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise _malformed(path, f"it is longer than {MAX_BYTES:,} bytes", example)
        text = content.decode("utf-8")
    except OSError as error:
        msg = f"{path}: {error.strerror or error}"
        raise NotFoundError(msg) from None
    except UnicodeDecodeError:
        raise _malformed(path, "it is not UTF-8", example) from None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _malformed(path, " ".join(str(error).split()), example) from None
    if isinstance(found, dict) and key in found:
        found = found[key]
    if not _is_list_of_mappings(found):
        raise _malformed(path, f"it is no list of entries, nor holds one under `{key}:`", example)
    entries: list[dict[str, Any]] = found
    return entries


def _is_list_of_mappings(found: object) -> bool:
    if not isinstance(found, list) or not found:
        return False
    entries: Sequence[object] = found
    return all(isinstance(entry, dict) for entry in entries)


def _malformed(path: str, what: str, example: str) -> UsageError:
    return UsageError(f"{path}: {what}; it should look like\n{example}")
