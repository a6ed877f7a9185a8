"""What a results file says of a task, as rows of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore_db.harness_log.definition import definition_hash, definition_json
from rescore_db.json_exact import loads
from rescore_db.store import runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from rescore_db.harness_log.results import TaskResults


def add_task(conn: Connection, name: str, task: TaskResults | None) -> int:
    """Store a task's definition as far as it is known; return its id."""
    return runs.add_task(conn, definition(name, task))


def definition(name: str, task: TaskResults | None) -> runs.NewTask:
    """Return a task's definition as far as it is known."""
    config_json = None if task is None else task.config_json
    config = None if config_json is None else loads(config_json)
    output_type = config.get("output_type") if isinstance(config, dict) else None
    return runs.NewTask(
        name=name,
        version="null" if task is None else task.version_json,
        hash=definition_hash(config_json),
        output_type=output_type if isinstance(output_type, str) else None,
        definition_json=None if config_json is None else definition_json(config_json),
    )


def facts(task: TaskResults | None) -> runs.EvaluationFacts:
    """Return what a results file says of an evaluation."""
    if task is None:
        return runs.EvaluationFacts()
    return runs.EvaluationFacts(
        config_json=task.config_json,
        n_original=task.n_original,
        n_effective=task.n_effective,
        num_fewshot=task.num_fewshot,
    )
