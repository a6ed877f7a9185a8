"""Small stores made by hand: runs, samples and scores with the numbers that a test wants."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from rescore_db.json_exact import doc_hash, text_hash
from rescore_db.store import schema, scores
from rescore_db.store.engine import atomic
from rescore_db.typed_values import kind_of, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Engine, Table

DAY = "2026-03-02T10:04:27.318274"


@dataclass(frozen=True)
class Metric:
    """A metric's values, one a sample, None for a sample without a score."""

    values: Sequence[Any]
    aggregate: Any = "mean"  # or what to store
    higher_is_better: bool | None = True
    stderr: Any = "N/A"
    n: int | None = None

    @property
    def stored(self) -> object:
        if self.aggregate != "mean":
            return self.aggregate
        given = [value for value in self.values if value is not ABSENT]
        return sum(given) / len(given)


class _Absent:
    """No score at all, which is not a score of None."""


ABSENT = _Absent()


@dataclass(frozen=True)
class Evaluation:
    """One task's samples in one run, in file order."""

    task: str
    docs: Sequence[Any]
    metrics: Mapping[tuple[str, str], Metric]  # (filter, metric)
    prompt: str = "Q: {doc}"
    version: str = "1.0"
    definition: Mapping[str, Any] = field(default_factory=dict)
    num_fewshot: int | None = 0
    n_effective: int | None = None
    incomplete: bool = False
    status: str = "complete"
    reason: str | None = None
    has_samples: bool = True


def add_run(engine: Engine, model: str, date: str = DAY, **columns: object) -> int:
    """Store a run without evaluations; return its id."""
    row = {"origin": "", "version": 1, "notes_json": "[]", "ingested_at": scores.now(), **columns}
    table = schema.run
    with atomic(engine) as conn:
        query = table.insert().values(model=model, date=date, **row)
        return int(conn.execute(query.returning(table.c.id)).scalar_one())


def add_scoring(
    engine: Engine, run_id: int, name: str = "logged", *, how: str | None = None
) -> int:
    """Store a scoring without evaluations; return its id."""
    kind = "logged" if name == "logged" else "rescored"
    with atomic(engine) as conn:
        return scores.add_scoring(
            conn, run_id=run_id, kind=kind, name=name, how_json=how or json.dumps(name)
        )


def add_evaluation(
    engine: Engine, run_id: int, scoring_id: int, evaluation: Evaluation, recipe: str | None = None
) -> dict[tuple[str, str], int]:
    """Store an evaluation, unless the run has it, and its scores; return the aggregates' ids."""
    with atomic(engine) as conn:
        evaluation_id = _evaluation(conn, run_id, evaluation)
        scored_id = scores.add_scored_evaluation(
            conn,
            scores.NewScoredEvaluation(
                scoring_id,
                evaluation_id,
                n=len(evaluation.docs),
                status=evaluation.status,
                recipe_id=None if recipe is None else _recipe(conn, recipe),
                reason=evaluation.reason,
            ),
        )
        return _metrics(conn, scored_id, evaluation)


def add_logged_run(
    engine: Engine, model: str, *evaluations: Evaluation, date: str = DAY, **columns: object
) -> int:
    """Store a run with its logged scores; return its id."""
    run_id = add_run(engine, model, date, **columns)
    scoring_id = add_scoring(engine, run_id)
    for evaluation in evaluations:
        add_evaluation(engine, run_id, scoring_id, evaluation)
    return run_id


def add_group(
    engine: Engine, scoring_id: int, group: str, values: Mapping[tuple[str, str], Any], n: int
) -> None:
    """Store a group's metrics."""
    with atomic(engine) as conn:
        rows = [
            scores.NewGroupMetric(scoring_id, group, filter_, metric, n, value, "N/A")
            for (filter_, metric), value in values.items()
        ]
        scores.add_group_metrics(conn, rows)


# ------------------------------------------------------------------------------------ what it does


def _once(conn: Connection, table: Table, digest: bytes, **values: object) -> int:
    """Return the id of a content row, stored if it is new."""
    known = conn.scalar(select(table.c.id).where(table.c.hash == digest))
    if known is None:
        known = (conn.scalar(select(func.max(table.c.id))) or 0) + 1
        conn.execute(table.insert().values(id=known, hash=digest, **values))
    return int(known)


def _text(conn: Connection, table: Table, text: str) -> int:
    return _once(conn, table, text_hash(text), is_json=False, text=text)


def _recipe(conn: Connection, content: str) -> int:
    table = schema.recipe
    known = conn.scalar(select(table.c.id).where(table.c.hash == text_hash(content)))
    if known is not None:
        return int(known)
    row = table.insert().values(
        hash=text_hash(content), content_json=content, created_at=scores.now()
    )
    return int(conn.execute(row.returning(table.c.id)).scalar_one())


def _task(conn: Connection, evaluation: Evaluation) -> int:
    table = schema.task
    definition = json.dumps({"version": evaluation.version, **evaluation.definition})
    digest = text_hash(definition)
    query = select(table.c.id).where(table.c.name == evaluation.task, table.c.hash == digest)
    known = conn.scalar(query)
    if known is not None:
        return int(known)
    row = table.insert().values(
        name=evaluation.task,
        version=json.dumps(evaluation.version),
        hash=digest,
        definition_json=definition,
    )
    return int(conn.execute(row.returning(table.c.id)).scalar_one())


def _evaluation(conn: Connection, run_id: int, evaluation: Evaluation) -> int:
    table = schema.evaluation
    task_id = _task(conn, evaluation)
    query = select(table.c.id).where(table.c.run_id == run_id, table.c.task_id == task_id)
    known = conn.scalar(query)
    if known is not None:
        return int(known)
    n = len(evaluation.docs) if evaluation.has_samples else 0
    row = table.insert().values(
        run_id=run_id,
        task_id=task_id,
        layout_json="{}",
        n_samples=n,
        n_lines=n,
        num_fewshot=evaluation.num_fewshot,
        n_effective=evaluation.n_effective,
        n_hash_mismatches=0,
        hashes_logged=True,
        incomplete=evaluation.incomplete,
        notes_json="[]",
    )
    evaluation_id = int(conn.execute(row.returning(table.c.id)).scalar_one())
    if n:
        _samples(conn, evaluation_id, evaluation)
    return evaluation_id


def _samples(conn: Connection, evaluation_id: int, evaluation: Evaluation) -> None:
    seen: dict[int, int] = {}
    target = _text(conn, schema.target, "a target")
    for position, doc in enumerate(evaluation.docs):
        text = json.dumps(doc)
        body = doc if conn.dialect.name == "postgresql" else None  # as ingest writes it
        doc_id = _once(conn, schema.doc, doc_hash(doc), text=text, body=body)
        prompt = evaluation.prompt.format(doc=text)
        context_id = _text(conn, schema.context, prompt)
        request_id = _once(
            conn,
            schema.request,
            text_hash(text + prompt),
            doc_id=doc_id,
            target_id=target,
            context_id=context_id,
            rest_json="[[]]",
        )
        row = schema.sample.insert().values(
            evaluation_id=evaluation_id,
            position=position,
            doc_id=doc_id,
            nth=seen.get(doc_id, 0),
            request_id=request_id,
            response_is_json=False,
            response="an answer",
        )
        conn.execute(row)
        seen[doc_id] = seen.get(doc_id, 0) + 1


def _metrics(
    conn: Connection, scored_id: int, evaluation: Evaluation
) -> dict[tuple[str, str], int]:
    filters: dict[str, int] = {}
    found = {}
    for index, ((filter_, name), metric) in enumerate(evaluation.metrics.items()):
        if filter_ not in filters:
            filters[filter_] = scores.add_scored_filter(
                conn,
                scored_id,
                filter_,
                index=len(filters),
                n=len(evaluation.docs),
                complete=True,
            )
        given = {i: value for i, value in enumerate(metric.values) if value is not ABSENT}
        kinds = {kind_of(value) for value in given.values()}
        kind = kinds.pop() if len(kinds) == 1 else "json"
        n = len(given) if metric.n is None else metric.n
        found[filter_, name] = scores.add_aggregate(
            conn,
            scores.NewAggregate(
                filters[filter_],
                index,
                name,
                kind,
                n=n,
                value=metric.stored,
                stderr=metric.stderr,
                higher_is_better=metric.higher_is_better,
            ),
        )
        if evaluation.has_samples:
            rows = [(found[filter_, name], i, *split(v, kind)) for i, v in given.items()]
            scores.write_scores(conn, rows)
    return found
