"""What a store holds after an ingest, in forms that tests compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from rescore_db.store import schema
from rescore_db.store.engine import reading
from rescore_db.store.logged_lines import iter_lines
from rescore_db.store.scored import logged_evaluation, read_aggregates, read_filters

if TYPE_CHECKING:
    from sqlalchemy import Engine

CONTENT = ("doc", "context", "target", "request", "request_part")
ALL = (*CONTENT, "run", "task", "evaluation", "sample", "score", "aggregate", "scored_filter")


def exact(value: object) -> str:
    """JSON text in which NaN, -0.0, big integers and the order of keys tell."""
    return json.dumps(value)


def counts(engine: Engine, *names: str) -> dict[str, int]:
    """Rows of some tables, of all that an ingest writes unless named."""
    tables = schema.metadata.tables
    with reading(engine) as conn:
        return {
            name: conn.scalar(select(func.count()).select_from(tables[name])) or 0
            for name in names or ALL
        }


def column(engine: Engine, name: str, *where: Any) -> list[Any]:
    """Values of a column ("run.version"), in the order of ids."""
    table, _, field = name.partition(".")
    found = schema.metadata.tables[table]
    query = select(found.c[field]).where(*where).order_by(*found.primary_key.columns)
    with reading(engine) as conn:
        return list(conn.scalars(query))


def evaluation_id(engine: Engine, task: str, version: int = 1) -> int:
    """The evaluation of a task in a version of the only run."""
    query = (
        select(schema.evaluation.c.id)
        .join(schema.task, schema.task.c.id == schema.evaluation.c.task_id)
        .join(schema.run, schema.run.c.id == schema.evaluation.c.run_id)
        .where(schema.task.c.name == task, schema.run.c.version == version)
    )
    with reading(engine) as conn:
        return int(conn.execute(query).scalar_one())


def lines_back(engine: Engine, task: str, version: int = 1) -> list[str]:
    """The lines of a samples file, built again."""
    with reading(engine) as conn:
        return [exact(line) for line in iter_lines(conn, evaluation_id(engine, task, version))]


def aggregates(engine: Engine, task: str, version: int = 1) -> dict[tuple[str, str], Any]:
    """(filter, metric) → (value, stderr, number of scores) as logged."""
    with reading(engine) as conn:
        key = logged_evaluation(conn, evaluation_id(engine, task, version))
        assert key is not None
        return {
            (one.name, metric.metric): (metric.value, metric.stderr, metric.n)
            for one in read_filters(conn, key)
            for metric in read_aggregates(conn, one.id)
        }
