"""What is stored, as the listings show it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, tuple_

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.records import EvaluationRow, RunDetail, RunRow, SampleDetail, SampleRow, TaskRow
from rescore_db.store import labels, schema
from rescore_db.store.quarantine import lines_of
from rescore_db.store.sample_scores import scores_of
from rescore_db.store.samples import read_samples
from rescore_db.store.scoring_listings import get_scoring, list_scorings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, Row, ScalarSelect, Select

__all__ = [
    "get_run",
    "get_sample",
    "get_scoring",
    "get_task",
    "list_runs",
    "list_samples",
    "list_scorings",
    "list_tasks",
]

_SAMPLE_ID: Final = re.compile(r"([0-9]{1,18}):([0-9]{1,18})")


# ------------------------------------------------------------------------------------------ runs


def list_runs(
    conn: Connection, *, run_id: int | None = None, tags: Collection[str] = ()
) -> list[RunRow]:
    """Return the runs, or one of them, or those with every one of some tags, as they came in.

    Raises:
        NotFoundError: no run has one of the tags.
    """
    run, evaluation, scoring = schema.run, schema.evaluation, schema.scoring
    own = evaluation.c.run_id == run.c.id
    query = select(
        run.c.id,
        run.c.name,
        run.c.model,
        func.nullif(run.c.date, "").label("date"),
        run.c.version,
        run.c.step,
        run.c.lm_eval_version,
        _count(evaluation, own).label("evaluations"),
        select(func.coalesce(func.sum(evaluation.c.n_samples), 0))
        .where(own)
        .scalar_subquery()
        .label("samples"),
        _count(scoring, scoring.c.run_id == run.c.id).label("scorings"),
        run.c.notes_json,
    ).order_by(run.c.id)
    if run_id is not None:
        query = query.where(run.c.id == run_id)
    if tags:
        labels.require_tags(conn, tags)
        query = query.where(labels.has_tags(tags))
    tagged = labels.tags_of(conn, None if run_id is None else [run_id])
    return [_run(row, tagged.get(row.id, ())) for row in conn.execute(query)]


def _run(row: Row[*tuple[Any, ...]], tags: tuple[str, ...]) -> RunRow:
    return RunRow(
        id=row.id,
        name=row.name,
        model=row.model,
        date=row.date,
        version=row.version,
        lm_eval_version=row.lm_eval_version,
        evaluations=row.evaluations,
        samples=int(row.samples),
        scorings=row.scorings,
        step=row.step,
        tags=tags,
        notes=_texts(row.notes_json),
    )


def get_run(conn: Connection, run_id: int) -> RunDetail:
    """Return one run with its evaluations and scorings.

    Raises:
        NotFoundError: there is no such run.
    """
    found = list_runs(conn, run_id=run_id)
    if not found:
        ids = map(str, conn.scalars(select(schema.run.c.id)))
        unknown = NotFoundError.among("run", str(run_id), ids)
        raise unknown
    evaluation, task = schema.evaluation, schema.task
    query = (
        select(
            evaluation,
            task.c.name,
            task.c.version,
            task.c.hash,
            lines_of(evaluation.c.id).label("quarantined"),
        )
        .join(task, task.c.id == evaluation.c.task_id)
        .where(evaluation.c.run_id == run_id)
        .order_by(evaluation.c.id)
    )
    table = schema.run
    ingested = select(table.c.ingested_at).where(table.c.id == run_id)
    return RunDetail(
        found[0],
        conn.execute(ingested).scalar_one(),
        tuple(_evaluation(row) for row in conn.execute(query)),
        tuple(list_scorings(conn, run_id=run_id)),
    )


def _evaluation(row: Row[*tuple[Any, ...]]) -> EvaluationRow:
    return EvaluationRow(
        id=row.id,
        task=row.name,
        task_version=_version(row.version),
        task_hash=row.hash.hex(),
        samples=row.n_samples,
        num_fewshot=row.num_fewshot,
        incomplete=row.incomplete,
        hash_mismatches=row.n_hash_mismatches,
        notes=_texts(row.notes_json),
        quarantined=row.quarantined,
    )


def list_tasks(conn: Connection) -> list[TaskRow]:
    """Return the task definitions by name, those of one name in the order they came in."""
    task, evaluation, sample = schema.task, schema.evaluation, schema.sample
    counts = (
        select(evaluation.c.task_id, func.count(sample.c.doc_id.distinct()).label("docs"))
        .join(sample, sample.c.evaluation_id == evaluation.c.id)
        .group_by(evaluation.c.task_id)
    )
    docs = {row.task_id: row.docs for row in conn.execute(counts)}
    query = select(task, _count(evaluation, evaluation.c.task_id == task.c.id).label("evaluations"))
    firsts: dict[str, Row[*tuple[Any, ...]]] = {}
    return [
        _task(row, firsts.setdefault(row.name, row), docs.get(row.id, 0))
        for row in sorted(conn.execute(query), key=lambda row: (row.name, row.id))
    ]


def _task(row: Row[*tuple[Any, ...]], first: Row[*tuple[Any, ...]], docs: int) -> TaskRow:
    """Return one definition; `first` is the first of its name, which may be itself."""
    differing = json_exact.differing_keys(first.definition_json, row.definition_json)
    return TaskRow(
        id=row.id,
        name=row.name,
        version=_version(row.version),
        hash=row.hash.hex(),
        output_type=row.output_type,
        evaluations=row.evaluations,
        docs=docs,
        differs_from=None if row is first else first.id,
        differing=tuple(differing),
    )


def get_task(conn: Connection, task: str) -> list[TaskRow]:
    """Return every definition of a task, by its name, or one by its id.

    Raises:
        NotFoundError: there is no such task.
    """
    known = list_tasks(conn)
    found = [row for row in known if task in (row.name, str(row.id))]
    if not found:
        unknown = NotFoundError.among("task", task, [row.name for row in known])
        raise unknown
    return found


# --------------------------------------------------------------------------------------- samples


def list_samples(
    conn: Connection,
    *,
    run_id: int | None = None,
    task: str | None = None,
    where: str | None = None,
    limit: int = 50,
) -> list[SampleRow]:
    """Return samples by evaluation and position.

    Args:
        conn: a connection; in PostgreSQL inside a transaction.
        run_id: only this run's.
        task: only of tasks with this name.
        where: only those that satisfy this condition, see `conditions.language`.
        limit: no more than so many.

    Raises:
        BadSqlError: the condition can't be read, fails, or takes too long.
        NotFoundError: no task has this name.
    """
    from rescore_db.store.predicates import matching_samples, run_condition  # sqlglot is slow

    sample, evaluation = schema.sample, schema.evaluation
    query: Select[*tuple[Any, ...]] = select(sample.c.evaluation_id, sample.c.position)
    if where is not None:
        query = matching_samples(conn, query, where)
    chosen = select(evaluation.c.id)
    if run_id is not None:
        chosen = chosen.where(evaluation.c.run_id == run_id)
    if task is not None:
        chosen = chosen.where(evaluation.c.task_id.in_(_task_ids(conn, task)))
    if run_id is not None or task is not None:
        query = query.where(sample.c.evaluation_id.in_(chosen))
    query = query.order_by(sample.c.evaluation_id, sample.c.position).limit(limit)
    return _samples(conn, [(row[0], row[1]) for row in run_condition(conn, query)])


def _task_ids(conn: Connection, name: str) -> list[int]:
    table = schema.task
    ids = list(conn.scalars(select(table.c.id).where(table.c.name == name)))
    if not ids:
        unknown = NotFoundError.among("task", name, conn.scalars(select(table.c.name)))
        raise unknown
    return ids


def _samples(conn: Connection, keys: Sequence[tuple[int, int]]) -> list[SampleRow]:
    """Return the samples with these evaluations and positions, in their order."""
    sample, evaluation, request = schema.sample, schema.evaluation, schema.request
    query = (
        select(
            sample.c.evaluation_id,
            sample.c.position,
            sample.c.doc_id.label("doc_key"),
            request.c.logged_doc_id,
            schema.run.c.id.label("run"),
            schema.run.c.model,
            schema.task.c.name.label("task"),
            schema.doc.c.text.label("doc"),
            schema.context.c.text.label("prompt"),
            schema.target.c.text.label("target"),
            sample.c.response,
        )
        .join(evaluation, evaluation.c.id == sample.c.evaluation_id)
        .join(schema.run, schema.run.c.id == evaluation.c.run_id)
        .join(schema.task, schema.task.c.id == evaluation.c.task_id)
        .join(schema.doc, schema.doc.c.id == sample.c.doc_id)
        .join(request, request.c.id == sample.c.request_id)
        .join(schema.target, schema.target.c.id == request.c.target_id)
        .outerjoin(schema.context, schema.context.c.id == request.c.context_id)
        .where(tuple_(sample.c.evaluation_id, sample.c.position).in_(keys))
        .order_by(sample.c.evaluation_id, sample.c.position)
    )
    return [_sample(row) for row in conn.execute(query)]


def _sample(row: Row[*tuple[Any, ...]]) -> SampleRow:
    return SampleRow(
        id=f"{row.evaluation_id}:{row.position}",
        run=row.run,
        model=row.model,
        task=row.task,
        position=row.position,
        doc_id=row.logged_doc_id,
        doc_key=row.doc_key,
        doc=json_exact.loads(row.doc),
        prompt=row.prompt,
        target=row.target,
        response=row.response,
    )


def get_sample(conn: Connection, sample_id: str) -> SampleDetail:
    """Return one sample with all that was asked, answered and scored.

    Args:
        conn: a connection.
        sample_id: "<evaluation>:<position>".

    Raises:
        NotFoundError: there is no such sample.
    """
    match = _SAMPLE_ID.fullmatch(sample_id.strip())
    key = (int(match[1]), int(match[2])) if match else None
    rows = _samples(conn, [key]) if key else []
    if key is None or not rows:
        msg = (
            f"no sample {sample_id!r}; a sample's id is EVALUATION:POSITION, as `rescore samples` "
            "lists it"
        )
        raise NotFoundError(msg)
    (stored,) = read_samples(conn, key[0], [key[1]])
    asked = stored.arguments
    return SampleDetail(
        sample=rows[0],
        requests=tuple(asked) if isinstance(asked, list) else (asked,),
        responses=stored.responses,
        scores=tuple(scores_of(conn, key[0], stored)),
    )


def _count(table: Any, condition: Any) -> ScalarSelect[int]:  # noqa: ANN401 - a table, a clause
    return select(func.count()).select_from(table).where(condition).scalar_subquery()


def _texts(json_list: str) -> tuple[str, ...]:
    return tuple(map(str, json_exact.loads(json_list)))


def _version(version_json: str) -> str | None:
    version = json_exact.loads(version_json)
    return None if version is None else str(version)
