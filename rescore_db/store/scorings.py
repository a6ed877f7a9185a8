"""How far scorings are: which there are of a run, what stands under them, what is still to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BindParameter, Connection, Delete, bindparam, delete, select, update

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.json_exact import text_hash
from rescore_db.records import DriftSign
from rescore_db.store import schema

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Column, Row

FINAL: Final = frozenset({"complete", "nondeterministic", "unsupported"})
"""Statuses of a scored evaluation in which nothing is left to do."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one evaluation is under a scoring.

    Attributes:
        id: of the scored evaluation.
        evaluation_id: which evaluation.
        status: see the schema.
        selection: which positions, as text.
        n: how many they are.
        environment_json: what it was begun in.
        warnings: what users should know.
        shards: the half-open ranges of the selection that are done.
    """

    id: int
    evaluation_id: int
    status: str
    selection: str
    n: int
    environment_json: str | None
    warnings: tuple[str, ...] = ()
    shards: frozenset[tuple[int, int]] = frozenset()

    @property
    def is_scored(self) -> bool:
        """Whether all of the selection is scored, aggregated or not."""
        return self.n == sum(stop - start for start, stop in self.shards)


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What scoring a range of samples had to say.

    Attributes:
        signs: how the definition differs from the logged one.
        errors: one text a filter and sample that could not be scored, in position order.
        chances: why another scoring may give other numbers, as far as it showed.
    """

    signs: tuple[DriftSign, ...] = ()
    errors: tuple[str, ...] = ()
    chances: tuple[str, ...] = ()


def find_scorings_of(conn: Connection, run_id: int, how_json: str) -> list[int]:
    """Return the ids of a run's scorings of the same *how*, newest attempt first."""
    table = schema.scoring
    query = (
        select(table.c.id)
        .where(table.c.run_id == run_id, table.c.hash == text_hash(how_json))
        .order_by(table.c.attempt.desc())
    )
    return list(conn.scalars(query))


def scoring_name(conn: Connection, scoring_id: int) -> str:
    """Return the name of a scoring."""
    table = schema.scoring
    return str(conn.execute(select(table.c.name).where(table.c.id == scoring_id)).scalar_one())


def scoring_names(conn: Connection, run_id: int) -> set[str]:
    """Return the names of a run's scorings."""
    table = schema.scoring
    return set(conn.scalars(select(table.c.name).where(table.c.run_id == run_id)))


def find_standing(conn: Connection, scored_evaluation_id: int) -> Standing:
    """Return how far one scored evaluation is.

    Raises:
        NotFoundError: it was deleted meanwhile.
    """
    for row in _standing_rows(conn, schema.scored_evaluation.c.id, scored_evaluation_id):
        return _standing(row, _shards(conn, [row.id]).get(row.id, frozenset()))
    msg = (
        f"scored evaluation {scored_evaluation_id} is no longer in the store: its run or scoring "
        "was deleted meanwhile"
    )
    raise NotFoundError(msg)


def standings(conn: Connection, scoring_id: int) -> dict[int, Standing]:
    """Return how far each evaluation is under a scoring, by evaluation id."""
    rows = _standing_rows(conn, schema.scored_evaluation.c.scoring_id, scoring_id)
    done = _shards(conn, [row.id for row in rows])
    return {row.evaluation_id: _standing(row, done.get(row.id, frozenset())) for row in rows}


def _standing_rows(conn: Connection, column: Column[int], key: int) -> Sequence[Row[Any]]:
    scored, environment = schema.scored_evaluation, schema.environment
    query = (
        select(scored, environment.c.content_json.label("environment_json"))
        .outerjoin(environment, environment.c.id == scored.c.environment_id)
        .where(column == key)
    )
    return conn.execute(query).all()


def _standing(row: Row[Any], shards: frozenset[tuple[int, int]]) -> Standing:
    return Standing(
        id=row.id,
        evaluation_id=row.evaluation_id,
        status=row.status,
        selection=row.selection,
        n=row.n,
        environment_json=row.environment_json,
        warnings=tuple(map(str, json_exact.loads(row.warnings_json))),
        shards=shards,
    )


def _shards(conn: Connection, keys: Sequence[int]) -> dict[int, frozenset[tuple[int, int]]]:
    table = schema.scored_shard
    found: dict[int, set[tuple[int, int]]] = {}
    query = select(table.c.scored_evaluation_id, table.c.start, table.c.stop)
    for key, start, stop in conn.execute(query.where(table.c.scored_evaluation_id.in_(keys))):
        found.setdefault(key, set()).add((start, stop))
    return {key: frozenset(shards) for key, shards in found.items()}


def lock_scored(conn: Connection, scored_evaluation_id: int) -> None:
    """Keep other writers of this scored evaluation waiting until the transaction ends."""
    table = schema.scored_evaluation
    query = select(table.c.id).where(table.c.id == scored_evaluation_id)
    conn.execute(query.with_for_update())  # SQLite: the transaction itself is the lock


def may_add_shard(conn: Connection, before: Standing, extent: tuple[int, int]) -> bool:
    """Lock a scored evaluation; tell whether a range of it is still to be written.

    Someone else may have written it meanwhile: another command, or a child that was thought dead;
    or have begun it anew in another environment.

    Args:
        conn: a connection in a transaction.
        before: how it stood when the range was read.
        extent: first index into the selection, and the one behind the last.
    """
    lock_scored(conn, before.id)
    now = find_standing(conn, before.id)
    start, stop = extent
    overlaps = any(a < stop and start < b for a, b in now.shards)
    is_same = now.environment_json == before.environment_json
    return now.status == "pending" and is_same and not overlaps


def may_finish(conn: Connection, before: Standing) -> bool:
    """Lock a scored evaluation; tell whether it still is what was aggregated, and no one was first.

    Args:
        conn: a connection in a transaction.
        before: how it stood when its scores were read.
    """
    lock_scored(conn, before.id)
    now = find_standing(conn, before.id)
    is_same = (now.shards, now.environment_json) == (before.shards, before.environment_json)
    return now.status == "pending" and now.is_scored and is_same


def free_name(wanted: str, taken: Collection[str]) -> str:
    """Return a name for a scoring, with a number behind it if it is taken."""
    if wanted not in taken:
        return wanted
    return next(name for n in range(2, len(taken) + 3) if (name := f"{wanted}-{n}") not in taken)


def reset(conn: Connection, scored_evaluation_id: int) -> None:
    """Forget the scores of an unfinished scored evaluation."""
    for statement in _forgetting():
        conn.execute(statement, {"scored": scored_evaluation_id})
    set_status(conn, scored_evaluation_id, "pending", None, ())


@cache
def _forgetting() -> tuple[Delete, ...]:
    """Return what `reset` does, made once: ingest does it for each samples file."""
    key: BindParameter[int] = bindparam("scored")
    filters = select(schema.scored_filter.c.id).where(
        schema.scored_filter.c.scored_evaluation_id == key
    )
    aggregates = select(schema.aggregate.c.id).where(
        schema.aggregate.c.scored_filter_id.in_(filters)
    )
    response = schema.filtered_response
    return (
        delete(schema.score).where(schema.score.c.aggregate_id.in_(aggregates)),
        delete(response).where(response.c.scored_filter_id.in_(filters)),
        delete(schema.aggregate).where(schema.aggregate.c.scored_filter_id.in_(filters)),
        *(
            delete(table).where(table.c.scored_evaluation_id == key)
            for table in (schema.scored_filter, schema.scored_shard)
        ),
    )


def set_environment(conn: Connection, scored_evaluation_id: int, environment_id: int) -> None:
    """Note in which environment a scored evaluation is begun anew."""
    table = schema.scored_evaluation
    query = update(table).where(table.c.id == scored_evaluation_id)
    conn.execute(query.values(environment_id=environment_id))


def add_shard(
    conn: Connection, scored_evaluation_id: int, extent: tuple[int, int], report: ShardReport
) -> None:
    """Note that a half-open range of the selection is scored."""
    start, stop = extent
    row = schema.scored_shard.insert().values(
        scored_evaluation_id=scored_evaluation_id,
        start=start,
        stop=stop,
        report_json=json_exact.escaped(asdict(report)),
    )
    conn.execute(row)


def shard_reports(conn: Connection, scored_evaluation_id: int) -> ShardReport:
    """Return what the shards of a scored evaluation had to say, together, in position order."""
    table = schema.scored_shard
    query = (
        select(table.c.report_json)
        .where(table.c.scored_evaluation_id == scored_evaluation_id)
        .order_by(table.c.start)
    )
    found = [json_exact.loads(text) for text in conn.scalars(query)]

    def every(field: str) -> tuple[Any, ...]:
        return tuple(item for one in found for item in one.get(field, ()))

    signs = tuple(
        DriftSign(**sign | {"first": tuple(map(tuple, sign["first"]))}) for sign in every("signs")
    )
    return ShardReport(signs, every("errors"), tuple(dict.fromkeys(every("chances"))))


def set_status(
    conn: Connection,
    scored_evaluation_id: int,
    status: str,
    reason: str | None,
    warnings: Sequence[str],
) -> None:
    """Give a scored evaluation its status; a final one needs its shards' notes no longer."""
    table = schema.scored_evaluation
    conn.execute(
        update(table)
        .where(table.c.id == scored_evaluation_id)
        .values(status=status, reason=reason, warnings_json=json_exact.escaped(list(warnings)))
    )
    if status in FINAL:
        shard = schema.scored_shard
        conn.execute(delete(shard).where(shard.c.scored_evaluation_id == scored_evaluation_id))


def fail(
    conn: Connection, scored_evaluation_id: int, reason: str, *, keep_scores: bool = True
) -> None:
    """Note why a scored evaluation could not be finished, unless someone else finished it."""
    lock_scored(conn, scored_evaluation_id)
    if find_standing(conn, scored_evaluation_id).status not in FINAL:
        if not keep_scores:
            reset(conn, scored_evaluation_id)
        set_status(conn, scored_evaluation_id, "failed", reason, ())


def grouped(conn: Connection, scoring_id: int) -> set[str]:
    """Return the groups that were aggregated under a scoring, with or without metrics."""
    table = schema.scoring
    text = conn.scalar(select(table.c.groups_json).where(table.c.id == scoring_id))
    return set(json_exact.loads(text)) if text else set()


def set_grouped(conn: Connection, scoring_id: int, groups: Collection[str]) -> None:
    """Note which groups were aggregated under a scoring."""
    table = schema.scoring
    query = update(table).where(table.c.id == scoring_id)
    conn.execute(query.values(groups_json=json_exact.escaped(sorted(groups))))
