"""What else differs between two sides, besides the numbers: said in a few words each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rescore_db import json_exact

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rescore_db.store.metrics import Conditions

SHOWN_FIELDS: Final = 6

_RUN_WIDE: Final = {
    "chat template": ("chat_template_sha", "chat_template"),
    "system instruction": ("system_instruction_sha", "system_instruction"),
    "few-shot examples as turns": ("fewshot_as_multiturn",),
}
"""What holds for a whole run, with the keys of a results file that tell, the best first."""


@dataclass(frozen=True, slots=True)
class RunConditions:
    """What a whole run was made under, as its results file says.

    Attributes:
        run_id: primary key of `run`.
        label: the text by which users know this side.
        lm_eval_version: None where nothing tells.
        settings: chat template and so on, by the names above, each with what identifies it;
            empty without a results file.
        groups: names of groups, each with its members: tasks or other groups.
    """

    run_id: int
    label: str
    lm_eval_version: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)


def run_conditions(run_id: int, label: str, results_json: str | None) -> RunConditions:
    """Read from a results file what its run was made under; None stands for no file."""
    results = json_exact.loads(results_json) if results_json is not None else None
    if not isinstance(results, dict):
        return RunConditions(run_id, label)
    config = results.get("config")
    arguments = config.get("gen_kwargs") if isinstance(config, dict) else None
    settings = {
        name: next((results[key] for key in keys if results.get(key)), None)
        for name, keys in _RUN_WIDE.items()
    }
    settings["generation arguments"] = arguments or None
    groups = results.get("group_subtasks")
    version = results.get("lm_eval_version")
    return RunConditions(
        run_id,
        label,
        version if isinstance(version, str) else None,
        settings,
        groups if isinstance(groups, dict) else {},
    )


def run_differences(a: RunConditions, b: RunConditions) -> list[str]:
    """Say in which settings two runs differ, as far as both are known."""
    found = []
    for name, left in a.settings.items():
        if name not in b.settings or left == (right := b.settings[name]):
            continue
        if left is None or right is None:
            found.append(f"{name}: only {'b' if left is None else 'a'}")
        else:
            found.append(f"{name}: not the same")
    if (
        None not in (a.lm_eval_version, b.lm_eval_version)
        and a.lm_eval_version != b.lm_eval_version
    ):
        found.append(f"lm-eval version: {a.lm_eval_version} against {b.lm_eval_version}")
    return found


def task_differences(conn: Connection, a: Conditions, b: Conditions) -> list[str]:
    """Say how two evaluations of a task differ in definition and shots."""
    found = []
    if a.task_hash != b.task_hash and (fields := _differing_fields(conn, a, b)) != ["num_fewshot"]:
        versions = f"version {a.task_version}"
        if a.task_version != b.task_version:
            versions += f" against {b.task_version}"
        shown = ", ".join(fields[:SHOWN_FIELDS]) + (" …" if len(fields) > SHOWN_FIELDS else "")
        found.append(f"task definition differs ({versions})" + (f": {shown}" if shown else ""))
    if a.num_fewshot != b.num_fewshot and None not in (a.num_fewshot, b.num_fewshot):
        found.append(f"few-shot examples: {a.num_fewshot} against {b.num_fewshot}")
    return found


def _differing_fields(conn: Connection, a: Conditions, b: Conditions) -> list[str]:
    """Return the names of the fields in which two definitions differ, as far as both are known."""
    from rescore_db.store.metrics import task_definition

    return json_exact.differing_keys(
        *(task_definition(conn, one.task, one.task_hash) for one in (a, b))
    )


def scoring_differences(a: Conditions, b: Conditions) -> list[str]:
    """Say how the scoring of two evaluations differs, beyond what a user asked for.

    Two scorings of one evaluation differ on purpose; those of two runs should not.
    """
    if a.evaluation_id == b.evaluation_id:
        return []
    found = []
    if a.recipe_id != b.recipe_id:
        logged = [name for name, side in (("a", a), ("b", b)) if side.recipe_id is None]
        found.append(
            f"only {'b' if logged == ['a'] else 'a'} is rescored, the other is as lm-eval logged it"
            if logged
            else "scored by different recipes"
        )
    elif a.environment_id != b.environment_id:
        found.append("scored in different environments")
    return found


def doubts(name: str, side: Conditions) -> list[str]:
    """Say why one side's numbers are not to be trusted blindly.

    Args:
        name: what the side is called in messages, "" where there is only one.
        side: the side.
    """
    prefix = f"{name}: " if name else ""
    found = [f"{prefix}incomplete: not all samples are in the store"] if side.incomplete else []
    if side.status != "complete":
        found.append(f"{prefix}{side.status}" + (f": {side.reason}" if side.reason else ""))
    return found


def is_declared_mean(definition_json: str | None, metric: str) -> bool:
    """Answer whether a task's definition says that a metric is aggregated by its mean."""
    definition = json_exact.loads(definition_json) if definition_json is not None else None
    metrics = definition.get("metric_list") if isinstance(definition, dict) else None
    return any(
        isinstance(entry, dict)
        and entry.get("metric") == metric
        and entry.get("aggregation") == "mean"
        for entry in (metrics if isinstance(metrics, list) else [])
    )
