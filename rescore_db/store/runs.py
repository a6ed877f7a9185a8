"""Runs, their versions, tasks, evaluations and files: one row each.

Everything here takes a connection inside `atomic()` and never commits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, delete, exists, func, select, update

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.bulk import BATCH, add_rows, set_rows
from rescore_db.store.scores import now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection


@dataclass(frozen=True, slots=True)
class StoredEvaluationFile:
    """What the store has of one task of a run; `digest` is None for aggregates only."""

    id: int
    digest: bytes | None


@dataclass(frozen=True, slots=True)
class RunVersion:
    """One version of a run, with the content it has; `evaluations` by task name."""

    id: int
    version: int
    results_digest: bytes | None
    evaluations: dict[str, StoredEvaluationFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run before it has an id; fields as in the schema."""

    model: str
    date: str
    origin: str = ""
    step: int | None = None
    lm_eval_version: str | None = None
    results_json: str | None = None
    results_digest: bytes | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task definition as a run has it; `hash` identifies it together with the name."""

    name: str
    version: str
    hash: bytes
    output_type: str | None
    definition_json: str | None


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """What the results file says of an evaluation; fields as in the schema."""

    config_json: str | None = None
    n_original: int | None = None
    n_effective: int | None = None
    num_fewshot: int | None = None


def has_newer() -> ColumnElement[bool]:
    """Return the condition that a row of `run` has a newer version."""
    run, newer = schema.run, schema.run.alias("newer")
    return exists().where(
        newer.c.model == run.c.model,
        newer.c.date == run.c.date,
        newer.c.origin == run.c.origin,
        newer.c.version > run.c.version,
    )


def find_versions(conn: Connection, model: str, date: str, origin: str = "") -> list[RunVersion]:
    """Return the stored versions of a run, newest first; `origin` as in the schema."""
    run, evaluation, task = schema.run, schema.evaluation, schema.task
    found = {
        row.id: RunVersion(row.id, row.version, row.results_digest)
        for row in conn.execute(
            select(run.c.id, run.c.version, run.c.results_digest)
            .where(run.c.model == model, run.c.date == date, run.c.origin == origin)
            .order_by(run.c.version.desc())
        )
    }
    if not found:
        return []
    rows = conn.execute(
        select(evaluation.c.run_id, task.c.name, evaluation.c.id, evaluation.c.digest)
        .join(task, task.c.id == evaluation.c.task_id)
        .where(evaluation.c.run_id.in_(found))
    )
    for run_id, name, key, digest in rows:
        found[run_id].evaluations[name] = StoredEvaluationFile(key, digest)
    return list(found.values())


def is_stored(conn: Connection, run_id: int, model: str, date: str, origin: str) -> bool:
    """Tell whether an id is that of a version of a run; one that was deleted is given out again."""
    run = conn.execute(_run_by_id(), {"key": run_id}).first()
    return run is not None and (run.model, run.date, run.origin) == (model, date, origin)


@cache
def _run_by_id() -> Select[tuple[str, str, str]]:
    run = schema.run
    return select(run.c.model, run.c.date, run.c.origin).where(run.c.id == bindparam("key"))


def add_run(conn: Connection, new: NewRun) -> RunVersion:
    """Store a run as the next version of its model, date and origin."""
    table = schema.run
    last = conn.scalar(
        select(func.max(table.c.version)).where(
            table.c.model == new.model, table.c.date == new.date, table.c.origin == new.origin
        )
    )
    row = table.insert().values(
        model=new.model,
        date=new.date,
        origin=new.origin,
        step=new.step,
        version=(last or 0) + 1,
        lm_eval_version=new.lm_eval_version,
        results_json=new.results_json,
        results_digest=new.results_digest,
        notes_json=json_exact.escaped(list(new.notes)),
        ingested_at=now(),
    )
    key = int(conn.execute(row.returning(table.c.id)).scalar_one())
    return RunVersion(key, (last or 0) + 1, new.results_digest)


def set_results(conn: Connection, run_id: int, new: NewRun) -> None:
    """Give a run that was stored without one its results file."""
    row = update(schema.run).where(schema.run.c.id == run_id)
    conn.execute(
        row.values(
            step=func.coalesce(schema.run.c.step, new.step),
            lm_eval_version=new.lm_eval_version,
            results_json=new.results_json,
            results_digest=new.results_digest,
            notes_json=json_exact.escaped(list(new.notes)),
        )
    )


def add_tasks(conn: Connection, new: Sequence[NewTask]) -> list[int]:
    """Return the ids of task definitions, stored where they are new."""
    table = schema.task
    known: dict[tuple[str, bytes], int] = {}
    for start in range(0, len(new), BATCH):
        names = {one.name for one in new[start : start + BATCH]}
        query = select(table.c.name, table.c.hash, table.c.id).where(table.c.name.in_(names))
        known.update({(name, bytes(hash_)): key for name, hash_, key in conn.execute(query)})
    missing = {(one.name, one.hash): one for one in new if (one.name, one.hash) not in known}
    added = add_rows(conn, table, [asdict(one) for one in missing.values()])
    known.update(zip(missing, added, strict=True))
    return [known[one.name, one.hash] for one in new]


def add_task(conn: Connection, new: NewTask) -> int:
    """Return the id of a task definition, stored if it is new."""
    table = schema.task
    known = conn.scalar(
        select(table.c.id).where(table.c.name == new.name, table.c.hash == new.hash)
    )
    if known is not None:
        return int(known)
    return add_rows(conn, table, [asdict(new)])[0]


def add_source_file(conn: Connection, path: str, digest: bytes, size: int) -> int:
    """Note a file that was read; size in bytes, uncompressed."""
    row = {
        "path": json_exact.storable(path)[0],
        "digest": digest,
        "size": size,
        "read_at": now(),
    }
    return add_rows(conn, schema.source_file, [row])[0]


def add_evaluation(conn: Connection, run_id: int, task_id: int, facts: EvaluationFacts) -> int:
    """Store an evaluation that has no samples yet; return its id."""
    return add_evaluations(conn, run_id, [(task_id, facts)])[0]


def add_evaluations(
    conn: Connection, run_id: int, new: Sequence[tuple[int, EvaluationFacts]]
) -> list[int]:
    """Store evaluations that have no samples yet, by task id; return their ids."""
    rows = [
        {
            "run_id": run_id,
            "task_id": task_id,
            "layout_json": "{}",
            "n_samples": 0,
            "n_lines": 0,
            "n_hash_mismatches": 0,
            "hashes_logged": False,
            "incomplete": False,
            "notes_json": "[]",
            **_columns(facts),
        }
        for task_id, facts in new
    ]
    return add_rows(conn, schema.evaluation, rows)


def find_evaluation(conn: Connection, run_id: int, task_name: str) -> StoredEvaluationFile | None:
    """Return a run's evaluation of a task, None if it has none."""
    table, task = schema.evaluation, schema.task
    query = (
        select(table.c.id, table.c.digest)
        .join(task, task.c.id == table.c.task_id)
        .where(table.c.run_id == run_id, task.c.name == task_name)
    )
    row = conn.execute(query).first()
    return None if row is None else StoredEvaluationFile(*row)


def set_facts(conn: Connection, evaluation_id: int, task_id: int, facts: EvaluationFacts) -> None:
    """Give an evaluation what the results file says, which was missing so far."""
    table, task = schema.evaluation, schema.task
    before = conn.scalar(select(table.c.task_id).where(table.c.id == evaluation_id))
    row = update(table).where(table.c.id == evaluation_id)
    conn.execute(row.values(task_id=task_id, **_columns(facts)))
    is_used = select(table.c.id).where(table.c.task_id == before).exists()
    conn.execute(delete(task).where(task.c.id == before, ~is_used))


def get_results_json(conn: Connection, run_id: int) -> str | None:
    """Return a run's results file as it was, None where there was none."""
    text: str | None = conn.scalar(
        select(schema.run.c.results_json).where(schema.run.c.id == run_id)
    )
    return text


def set_samples(
    conn: Connection, evaluation_id: int, columns: Mapping[str, Any], notes: Sequence[str]
) -> None:
    """Note what an evaluation's samples are, once they are all written.

    Args:
        conn: inside `atomic()`.
        evaluation_id: which.
        columns: `digest`, `source_file_id`, `layout_json`, counts and flags, as in the schema.
        notes: what was missing or odd.
    """
    row = {"notes_json": json_exact.escaped(list(notes)), **columns}
    set_rows(conn, schema.evaluation, {evaluation_id: row})


def _columns(facts: EvaluationFacts) -> dict[str, Any]:
    return {
        "config_json": facts.config_json,
        "n_original": facts.n_original,
        "n_effective": facts.n_effective,
        "num_fewshot": facts.num_fewshot,
    }
