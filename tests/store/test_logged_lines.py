from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import NotFoundError
from rescore_db.json_exact import doc_hash
from rescore_db.store import logged, schema, scores
from rescore_db.store.bulk import write_rows
from rescore_db.store.engine import atomic, reading
from rescore_db.store.logged_lines import iter_lines
from tests.store.rows import Answered, add_run

if TYPE_CHECKING:
    from sqlalchemy import Engine

UNTIL = {"until": ["\n"]}
SAMPLES = [Answered({"q": 1}), Answered({"q": 2}, response=[["a", "b"]])]
KEYS = ["doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"]


def add_lines(engine: Engine, layout: dict[str, Any]) -> int:
    """Store two samples whose lines looked like `layout`; return the evaluation's id."""
    run_id, key = add_run(engine, "t", SAMPLES)
    with atomic(engine) as conn:
        scoring_id = logged.find_or_add_scoring(conn, run_id)
        scored_id = logged.open_evaluation(conn, scoring_id, key)
        filter_id = scores.add_scored_filter(conn, scored_id, "none", index=0, n=2, complete=True)
        metric = scores.NewAggregate(filter_id, 0, "acc", "float", n=2)
        aggregate_id = scores.add_aggregate(conn, metric)
        write_rows(conn, schema.score, [(aggregate_id, 0, 1.0, None), (aggregate_id, 1, 0.5, None)])
        table = schema.evaluation
        row = table.update().where(table.c.id == key)
        conn.execute(row.values(layout_json=json.dumps(layout)))
    return key


def layout(keys: list[str], **form: Any) -> dict[str, Any]:
    shape = {"name": "none", "keys": keys, "metrics": ["acc"], "offset": 0}
    return {"filters": [shape], "form": form} if form else {"filters": [shape]}


def expected(arguments: Any) -> list[dict[str, Any]]:
    """Return the two lines without `filter` and `metrics`."""
    return [
        {
            "doc_id": position,
            "doc": one.doc,
            "target": one.target,
            "arguments": arguments,
            "resps": one.response if position else [[one.response]],
            "filtered_resps": [one.response[0][0] if position else one.response],
            "acc": 0.5 if position else 1.0,
        }
        for position, one in enumerate(SAMPLES)
    ]


def read(engine: Engine, key: int) -> list[str]:
    with reading(engine) as conn:
        return [json.dumps(line) for line in iter_lines(conn, key)]


def test_lines_have_the_fields_that_were_logged_in_their_order(engine: Engine) -> None:
    key = add_lines(engine, layout([*KEYS, "doc_hash", "acc"]))
    lines = []
    for line in expected({"gen_args_0": {"arg_0": "a prompt", "arg_1": UNTIL}}):
        score = line.pop("acc")
        own = {"filter": "none", "metrics": ["acc"], "doc_hash": doc_hash(line["doc"]).hex()}
        lines.append(json.dumps({**line, **own, "acc": score}))
    assert read(engine, key) == lines


def test_lines_of_older_releases_come_back_without_what_was_added(engine: Engine) -> None:
    added = layout([*KEYS[:6], "acc", "filter", "metrics"], added=["filter", "metrics"])
    key = add_lines(engine, added)
    named = {"gen_args_0": {"arg_0": "a prompt", "arg_1": UNTIL}}
    assert read(engine, key) == [json.dumps(line) for line in expected(named)]


def test_arguments_of_older_releases_come_back_as_lists(engine: Engine) -> None:
    form: dict[str, Any] = {"added": ["filter", "metrics"], "arguments": "lists"}
    key = add_lines(engine, layout([*KEYS, "acc"], **form))
    lists = [["a prompt", UNTIL]]
    assert read(engine, key) == [json.dumps(line) for line in expected(lists)]


def test_a_line_that_was_kept_whole_comes_back_as_it_is(engine: Engine) -> None:
    key = add_lines(engine, layout([*KEYS, "acc"], added=["filter"], arguments="lists"))
    with atomic(engine) as conn:
        write_rows(conn, schema.line, [(key, 0, 1, 0, '{"filter": 1}'), (key, 0, 0, 1, None)])
    first, second = read(engine, key)
    assert first == '{"filter": 1}'
    assert json.loads(second)["doc"] == {"q": 1}


def test_an_evaluation_without_samples_has_no_lines(engine: Engine) -> None:
    _, key = add_run(engine, "t", [])
    with pytest.raises(NotFoundError, match="has no samples"), reading(engine) as conn:
        next(iter_lines(conn, key))
