"""The lines of a samples file, built again from what is stored.

Most lines follow from their sample's columns, the scores and `evaluation.layout_json`; the others
(`line`) were kept whole.  Files of older releases lack fields, which were added to read them, and
write arguments as lists: `layout_json` says so under "form", and their lines come back as they
were.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.store import schema
from rescore_db.store.line_parts import (
    named_arguments,
    read_filtered_at,
    read_hashes,
    read_scores_at,
)
from rescore_db.store.samples import among, read_samples
from rescore_db.store.scored import (
    StoredAggregate,
    logged_evaluation,
    read_aggregates,
    read_filters,
)
from rescore_db.store.scores import first_responses

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from rescore_db.store.line_parts import Hashes
    from rescore_db.store.samples import StoredSample

BATCH: Final = 500  # lines in memory at a time
NO_LINE: Final = -1


@dataclass(frozen=True, slots=True)
class LineFilter:
    """One filter of the file, as `layout_json` has it, with its rows in the store.

    Attributes:
        id: of the scored filter.
        name: as logged.
        index: rank among the file's filters.
        keys: the lines' fields in their order; those that were added to read them are left out.
        named_arguments: arguments stand as `gen_args_0`, `arg_0` …, not as lists of lists.
        metrics: the value of the field `metrics`.
        offset: rank of a line in the file, less its sample's position.
        complete: every sample has it.
        aggregates: its metrics.
    """

    id: int
    name: str
    index: int
    keys: tuple[str, ...]
    named_arguments: bool
    metrics: Any
    offset: int
    complete: bool
    aggregates: dict[str, StoredAggregate]


def iter_lines(conn: Connection, evaluation_id: int) -> Iterator[dict[str, Any]]:
    """Yield the records of the samples file that an evaluation came from, in the file's order.

    Each is equal to the logged one as parsed by Python's `json`, key order included.

    Raises:
        NotFoundError: the evaluation has no samples.
    """
    filters = _filters(conn, evaluation_id)
    order = _file_order(conn, evaluation_id, filters)
    width = len(filters)
    for start in range(0, len(order), BATCH):
        wanted = [divmod(code, width) for code in order[start : start + BATCH] if code != NO_LINE]
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for one in filters:
            positions = sorted(position for position, index in wanted if index == one.index)
            lines = _lines_of(conn, evaluation_id, one, positions)
            found.update({(position, one.index): line for position, line in lines.items()})
        yield from (found[key] for key in wanted)


def _filters(conn: Connection, evaluation_id: int) -> list[LineFilter]:
    table = schema.evaluation
    layout = conn.scalar(select(table.c.layout_json).where(table.c.id == evaluation_id))
    logged = logged_evaluation(conn, evaluation_id)
    whole = json_exact.loads(layout) if layout else {}
    shapes, form = whole.get("filters"), whole.get("form", {})
    if not shapes or logged is None:
        msg = f"evaluation {evaluation_id} has no samples"
        raise NotFoundError(msg)
    stored = {one.name: one for one in read_filters(conn, logged)}
    return [
        LineFilter(
            id=stored[shape["name"]].id,
            name=shape["name"],
            index=index,
            keys=tuple(key for key in shape["keys"] if key not in form.get("added", ())),
            named_arguments=form.get("arguments") != "lists",
            metrics=shape["metrics"],
            offset=shape["offset"],
            complete=stored[shape["name"]].complete,
            aggregates={one.metric: one for one in read_aggregates(conn, stored[shape["name"]].id)},
        )
        for index, shape in enumerate(shapes)
    ]


def _file_order(conn: Connection, evaluation_id: int, filters: Sequence[LineFilter]) -> array[int]:
    """Return for each record of the file its position and filter, as position · width + index."""
    table = schema.evaluation
    query = select(table.c.n_lines, table.c.n_samples).where(table.c.id == evaluation_id)
    n_lines, n_samples = conn.execute(query).one()
    order: array[int] = array("q", [NO_LINE]) * n_lines
    width = len(filters)
    moved: dict[tuple[int, int], int] = {}
    line = schema.line
    rows = select(line.c.position, line.c.filter_index, line.c.number)
    for position, index, number in conn.execute(rows.where(line.c.evaluation_id == evaluation_id)):
        moved[position, index] = number
    for one in filters:
        for position in range(n_samples) if one.complete else _positions(conn, one):
            rank = moved.get((position, one.index), one.offset + position)
            order[rank] = position * width + one.index
    return order


def _positions(conn: Connection, one: LineFilter) -> list[int]:
    table = schema.filtered_response
    query = select(table.c.position).where(table.c.scored_filter_id == one.id)
    return list(conn.scalars(query))


def _lines_of(
    conn: Connection, evaluation_id: int, one: LineFilter, positions: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Return the lines of one filter at some positions."""
    if not positions:
        return {}
    lines = _kept_lines(conn, evaluation_id, one, positions)
    left = [position for position in positions if position not in lines]
    if not left:
        return lines
    hashes = read_hashes(conn, evaluation_id, left)
    filtered = read_filtered_at(conn, one.id, left)
    scores = read_scores_at(conn, one.aggregates.values(), left)
    for sample in read_samples(conn, evaluation_id, left):
        at = sample.position
        values = _fields(sample, one, hashes[at])
        values["filtered_resps"] = filtered.get(at, first_responses(sample.responses))
        own = {key: values[key] if key in values else scores[key][at] for key in one.keys}
        lines[at] = own
    return lines


def _kept_lines(
    conn: Connection, evaluation_id: int, one: LineFilter, positions: Sequence[int]
) -> dict[int, dict[str, Any]]:
    line = schema.line
    query = select(line.c.position, line.c.json).where(
        line.c.evaluation_id == evaluation_id,
        line.c.filter_index == one.index,
        among(line.c.position, positions),
        line.c.json.is_not(None),
    )
    return {at: json_exact.loads(text) for at, text in conn.execute(query)}


def _fields(sample: StoredSample, one: LineFilter, hashes: Hashes) -> dict[str, Any]:
    target = json_exact.loads(sample.target) if sample.target_is_json else sample.target
    return {
        "doc_id": sample.logged_doc_id,
        "doc": json_exact.loads(sample.doc),
        "target": target,
        "arguments": named_arguments(sample) if one.named_arguments else sample.arguments,
        "resps": sample.responses,
        "filter": one.name,
        "metrics": one.metrics,
        **hashes._asdict(),
    }
