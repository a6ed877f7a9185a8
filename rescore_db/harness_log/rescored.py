"""A results file as lm-eval 0.4.13 would have written it for a scoring of a run.

What a scoring decides (values, standard errors, configurations, sample counts …) is new; all else
(the model's arguments, seeds, the machine) is the run's own and stays as its results file has it.
What neither tells is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rescore_db.harness_log.members import leaves
from rescore_db.harness_log.written import model_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ORIGIN: Final = "rescore_db"
"""The field that names where rescored values come from; lm-eval's readers pass over it."""


@dataclass(frozen=True, slots=True)
class RescoredTask:
    """One task's part of a results file.

    Attributes:
        name: the task's name.
        metrics: (filter, metric, value, standard error), as lm-eval gave them, in its order.
        sample_len: how many samples were aggregated.
        n_original: documents of the task's split, None where it is unknown.
        num_fewshot: examples in the prompts, None where it is unknown.
        version: lm-eval's, of the definition that scored.
        config: that definition as lm-eval logs it, None where it is unknown.
        higher_is_better: by metric.
        task_hash: the SHA-256 over its lines' hashes, None where a line lacks one.
    """

    name: str
    metrics: tuple[tuple[str, str, Any, Any], ...]
    sample_len: int
    n_original: int | None
    num_fewshot: int | None
    version: Any
    config: dict[str, Any] | None
    higher_is_better: dict[str, bool | None]
    task_hash: str | None


@dataclass(frozen=True, slots=True)
class RescoredGroup:
    """One group's part of a results file: (filter, metric, samples, value, standard error)."""

    name: str
    metrics: tuple[tuple[str, str, int | None, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class RescoredRun:
    """What a scoring says of a run.

    Attributes:
        model: the model's name.
        lm_eval_version: of the lm-eval that scored.
        tasks: those that were scored.
        groups: those that were aggregated.
        origin: what the file says of where its values come from.
    """

    model: str
    lm_eval_version: str | None
    tasks: Sequence[RescoredTask]
    groups: Sequence[RescoredGroup]
    origin: Mapping[str, Any]


def rescored_results(run: RescoredRun, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a results file, its fields in lm-eval's order.

    Args:
        run: what a scoring says.
        own: the run's own results file as parsed, empty where it has none.
    """
    told = _Own(own)
    tasks = told.in_order(run.tasks)
    groups = told.in_order(run.groups)
    entries = {one.name: _task_entry(one) for one in tasks}
    named = {one.name for one in groups}
    members = {name: ms for name, ms in told.field("group_subtasks").items() if name in named}
    summed = {one.name: _group_entry(one, told, members, entries) for one in groups}
    aggregated = {name: entry for name, entry in summed.items() if "sample_len" in entry}
    content = {
        "results": entries | summed,
        **({"groups": aggregated} if aggregated else {}),
        "group_subtasks": members,
        "configs": _sorted({one.name: one.config for one in tasks if one.config is not None}),
        "versions": _sorted({one.name: one.version for one in tasks} | told.of(groups, "versions")),
        "n-shot": _sorted(_shots(tasks, told) | told.of(groups, "n-shot")),
        "higher_is_better": _sorted(_directions(tasks, groups, told, members)),
        "n-samples": {one.name: _counts(one, told) for one in tasks},
    }
    return content | told.rest(content) | _facts(run, tasks, own) | {ORIGIN: dict(run.origin)}


Named = TypeVar("Named", RescoredTask, RescoredGroup)


class _Own:
    """The run's own results file, of which nothing is sure."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def field(self, name: str) -> dict[str, Any]:
        """Return a field that is a mapping, empty where it is none."""
        found = self._content.get(name)
        return found if isinstance(found, dict) else {}

    def entry(self, name: str) -> dict[str, Any]:
        """Return what stands under `results` for a task or group."""
        found = self.field("results").get(name)
        return found if isinstance(found, dict) else {}

    def of(self, groups: Sequence[RescoredGroup], field: str) -> dict[str, Any]:
        """Return what a field says of groups, as far as it does."""
        found = self.field(field)
        return {one.name: found[one.name] for one in groups if one.name in found}

    def in_order(self, named: Sequence[Named]) -> list[Named]:
        """Return tasks or groups in the order of the results, others behind."""
        ranks = {name: at for at, name in enumerate(self.field("results"))}
        return sorted(named, key=lambda one: ranks.get(one.name, len(ranks)))

    def rest(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that a scoring does not decide."""
        decided = {*content, "groups", ORIGIN}
        return {key: value for key, value in self._content.items() if key not in decided}


def _task_entry(one: RescoredTask) -> dict[str, Any]:
    alias = (one.config or {}).get("task_alias", one.name)
    entry = {"name": one.name, "alias": alias, "sample_len": one.sample_len}
    for filter_, metric, value, stderr in one.metrics:
        entry[f"{metric},{filter_}"] = value
        entry[f"{metric}_stderr,{filter_}"] = stderr
    return entry


def _group_entry(
    one: RescoredGroup,
    own: _Own,
    members: Mapping[str, Sequence[str]],
    tasks: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return a group's results; one that is only a name for tasks has no numbers."""
    entry: dict[str, Any] = {"alias": own.entry(one.name).get("alias", one.name), "name": one.name}
    if not one.metrics and "sample_len" not in own.entry(one.name):
        return entry
    below = leaves(one.name, members)
    entry["sample_len"] = sum(each["sample_len"] for name, each in tasks.items() if name in below)
    counts = {}
    for filter_, metric, n, value, stderr in one.metrics:
        entry[f"{metric},{filter_}"] = value
        if stderr is not None:
            entry[f"{metric}_stderr,{filter_}"] = stderr
        if n is not None:
            counts[f"{metric},{filter_}"] = n
    return entry | ({"sample_count": counts} if counts else {})


def _shots(tasks: Sequence[RescoredTask], own: _Own) -> dict[str, Any]:
    logged = own.field("n-shot")
    told = {one.name: logged.get(one.name, one.num_fewshot) for one in tasks}
    return {name: value for name, value in told.items() if value is not None}


def _directions(
    tasks: Sequence[RescoredTask],
    groups: Sequence[RescoredGroup],
    own: _Own,
    members: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Say of which metrics higher is better; of a group, where its members are as they were."""
    logged = own.field("higher_is_better")
    found: dict[str, Any] = {one.name: one.higher_is_better for one in tasks}
    for one in groups:
        below = leaves(one.name, members)
        if one.name in logged and all(found.get(name) == logged.get(name) for name in below):
            found[one.name] = logged[one.name]
    return found


def _counts(one: RescoredTask, own: _Own) -> dict[str, int]:
    logged = own.field("n-samples").get(one.name)
    original = logged.get("original") if isinstance(logged, dict) else one.n_original
    known = {} if original is None else {"original": original}
    return known | {"effective": one.sample_len}


def _facts(
    run: RescoredRun, tasks: Sequence[RescoredTask], own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return fields about the files and what made them; those that are known take their place."""
    facts: dict[str, Any] = {
        "task_hashes": {one.name: one.task_hash for one in tasks if one.task_hash is not None}
    }
    if run.lm_eval_version is not None:
        facts["lm_eval_version"] = run.lm_eval_version
    if not own.get("model_name"):
        folder = model_folder(run.model)
        facts |= {"model_name": run.model, "model_name_sanitized": folder}
    return facts


def _sorted(named: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(named.items()))
