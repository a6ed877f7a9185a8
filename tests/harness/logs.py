"""lm-eval's logged lines as what the harness takes and gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rescore_db.harness.interface import Sample, SampleScores, TaskRequest
from rescore_db.typed_values import plain
from tests.truth import TASKS

if TYPE_CHECKING:
    from rescore_db.harness.offline import OfflineTask

Line = dict[str, Any]


def request(name: str, **options: Any) -> TaskRequest:
    """Ask for one of the tasks in `tests/tasks`."""
    return TaskRequest(name, include_paths=(str(TASKS),), **options)


def blocks(lines: list[Line]) -> dict[str, list[Line]]:
    """Split a samples file's lines by filter, each in its order."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line["filter"], []).append(line)
    return found


def to_sample(line: Line) -> Sample:
    """Return what the harness scores of a line."""
    arguments = [list(one.values()) for one in line["arguments"].values()]
    return Sample(line["doc"], arguments, line["resps"])


def to_samples(lines: list[Line]) -> list[Sample]:
    """Return the samples of a file: the lines of its first filter."""
    return [to_sample(line) for line in next(iter(blocks(lines).values()))]


def by_filter(scores: list[SampleScores]) -> dict[str, list[SampleScores]]:
    """Split what `score` gave by filter."""
    found: dict[str, list[SampleScores]] = {}
    for one in scores:
        found.setdefault(one.filter, []).append(one)
    return found


def as_json(value: Any) -> Any:
    """Return a value as it comes back from a log."""
    return json.loads(json.dumps(plain(value)))


def values_of(scores: list[SampleScores]) -> dict[tuple[str, str], list[Any]]:
    """Return (filter, metric) → values in order, as aggregation takes them."""
    found: dict[tuple[str, str], list[Any]] = {}
    for one in scores:
        for metric, value in one.metrics.items():
            found.setdefault((one.filter, metric), []).append(value)
    return found


def results_of(
    task: OfflineTask, values: dict[tuple[str, str], list[Any]], bootstrap_iters: int
) -> dict[str, Any]:
    """Return the aggregates as lm-eval's results have them: "metric,filter" → value."""
    from rescore_db.harness.aggregation import aggregate

    found = {}
    for (name, metric), (value, stderr) in aggregate(task, values, bootstrap_iters).items():
        found[f"{metric},{name}"] = as_json(value)
        found[f"{metric}_stderr,{name}"] = as_json(stderr)
    return found
