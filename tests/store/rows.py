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
        run_id = runs.add_run(conn, runs.NewRun(model, date, lm_eval_version="0.4.13")).id
        return run_id, add_evaluation(conn, run_id, task, samples)


def add_evaluation(conn: Connection, run_id: int, task: str, samples: Sequence[Answered]) -> int:
    """Store one task's samples in a run; return the evaluation's id."""
    new = runs.NewTask(task, "1.0", text_hash(task), "generate_until", "{}")
    task_id = runs.add_task(conn, new)
    key = runs.add_evaluation(conn, run_id, task_id, runs.EvaluationFacts(num_fewshot=5))
    rows = []
    seen: dict[int, int] = {}
    for position, one in enumerate(samples):
        request_id, doc_id = _request(conn, one, position)
        nth = seen.get(doc_id, 0)
        seen[doc_id] = nth + 1
        rows.append((key, position, doc_id, nth, request_id, *_columns(one.response)))
    write_rows(conn, schema.sample, rows)
    table = schema.evaluation
    counts = {"n_samples": len(rows), "n_lines": len(rows)}
    conn.execute(table.update().where(table.c.id == key).values(counts))
    return key


def _doc(conn: Connection, doc: Any) -> dict[bytes, int]:
    text = json.dumps(doc, ensure_ascii=False)
    if storable(text)[1] is not None:
        text = escaped(doc)
    return content.add_docs(conn, {doc_hash(doc): text})


def _columns(value: Any) -> content.Columns:
    is_json = not isinstance(value, str)
    return (is_json, *storable(json.dumps(value) if is_json else value))


def _text(conn: Connection, table: Any, value: Any) -> dict[bytes, int]:
    columns = _columns(value)
    return content.add_texts(conn, table, {text_hash(columns[1] + (columns[2] or "")): columns})


def _request(conn: Connection, one: Answered, logged_doc_id: int) -> tuple[int, int]:
    """Store what one sample asks; return the ids of the request and of its document."""
    ids = {
        "doc": _doc(conn, one.doc),
        "target": _text(conn, schema.target, one.target),
        "context": _text(conn, schema.context, one.prompt),
    }
    doc, target, context = (next(iter(ids[name])) for name in ("doc", "target", "context"))
    key = text_hash(f"{logged_doc_id} {doc.hex()} {target.hex()} {context.hex()}")
    known = content.find_requests(conn, [key])
    if key not in known:
        new = content.NewRequest(
            doc=doc,
            target=target,
            logged_doc_id=logged_doc_id,
            contexts=(context,),
            rest_json='[[{"until": ["\\n"]}]]',
            exact=None,
            prompt_hash=None,
            hashes_fit=None,
        )
        known = content.add_requests(conn, {key: new}, ids)
    return known[key].id, known[key].doc_id
