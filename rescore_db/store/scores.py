"""Scorings and what hangs on them: scored evaluations, filters, aggregates, scores, groups.

Everything here takes a connection inside `atomic()` and never commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, Connection, Update, bindparam, func, select

from rescore_db import json_exact
from rescore_db.json_exact import text_hash
from rescore_db.store import schema
from rescore_db.store.bulk import add_rows, write_rows
from rescore_db.typed_values import join, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rescore_db.records import ScoreKind

ScoreTuple = tuple[int, int, float | None, str | None]
"""(aggregate id, position, value, exact), a row of `score`."""

FilteredTuple = tuple[int, int, bool, str, str | None]
"""(scored filter id, position, is_json, text, exact), a row of `filtered_response`."""


@dataclass(frozen=True, slots=True)
class NewScoredEvaluation:
    """One evaluation under one scoring, before it has an id; fields as in the schema."""

    scoring_id: int
    evaluation_id: int
    n: int
    status: str
    recipe_id: int | None = None
    environment_id: int | None = None
    selection: str = ""
    subset: str | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NewAggregate:
    """One metric of one scored filter, before it has an id; `value` and `stderr` are exact."""

    scored_filter_id: int
    index: int
    metric: str
    kind: ScoreKind
    n: int
    value: Any = None
    stderr: Any = None
    higher_is_better: bool | None = None


@dataclass(frozen=True, slots=True)
class NewGroupMetric:
    """One metric of one group under one scoring; `value` and `stderr` are exact."""

    scoring_id: int
    group: str
    filter: str
    metric: str
    n: int | None
    value: Any
    stderr: Any


def now() -> str:
    """Return the time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def number_columns(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - as logged
    """Return the two columns of an aggregate's number: `{name: …, name_exact: …}`.

    None (nothing known) leaves both empty; "N/A", NaN and other JSON keep their exact text.
    """
    number, exact = (None, None) if value is None else split(value, "float")
    return {name: number, f"{name}_exact": exact}


def exact_number(number: float | None, exact: str | None) -> Any:  # noqa: ANN401 - as logged
    """Give back what `number_columns` split."""
    return join(number, exact, "float")


def add_scoring(conn: Connection, *, run_id: int, kind: str, name: str, how_json: str) -> int:
    """Store a scoring of a run; its attempt is one more than the last of the same *how*.

    Raises:
        AlreadyExistsError: the run has a scoring of this name (raised by `atomic()`).
    """
    table = schema.scoring
    digest = text_hash(how_json)
    last = select(func.max(table.c.attempt)).where(table.c.run_id == run_id, table.c.hash == digest)
    row = table.insert().values(
        run_id=run_id,
        kind=kind,
        name=name,
        hash=digest,
        how_json=how_json,
        attempt=(conn.scalar(last) or 0) + 1,
        created_at=datetime.now(UTC).isoformat(timespec="microseconds"),  # dates exported files
    )
    return int(conn.execute(row.returning(table.c.id)).scalar_one())


def add_scored_evaluation(conn: Connection, new: NewScoredEvaluation) -> int:
    """Store that an evaluation stands under a scoring; return its id."""
    return add_scored_evaluations(conn, [new])[0]


def add_scored_evaluations(conn: Connection, new: Sequence[NewScoredEvaluation]) -> list[int]:
    """Store that evaluations stand under scorings; return their ids."""
    rows = [
        {
            "scoring_id": one.scoring_id,
            "evaluation_id": one.evaluation_id,
            "recipe_id": one.recipe_id,
            "environment_id": one.environment_id,
            "selection": one.selection,
            "subset": one.subset,
            "status": one.status,
            "n": one.n,
            "reason": one.reason,
            "warnings_json": json_exact.escaped(list(one.warnings)),
        }
        for one in new
    ]
    return add_rows(conn, schema.scored_evaluation, rows)


def add_scored_filter(
    conn: Connection, scored_evaluation_id: int, name: str, *, index: int, n: int, complete: bool
) -> int:
    """Store a filter of a scored evaluation; return its id."""
    row = {
        "scored_evaluation_id": scored_evaluation_id,
        "name": name,
        "index": index,
        "n": n,
        "complete": complete,
    }
    return add_rows(conn, schema.scored_filter, [row])[0]


def add_scored_filters(
    conn: Connection, new: Sequence[tuple[int, str, int]]
) -> dict[tuple[int, str], int]:
    """Store filters that no sample has: (scored evaluation, name, index); return their ids."""
    rows = [
        {"scored_evaluation_id": key, "name": name, "index": index, "n": 0, "complete": False}
        for key, name, index in new
    ]
    ids = add_rows(conn, schema.scored_filter, rows)
    return {(key, name): one for (key, name, _), one in zip(new, ids, strict=True)}


def add_aggregate(conn: Connection, new: NewAggregate) -> int:
    """Store a metric of a scored filter, with or without its aggregate; return its id."""
    return add_aggregates(conn, [new])[0]


def add_aggregates(conn: Connection, new: Sequence[NewAggregate]) -> list[int]:
    """Store metrics of scored filters, with or without their aggregates; return their ids."""
    rows = [
        {
            "scored_filter_id": one.scored_filter_id,
            "index": one.index,
            "metric": one.metric,
            "kind": one.kind,
            **_numbers(one),
        }
        for one in new
    ]
    return add_rows(conn, schema.aggregate, rows)


def set_aggregate(conn: Connection, new: NewAggregate) -> None:
    """Fill in the aggregate of a metric whose scores are all there."""
    key = {"of_filter": new.scored_filter_id, "named": new.metric}
    conn.execute(_filling(), key | _numbers(new))


@cache
def _filling() -> Update:
    """Return what `set_aggregate` does, made once."""
    table = schema.aggregate
    names = ("n", "higher_is_better", "value", "value_exact", "stderr", "stderr_exact")
    values: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in names}
    return (
        table.update()
        .where(table.c.scored_filter_id == bindparam("of_filter"))
        .where(table.c.metric == bindparam("named"))
        .values(values)
    )


def _numbers(new: NewAggregate) -> dict[str, Any]:
    return {
        "n": new.n,
        "higher_is_better": new.higher_is_better,
        **number_columns("value", new.value),
        **number_columns("stderr", new.stderr),
    }


def write_scores(conn: Connection, rows: Iterable[ScoreTuple]) -> int:
    """Store per-sample scores in bulk; return how many."""
    return write_rows(conn, schema.score, rows)


def write_filtered(conn: Connection, rows: Iterable[FilteredTuple]) -> int:
    """Store filtered responses in bulk; return how many."""
    return write_rows(conn, schema.filtered_response, rows)


def filtered_columns(filtered: Any) -> tuple[bool, str, str | None]:  # noqa: ANN401 - as logged
    """Split the filtered responses of one sample into (is_json, text, exact).

    Args:
        filtered: the list, one item a request, as lm-eval logs it (or anything else that a log
            holds in its place).
    """
    if isinstance(filtered, list) and len(filtered) == 1 and isinstance(filtered[0], str):
        return (False, *json_exact.storable(filtered[0]))
    text = json_exact.dumps(filtered)
    if json_exact.UNSTORABLE.search(text):
        text = json_exact.escaped(filtered)
    return True, text, None


def filtered_value(is_json: bool, text: str, exact: str | None) -> Any:  # noqa: ANN401, FBT001 - columns
    """Give back what `filtered_columns` split."""
    return json_exact.loads(text) if is_json else [json_exact.restored(text, exact)]


def first_responses(responses: Any) -> Any:  # noqa: ANN401 - as logged
    """Return what lm-eval's `take_first` leaves of a sample's responses, None if it fails.

    Args:
        responses: list per request of list per repeat, as logged.
    """
    if not isinstance(responses, list):
        return None
    if not all(isinstance(repeats, list) and repeats for repeats in responses):
        return None
    return [repeats[0] for repeats in responses]


def iter_values(conn: Connection, aggregate_id: int, kind: ScoreKind) -> Iterator[tuple[int, Any]]:
    """Yield (position, value) of a metric in position order, each value in its own type."""
    table = schema.score
    query = (
        select(table.c.position, table.c.value, table.c.exact)
        .where(table.c.aggregate_id == aggregate_id)
        .order_by(table.c.position)
    )
    for position, number, exact in conn.execute(query.execution_options(yield_per=5000)):
        yield position, join(number, exact, kind)


def add_group_metrics(conn: Connection, new: Sequence[NewGroupMetric]) -> None:
    """Store groups' metrics; those that the scoring has already are replaced."""
    table = schema.group_metric
    for row in new:
        same = (
            (table.c.scoring_id == row.scoring_id)
            & (table.c.group == row.group)
            & (table.c.filter == row.filter)
            & (table.c.metric == row.metric)
        )
        conn.execute(table.delete().where(same))
        conn.execute(
            table.insert().values(
                scoring_id=row.scoring_id,
                group=row.group,
                filter=row.filter,
                metric=row.metric,
                n=row.n,
                **number_columns("value", row.value),
                **number_columns("stderr", row.stderr),
            )
        )
