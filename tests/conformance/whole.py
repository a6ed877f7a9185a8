"""The whole of `rescore score`, with its scoring children, on one stored run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from rescore_db.rescoring.request import ScoreRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.shard import read_values
from rescore_db.store import schema, scored
from rescore_db.store.engine import reading
from rescore_db.store.evaluations import stored_evaluations
from rescore_db.store.results import group_results, logged_groups
from rescore_db.store.scorings import standings
from rescore_db.typed_values import plain
from tests.conformance.exact import exact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from rescore_db.records import ScoreRow


def differences_of_score(engine: Engine, run_id: int, truth: dict[str, Any]) -> Iterator[str]:
    """Score a run as the command does; say what its scoring holds that lm-eval did not compute.

    Every sample's metrics are compared with what lm-eval held in memory, aggregates and groups
    with what it logged.
    """
    score_runs(engine, [str(run_id)], ScoreRequest(workers=1, allow_unsafe=True))
    table = schema.scoring
    with reading(engine) as conn:
        names = {one.id: one.task for one in stored_evaluations(conn, [run_id], ())}
        mine = (table.c.run_id == run_id, table.c.kind != "logged")
        (scoring,) = conn.scalars(select(table.c.id).where(*mine))
        for key, standing in standings(conn, scoring).items():
            values = read_values(conn, standing.id)
            ours = {name: [exact(value) for value in found] for name, found in values.items()}
            if ours != _values(truth["samples"][names[key]]):
                yield f"`score` stored other values for {names[key]}"
            logged = scored.logged_evaluation(conn, key)
            was = {} if logged is None else _aggregates(conn, logged)
            now = _aggregates(conn, standing.id)
            if was != now:
                yield f"`score` stored other aggregates for {names[key]}: {was} became {now}"
        if _groups(group_results(conn, scoring)) != _groups(logged_groups(conn, run_id)):
            yield "`score` stored other group metrics"


def _values(lines: list[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        for metric, value in line["metrics"].items():
            found.setdefault((line["filter"], metric), []).append(value)
    return found


def _aggregates(conn: Connection, scored_evaluation: int) -> dict[tuple[str, str], str]:
    return {
        (filter_.name, one.metric): _as_logged(one)
        for filter_ in scored.read_filters(conn, scored_evaluation)
        for one in scored.read_aggregates(conn, filter_.id)
    }


def _groups(rows: list[ScoreRow]) -> dict[tuple[str, str, str], str]:
    return {(row.task, row.filter, row.metric): _as_logged(row) for row in rows}


def _as_logged(found: Any) -> str:
    """Return a value and its standard error without numpy's types, which a log does not have."""
    return exact([plain(found.value), plain(found.stderr)])
