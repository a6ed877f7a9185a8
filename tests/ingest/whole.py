"""All that a store holds, by value: two stores with different ids can be equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from rescore_db.store import schema
from rescore_db.store.engine import open_engine, reading
from rescore_db.store.lifecycle import check
from rescore_db.store.logged_lines import iter_lines
from rescore_db.store.scored import logged_evaluation, read_aggregates, read_filters
from tests.ingest.stored import exact

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

HASHED = ("doc", "context", "target", "request")
COUNTED = (
    *("request_part", "run", "task", "evaluation", "sample", "line", "scoring", "group_metric"),
    *("scored_evaluation", "scored_filter", "filtered_response", "aggregate", "score"),
    *("source_file", "quarantine", "run_tag"),
)
RUN = ("model", "date", "origin", "version", "name", "step", "results_json", "notes_json")
EVALUATION = (
    *("n_samples", "n_lines", "n_original", "n_effective", "n_hash_mismatches", "incomplete"),
    *("digest", "config_json", "layout_json", "notes_json"),
)


def whole(engine: Engine) -> dict[str, Any]:
    """Return everything that an ingest writes, without ids and times."""
    tables = schema.metadata.tables
    with reading(engine) as conn:
        found: dict[str, Any] = {
            name: sorted(conn.scalars(select(tables[name].c.hash))) for name in HASHED
        }
        for name in COUNTED:
            count = select(func.count()).select_from(tables[name])
            found[f"{name} rows"] = conn.scalar(count)
        run = schema.run
        columns = [run.c[name] for name in RUN]
        rows = conn.execute(select(run.c.id, *columns)).all()
        found["runs"] = {
            (row.model, row.date, row.origin, row.version): (tuple(row[1:]), _run(conn, row.id))
            for row in rows
        }
    return found


def whole_at(url: str) -> dict[str, Any]:
    """Return the same of the store at an address, and what its own check finds."""
    problems = check(url).problems
    engine = open_engine(url, write=False)
    try:
        return whole(engine) | {"problems": problems}
    finally:
        engine.dispose()


def _run(conn: Connection, run_id: int) -> dict[str, Any]:
    evaluation, task = schema.evaluation, schema.task
    query = (
        select(evaluation, task.c.name)
        .join(task, task.c.id == evaluation.c.task_id)
        .where(evaluation.c.run_id == run_id)
    )
    return {row.name: _evaluation(conn, row) for row in conn.execute(query).all()}


def _evaluation(conn: Connection, row: Any) -> dict[str, Any]:
    kept = schema.quarantine
    columns = (kept.c.number, kept.c.reason, kept.c.size, kept.c.content)
    query = select(*columns).where(kept.c.evaluation_id == row.id).order_by(kept.c.number)
    scored = logged_evaluation(conn, row.id)
    return {
        "columns": tuple(getattr(row, name) for name in EVALUATION),
        "lines": [exact(line) for line in iter_lines(conn, row.id)] if row.n_samples else [],
        "quarantine": [tuple(one) for one in conn.execute(query)],
        "aggregates": []
        if scored is None
        else [
            (one.name, one.n, one.complete, metric.metric, metric.n, exact(metric.value))
            for one in read_filters(conn, scored)
            for metric in read_aggregates(conn, one.id)
        ],
    }
