"""Stores with odd content, written through the functions that ingest uses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescore_db.json_exact import doc_hash, escaped, storable, text_hash
from rescore_db.store import content, runs, schema
from rescore_db.store.bulk import lock_content, write_rows
from rescore_db.store.engine import atomic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

DAY = "2026-03-02T10:04:27.318274"


@dataclass(frozen=True)
class Answered:
    """One document, and what was asked and answered about it; anything but a text is JSON."""

    doc: Any
    prompt: Any = "a prompt"
    response: Any = "an answer"
    target: str = "a target"


def add_run(
    engine: Engine, task: str, samples: Sequence[Answered], *, model: str = "m", date: str = DAY
) -> tuple[int, int]:
    """Store a run of one task; return the ids of the run and of its evaluation."""
    with atomic(engine) as conn:
        lock_content(conn)
        run_id = runs.add_run(conn, runs.NewRun(model, date, "0.4.13")).id
        return run_id, add_evaluation(conn, run_id, task, samples)


def add_evaluation(conn: Connection, run_id: int, task: str, samples: Sequence[Answered]) -> int:
    """Store one task's samples in a run; return the evaluation's id."""
    new = runs.NewTask(task, "1.0", text_hash(task), "generate_until", "{}")
    task_id = runs.add_task(conn, new)
    key = runs.add_evaluation(conn, run_id, task_id, runs.EvaluationFacts(num_fewshot=5))
    rows = []
    seen: dict[int, int] = {}
    for position, one in enumerate(samples):
        doc_id = _doc(conn, one.doc)
        nth = seen.get(doc_id, 0)
        seen[doc_id] = nth + 1
        response = _text(conn, schema.response, one.response)
        target = _text(conn, schema.target, one.target)
        request = _request(conn, one.prompt)
        rows.append((key, position, doc_id, nth, request, response, target, position))
    write_rows(conn, schema.sample, rows)
    table = schema.evaluation
    counts = {"n_samples": len(rows), "n_lines": len(rows)}
    conn.execute(table.update().where(table.c.id == key).values(counts))
    return key


def _doc(conn: Connection, doc: Any) -> int:
    text = json.dumps(doc, ensure_ascii=False)
    if storable(text)[1] is not None:
        text = escaped(doc)
    return content.add_docs(conn, {doc_hash(doc): text})[doc_hash(doc)]


def _columns(value: Any) -> content.Columns:
    is_json = not isinstance(value, str)
    return (is_json, *storable(json.dumps(value) if is_json else value))


def _text(conn: Connection, table: Any, value: Any) -> int:
    columns = _columns(value)
    key = text_hash(columns[1] + (columns[2] or ""))
    return content.add_texts(conn, table, {key: columns})[key]


def _request(conn: Connection, prompt: Any) -> int:
    columns = _columns(prompt)
    key = text_hash(columns[1])
    known = content.find_requests(conn, [key])
    if key not in known:
        part = content.NewPart(key, '[{"until": ["\\n"]}]')
        new = {key: content.NewRequest(None, None, (part,))}
        known = content.add_requests(conn, new, {key: columns})
    return known[key].id
