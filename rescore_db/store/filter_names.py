"""Names of logged filters that the log does not tell, once the task's definition tells them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from rescore_db import json_exact
from rescore_db.store import schema
from rescore_db.store.scored import logged_evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


def guessed_filters(conn: Connection, evaluation_id: int) -> list[str]:
    """Return the filters of an evaluation's log if their names were made up at ingest."""
    table = schema.evaluation
    layout = conn.scalar(select(table.c.layout_json).where(table.c.id == evaluation_id))
    whole = json_exact.loads(layout) if layout else {}
    if not whole.get("form", {}).get("guessed"):
        return []
    return [one["name"] for one in whole["filters"]]


def name_filters(conn: Connection, evaluation_id: int, defined: Sequence[str]) -> None:
    """Give an evaluation's logged filters their names, if those they have were made up.

    Scores and what export writes stay as they are.

    Args:
        conn: inside `atomic()`.
        evaluation_id: which evaluation.
        defined: the names in the task's order; if they are more or fewer than the log has
            filters, nothing happens.
    """
    guessed = guessed_filters(conn, evaluation_id)
    if not guessed or len(guessed) != len(defined) or set(guessed) & set(defined):
        return
    names = dict(zip(guessed, defined, strict=True))
    table, scored = schema.evaluation, schema.scored_filter
    layout = conn.scalar(select(table.c.layout_json).where(table.c.id == evaluation_id))
    whole = json_exact.loads(layout or "{}")
    for one in whole["filters"]:
        one["name"] = names[one["name"]]
    del whole["form"]["guessed"]
    conn.execute(
        update(table).where(table.c.id == evaluation_id).values(layout_json=json.dumps(whole))
    )
    logged = logged_evaluation(conn, evaluation_id)
    for old, new in names.items():
        conn.execute(
            update(scored)
            .where(scored.c.scored_evaluation_id == logged, scored.c.name == old)
            .values(name=new)
        )
