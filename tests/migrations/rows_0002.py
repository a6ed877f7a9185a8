"""A store of revision 0002 with every kind of row that 0003 changes, and the lines behind it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from rescore_db.json_exact import doc_hash, dumps, escaped, restored, storable, text_hash

if TYPE_CHECKING:
    from sqlalchemy import Connection

STRANGE = "a\x00b\ud800c"
UNTIL = {"until": ["\n"], "temperature": 0.0}


def line(doc_id: Any, doc: Any, target: Any, parts: Any, resps: Any) -> dict[str, Any]:
    """Return a line as lm-eval writes it; `parts` are lists, or what stands in their place."""
    arguments = parts
    if isinstance(parts, list):
        arguments = {
            f"gen_args_{at}": {f"arg_{index}": value for index, value in enumerate(part)}
            for at, part in enumerate(parts)
        }
    prompt = parts[0][0] if isinstance(parts, list) and parts else None
    hashes = {
        "doc_hash": doc_hash(doc).hex(),
        "prompt_hash": text_hash(prompt).hex() if isinstance(prompt, str) else None,
        "target_hash": text_hash(str(target)).hex(),
    }
    return {
        "doc_id": doc_id,
        "doc": doc,
        "target": target,
        "arguments": arguments,
        "resps": resps,
        "filtered_resps": [one[0] for one in resps],
        "filter": "none",
        "metrics": ["acc"],
        **hashes,
        "acc": 1.0,
    }


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a line without some fields."""
    return {name: value for name, value in fields.items() if name not in names}


HASHES = ("doc_hash", "prompt_hash", "target_hash")
GENERATED = line(0, {"q": "ü"}, "42", [["prompt", UNTIL]], [["answer"]])
CHOICES = line(
    1,
    {"q": "x", "n": [1.0, -0.0, float("nan")]},
    [1, "ü"],
    [["prompt", " a"], ["prompt", " b"]],
    [[["-1.5", "True"]], [["-2", "False"]]],
)
CONTEXTS = line(
    2,
    "text",
    STRANGE,
    [[STRANGE, " a"], ["prompt"], [STRANGE], ["other"]],
    [[["-1.5", "True"]]] * 4,
)
UNPROMPTED = without(line(3, {}, "t", [], [[STRANGE]]), "prompt_hash")
ODD = line("no number", {}, "t", {"no": ["parts"]}, [[STRANGE]])
WRONG = {**GENERATED, "doc_hash": "0" * 64}

# evaluation → its lines, and which of them 0002 kept whole
LINES: dict[int, tuple[list[dict[str, Any]], frozenset[int]]] = {
    1: ([GENERATED, CHOICES, CONTEXTS, GENERATED], frozenset()),
    2: ([{**GENERATED, "resps": [["b"]], "filtered_resps": ["b"]}, CHOICES], frozenset()),
    3: ([without(GENERATED, *HASHES), without(CHOICES, *HASHES)], frozenset()),
    4: ([WRONG, CHOICES, ODD, {**GENERATED, "doc_id": 7}], frozenset({0, 2})),
    5: ([UNPROMPTED], frozenset()),
}
N_REQUESTS = 3 + 0 + 2 + 3 + 1
"""GENERATED, CHOICES and CONTEXTS; without hashes; WRONG, ODD, another `doc_id`; UNPROMPTED."""


class Rows:
    """Rows of 0002, gathered table by table; contents once."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self._known: dict[tuple[str, str], int] = {}

    def add(self, table: str, **row: Any) -> None:
        self.tables.setdefault(table, []).append(row)

    def once(self, table: str, identity: str, **row: Any) -> int:
        """Add a content row if it is new; return its id."""
        if (table, identity) not in self._known:
            key = self._known[table, identity] = len(self.tables.get(table, [])) + 1
            hash_ = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).digest()
            self.add(table, **{"id": key, "hash": hash_, **row})
        return self._known[table, identity]

    def content(self, table: str, value: Any) -> int:
        """Add a context, target or response."""
        if isinstance(value, str):
            text, exact = storable(value)
            return self.once(table, value, is_json=False, text=text, exact=exact)
        text = dumps(value)
        hash_ = hashlib.sha256(b"\xff" + text.encode()).digest()
        return self.once(table, f"JSON {text}", hash=hash_, is_json=True, text=text)

    def doc(self, value: Any, *, is_postgresql: bool) -> int:
        """Add a document."""
        body = json.loads(dumps(value).replace("NaN", "null")) if is_postgresql else None
        return self.once("doc", dumps(value), hash=doc_hash(value), text=dumps(value), body=body)

    def request(self, arguments: dict[str, Any]) -> int:
        """Add a request as 0002 knew it: by its arguments alone."""
        identity = dumps(arguments)
        is_known = ("request", identity) in self._known
        if not all(name.startswith("gen_args_") for name in arguments):
            return self.once("request", identity, prompt_hash=None, exact=escaped(arguments))
        parts = [list(part.values()) for part in arguments.values()]
        prompt = text_hash(parts[0][0]) if parts else None
        key = self.once("request", identity, prompt_hash=prompt, exact=None)
        for index, (context, *rest) in enumerate(() if is_known else parts):
            self.add(
                "request_part",
                request_id=key,
                index=index,
                context_id=self.content("context", context),
                rest_json=dumps(rest),
            )
        return key


def rows_0002(*, is_postgresql: bool) -> Rows:
    """Return the rows that `LINES` were at 0002."""
    rows = Rows()
    for key, date in enumerate(("2026-03-02T10:04:27", "2026-03-02T10:04:27", ""), 1):
        version = 2 if key == 2 else 1
        columns = {"model": "m", "date": date, "version": version, "notes_json": "[]"}
        name = "first" if key == 1 else None
        rows.add("run", id=key, name=name, results_json='{"exact": 1}', ingested_at="", **columns)
        rows.add(
            "scoring",
            id=key,
            run_id=key,
            kind="logged",
            name="logged",
            hash=b"",
            how_json="{}",
            attempt=1,
            created_at="",
        )
    for key in LINES:
        rows.add("task", id=key, name=f"task {key}", version="1", hash=b"h")
        add_evaluation(rows, key, is_postgresql=is_postgresql)
    return rows


def add_evaluation(rows: Rows, key: int, *, is_postgresql: bool) -> None:
    """Add one evaluation with its logged scores."""
    lines, kept = LINES[key]
    run_id = min(key, 3)
    first = next((one for at, one in enumerate(lines) if at not in kept), lines[0])
    shape = {"name": "none", "keys": list(first), "metrics": ["acc"], "offset": 0}
    rows.add(
        "evaluation",
        id=key,
        run_id=run_id,
        task_id=key,
        layout_json=json.dumps({"filters": [shape]}),
        n_samples=len(lines),
        n_lines=len(lines),
        n_hash_mismatches=0,
        hashes_logged="doc_hash" in lines[0],
        incomplete=False,
        notes_json="[]",
    )
    scored = {"id": key, "scored_evaluation_id": key, "name": "none", "n": len(lines)}
    rows.add(
        "scored_evaluation",
        id=key,
        scoring_id=run_id,
        evaluation_id=key,
        selection="",
        status="complete",
        n=len(lines),
        warnings_json="[]",
    )
    rows.add("scored_filter", **scored, index=0, complete=True)
    metric = {"metric": "acc", "kind": "float", "n": len(lines), "value": 1.0}
    rows.add("aggregate", id=key, scored_filter_id=key, index=0, **metric)
    seen: dict[int, int] = {}
    for position, one in enumerate(lines):
        doc_id = rows.doc(one["doc"], is_postgresql=is_postgresql)
        resps = one["resps"]
        is_text = len(resps) == 1 and isinstance(resps[0][0], str)
        rows.add(
            "sample",
            evaluation_id=key,
            position=position,
            doc_id=doc_id,
            nth=seen.setdefault(doc_id, 0),
            request_id=rows.request(one["arguments"]),
            response_id=rows.content("response", resps[0][0] if is_text else resps),
            target_id=rows.content("target", one["target"]),
            logged_doc_id=one["doc_id"] if isinstance(one["doc_id"], int) else None,
        )
        seen[doc_id] += 1
        rows.add("score", aggregate_id=key, position=position, value=1.0)
        if position in kept:
            place = {"evaluation_id": key, "filter_index": 0, "position": position}
            rows.add("line", **place, number=position, json=escaped(one))
    text, exact = storable(STRANGE)  # a row that changes nothing: it is the first response
    if restored(text, exact) == lines[0]["resps"][0][0]:
        columns = {"is_json": False, "text": text, "exact": exact}
        rows.add("filtered_response", scored_filter_id=key, position=0, **columns)


def fill(conn: Connection) -> None:
    """Store all rows in a store of 0002."""
    rows = rows_0002(is_postgresql=conn.dialect.name == "postgresql")
    metadata = sa.MetaData()
    metadata.reflect(conn, only=list(rows.tables))
    for table in metadata.sorted_tables:
        for row in rows.tables.get(table.name, ()):
            conn.execute(table.insert().values(row))
    if conn.dialect.name == "postgresql":  # ids were given: the sequences have to follow
        for name in ("run", "task", "evaluation", "scoring"):
            conn.exec_driver_sql(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"  # noqa: S608
            )
