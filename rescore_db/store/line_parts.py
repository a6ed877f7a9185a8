"""What lines of samples files are made of, read for some positions of an evaluation at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.samples import among
from rescore_db.store.scores import filtered_value
from rescore_db.typed_values import join, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from rescore_db.store.samples import StoredSample
    from rescore_db.store.scored import StoredAggregate


class Hashes(NamedTuple):
    """lm-eval's hashes of a sample as its content has them, in hex; None where there is none."""

    doc_hash: str
    prompt_hash: str | None
    target_hash: str


def read_hashes(
    conn: Connection, evaluation_id: int, positions: Sequence[int]
) -> dict[int, Hashes]:
    """Return position → the hashes of a sample's content."""
    sample, doc, request, target = schema.sample, schema.doc, schema.request, schema.target
    query = (
        select(
            sample.c.position,
            doc.c.hash,
            request.c.prompt_hash,
            target.c.hash,
            target.c.is_json,
            target.c.text,
        )
        .join(doc, doc.c.id == sample.c.doc_id)
        .join(request, request.c.id == sample.c.request_id)
        .join(target, target.c.id == request.c.target_id)
        .where(sample.c.evaluation_id == evaluation_id, among(sample.c.position, positions))
    )
    found = {}
    for at, doc_hash, prompt_hash, target_hash, is_json, text in conn.execute(query):
        told = json_exact.text_hash(str(json_exact.loads(text))) if is_json else target_hash
        prompt = None if prompt_hash is None else prompt_hash.hex()
        found[at] = Hashes(doc_hash.hex(), prompt, told.hex())
    return found


def read_filtered_at(
    conn: Connection, scored_filter_id: int, positions: Sequence[int]
) -> dict[int, Any]:
    """Return position → filtered responses, where they are stored (see `filtered_response`)."""
    table = schema.filtered_response
    query = select(table.c.position, table.c.is_json, table.c.text, table.c.exact).where(
        table.c.scored_filter_id == scored_filter_id, among(table.c.position, positions)
    )
    return {at: filtered_value(*columns) for at, *columns in conn.execute(query)}


def read_scores_at(
    conn: Connection, aggregates: Iterable[StoredAggregate], positions: Sequence[int]
) -> dict[str, dict[int, Any]]:
    """Return metric → position → the value as lm-eval logs it, in the metrics' order."""
    table = schema.score
    found = {}
    for aggregate in aggregates:
        query = select(table.c.position, table.c.value, table.c.exact).where(
            table.c.aggregate_id == aggregate.id, among(table.c.position, positions)
        )
        found[aggregate.metric] = {
            at: plain(join(value, exact, aggregate.kind))
            for at, value, exact in conn.execute(query)
        }
    return found


def named_arguments(sample: StoredSample) -> Any:  # noqa: ANN401 - as logged
    """Name the requests and their arguments as lm-eval does; other shapes are as logged."""
    if not sample.is_regular:
        return sample.arguments
    return {
        f"gen_args_{index}": {f"arg_{at}": value for at, value in enumerate(one)}
        for index, one in enumerate(sample.arguments)
    }
