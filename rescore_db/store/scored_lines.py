"""The lines of a samples file as lm-eval 0.4.13 would have written them for a scoring.

One line a filter and selected sample: what was asked and answered is the sample's, filtered
responses and metrics are the scoring's.  Responses of releases that logged numbers become the
texts that lm-eval writes today.  What nobody knows (the `doc_id` or target of responses that were
made elsewhere) is left out, or null where a line needs it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from rescore_db import json_exact
from rescore_db.store import schema, selection
from rescore_db.store.line_parts import (
    Hashes,
    named_arguments,
    read_filtered_at,
    read_hashes,
    read_scores_at,
)
from rescore_db.store.samples import among, count_samples, read_samples
from rescore_db.store.scored import read_aggregates, read_filters
from rescore_db.store.scores import first_responses

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from rescore_db.store.samples import StoredSample
    from rescore_db.store.scored import StoredFilter
    from rescore_db.store.scorings import Standing

BATCH: Final = 500  # samples in memory at a time
LOGGED_ONLY: Final = ("doc_id", *Hashes._fields)
"""Fields that a line may have logged otherwise than the sample's columns say."""


def iter_scored_lines(conn: Connection, standing: Standing) -> Iterator[dict[str, Any]]:
    """Yield the lines of one evaluation under a scoring, in lm-eval's order.

    That is filter by filter, in each the selected samples by position.

    Args:
        conn: a connection.
        standing: of the scored evaluation; all of it is scored.
    """
    for one in read_filters(conn, standing.id):
        for positions in _batches(conn, standing):
            yield from _lines_of(conn, standing.evaluation_id, one, positions)


def lines_hash(conn: Connection, standing: Standing) -> str | None:
    """Return lm-eval's `task_hashes` of a scored evaluation: the SHA-256 over its lines' hashes.

    None where a line lacks one of the hashes, as lm-eval's own lines never do.
    """
    digest = hashlib.sha256()
    for _ in read_filters(conn, standing.id):
        for positions in _batches(conn, standing):
            facts = _logged_facts(conn, standing.evaluation_id, positions)
            for position in positions:
                hashes = [facts[position].get(name) for name in Hashes._fields]
                if not all(isinstance(one, str) for one in hashes):
                    return None
                digest.update("".join(map(str, hashes)).encode())
    return digest.hexdigest()


def _batches(conn: Connection, standing: Standing) -> Iterator[Sequence[int]]:
    """Yield the selected positions, some at a time."""
    chosen = selection.to_positions(standing.selection, count_samples(conn, standing.evaluation_id))
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]


def _lines_of(
    conn: Connection, evaluation_id: int, one: StoredFilter, positions: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield the lines of one filter at some positions."""
    facts = _logged_facts(conn, evaluation_id, positions)
    filtered = read_filtered_at(conn, one.id, positions)
    scores = read_scores_at(conn, read_aggregates(conn, one.id), positions)
    for sample in read_samples(conn, evaluation_id, positions):
        at = sample.position
        metrics = {name: values[at] for name, values in scores.items() if at in values}
        known = facts[at]
        line = {
            **({"doc_id": known["doc_id"]} if "doc_id" in known else {}),
            "doc": json_exact.loads(sample.doc),
            "target": _target(sample),
            "arguments": named_arguments(sample),
            "resps": sample.responses,
            "filtered_resps": filtered.get(at, first_responses(sample.responses)),
            "filter": one.name,
            "metrics": list(metrics),
            **{name: known[name] for name in Hashes._fields if name in known},
        }
        yield _written(
            {**line, **metrics}
        )  # a metric may be named like a field: it takes its place


def _logged_facts(
    conn: Connection, evaluation_id: int, positions: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Return position → `doc_id` and hashes: as logged where that was odd, else as content has it.

    A hash in the log may differ from what the content gives, as those of images do.
    """
    found: dict[int, dict[str, Any]] = {}
    sample, request, target = schema.sample, schema.request, schema.target
    query = (
        select(sample.c.position, request.c.logged_doc_id, target.c.is_json, target.c.text)
        .join(request, request.c.id == sample.c.request_id)
        .join(target, target.c.id == request.c.target_id)
        .where(sample.c.evaluation_id == evaluation_id, among(sample.c.position, positions))
    )
    hashes = read_hashes(conn, evaluation_id, positions)
    for at, doc_id, target_is_json, text in conn.execute(query):
        known = {"doc_id": doc_id, **hashes[at]._asdict()}
        if target_is_json and text == "null":
            known["target_hash"] = None  # nobody knows the target
        found[at] = {name: value for name, value in known.items() if value is not None}
    for at, line in _odd_lines(conn, evaluation_id, positions):
        found[at].update({name: line[name] for name in LOGGED_ONLY if name in line})
    return found


def _odd_lines(
    conn: Connection, evaluation_id: int, positions: Sequence[int]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield position and logged line where it was kept whole, the first filter's last."""
    line = schema.line
    query = (
        select(line.c.position, line.c.json)
        .where(
            line.c.evaluation_id == evaluation_id,
            among(line.c.position, positions),
            line.c.json.is_not(None),
        )
        .order_by(line.c.position, line.c.filter_index.desc())
    )
    for position, text in conn.execute(query):
        parsed = json_exact.loads(text)
        listed = parsed.get("metrics")
        scored = listed if isinstance(listed, list) else []
        yield position, {key: value for key, value in parsed.items() if key not in scored}


def _written(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line with texts where lm-eval's tracker makes texts of whatever stands there."""
    for name in ("resps", "filtered_resps"):
        line[name] = _as_texts(line[name])
    if line["target"] is not None:
        line["target"] = str(line["target"])
    return line


def _target(sample: StoredSample) -> Any:  # noqa: ANN401 - as logged
    """Return a target; None says that nobody knows it."""
    return json_exact.loads(sample.target) if sample.target_is_json else sample.target


def _as_texts(value: Any) -> Any:  # noqa: ANN401 - as logged
    """Return responses with texts inside, as lm-eval's `sanitize_list` writes them."""
    if isinstance(value, list):
        return [_as_texts(item) for item in value]
    return str(value)
