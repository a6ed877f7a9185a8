from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.store import schema
from rescore_db.store.bulk import write_rows
from rescore_db.store.engine import atomic, open_engine, reading
from rescore_db.store.fence.readonly import run_sql
from rescore_db.store.views import VIEWS, View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

Table = list[dict[str, Any]]

DATE = "2026-03-02T10:04:27.318274"
PAIR = ["-1.25", "True"]

# One run twice (versions 1 and 2) and one without a date; two tasks; a doc that occurs twice;
# a generated text, log-likelihoods and eight repeats; logged scores and a rescoring.
ROWS: dict[str, list[tuple[Any, ...]]] = {
    "run": [
        (1, "org/m:1", DATE, "", 1, "first", 2**40, "0.4.13", None, None, "[]", ""),
        (2, "org/m:1", DATE, "", 2, None, None, None, None, None, "[]", ""),
        (3, "other", "", "", 1, None, None, None, None, None, "[]", ""),
        (4, "other", "", "results_b", 2, None, None, None, None, None, "[]", ""),
    ],
    "run_tag": [(1, "b"), (1, "a"), (1, "B"), (3, "é")],
    "task": [
        (1, "gsm8k", "3.0", b"\x01\xab", "generate_until", None),
        (2, "arc", "null", b"\x02\xcd", None, None),
    ],
    "evaluation": [
        (1, 1, 1, None, None, None, "{}", 3, 3, 1319, 3, 5, 0, True, False, "[]"),
        (2, 1, 2, None, None, None, "{}", 1, 1, None, None, None, 1, True, True, "[]"),
        (3, 3, 1, None, None, None, "{}", 4, 4, None, None, None, 0, False, False, "[]"),
    ],
    "doc": [
        (1, b"\xaa" * 32, '{"level": 3}', '{"level": 3}'),
        (2, b"\xbb" * 32, '{"level": NaN}', '{"level": null}'),
    ],
    "context": [(1, b"c1", False, "first prompt", None), (2, b"c2", False, "second prompt", None)],
    "target": [(1, b"t1", False, "42", None), (2, b"t2", True, '["a", "b"]', None)],
    "request": [
        (1, b"q1", 1, 1, 17, 1, "[[{}]]", None, None, True),
        (2, b"q2", 2, 1, 18, 1, "[[{}]]", None, None, True),
        (3, b"q3", 1, 1, None, 1, "[[{}]]", None, None, None),
        (4, b"q4", 1, 2, 0, 1, '[[" a"], [" b"]]', None, None, True),
        (5, b"q5", 2, 1, 0, None, None, "[]", None, True),
    ],
    "request_part": [(4, 1, 2)],
    "sample": [
        (1, 0, 1, 0, 1, False, "the answer", None),
        (1, 1, 2, 0, 2, True, '[["a", "b\\nc", "\\u00e9"]]', None),
        (1, 2, 1, 1, 3, True, '[[[NaN, false]], [["nan", "x\\u0000"]]]', None),
        (2, 0, 1, 0, 4, True, '[[["-1.25", "True"]], [["-2.5", "False"]]]', None),
        (3, 0, 2, 0, 5, True, "[[[-1.25e-7, false]], [null], [17, []]]", None),
        (3, 1, 2, 1, 5, True, '["a", {"b": 1}, 1e-7, ["c"]]', None),
        (3, 2, 2, 2, 5, True, '"d"', None),
        (3, 3, 2, 3, 5, True, '{"e": [1]}', None),
    ],
    "recipe": [(1, b"\xde\xad", "{}", "")],
    "scoring": [
        (1, 1, "logged", "logged", b"", "{}", 1, None, DATE),
        (2, 1, "rescored", "again", b"h", "{}", 2, None, DATE),
        (3, 3, "logged", "logged", b"", "{}", 1, None, DATE),
    ],
    "scored_evaluation": [
        (1, 1, 1, None, None, "", None, "complete", 3, None, "[]"),
        (2, 1, 2, None, None, "", None, "nondeterministic", 1, None, "[]"),
        (3, 2, 1, 1, None, "0-1", "hard", "complete", 2, None, "[]"),
    ],
    "scored_filter": [
        (1, 1, 0, "strict", 3, True),
        (2, 2, 0, "none", 1, True),
        (3, 3, 0, "mine", 2, True),
    ],
    "aggregate": [
        (1, 1, 0, "exact_match", "float", 3, 0.5, None, 0.25, None, True),
        (2, 2, 0, "f1", "json", 1, None, '"N/A"', None, '"N/A"', None),
        (3, 3, 0, "exact_match", "float", 2, 1.0, None, None, None, True),
    ],
    "score": [(1, 0, 1.0, None), (1, 1, 0.0, None), (2, 0, None, "[1, 1]"), (3, 1, 1.0, None)],
    "group_metric": [(1, 1, "mmlu", "none", "acc", 4, 0.75, None, 0.125, None)],
    "subset": [(1, "hard"), (2, "none")],
    "subset_version": [
        (1, 1, 1, "doc->>'level' > 2", None, 2, ""),
        (2, 2, 1, "1 = 0", None, 0, ""),
    ],
    "subset_doc": [(1, "arc", 1), (1, "gsm8k", 1)],
}


@pytest.fixture
def filled(engine: Engine) -> Iterator[Connection]:
    with atomic(engine) as conn:
        for name, rows in ROWS.items():
            write_rows(conn, schema.metadata.tables[name], rows)
    with reading(engine) as conn:
        yield conn


def ask(conn: Connection, query: str) -> Table:
    return [dict(row) for row in conn.exec_driver_sql(query).mappings()]


def test_views_have_the_columns_that_are_declared(engine: Engine) -> None:
    with reading(engine) as conn:
        for view in VIEWS:
            found = list(conn.exec_driver_sql(f"SELECT * FROM {view.name}").keys())  # noqa: S608
            assert found == list(view.columns), view.name


def test_every_view_is_declared(engine: Engine) -> None:
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'view'",
        "postgresql": "SELECT viewname FROM pg_views WHERE schemaname = current_schema()",
    }
    with reading(engine) as conn:
        found = conn.exec_driver_sql(names[engine.dialect.name]).scalars().all()
    assert sorted(found) == sorted(view.name for view in VIEWS)


def test_every_column_is_described() -> None:
    for view in VIEWS:
        assert view.row
        assert all(view.columns.values())


RUN_1 = {"run": 1, "model": "org/m:1", "date": DATE}
RUN_3 = {"run": 3, "model": "other", "date": None}

EXPECTED: dict[str, tuple[str, Table]] = {
    "runs": (
        (
            "SELECT id, name, date, version, step, tags, lm_eval_version, evaluations, samples,"
            " is_newest FROM runs ORDER BY id"
        ),
        [
            {
                "id": 1,
                "name": "first",
                "date": DATE,
                "version": 1,
                "step": 2**40,
                "tags": "B,a,b",
                "lm_eval_version": "0.4.13",
                "evaluations": 2,
                "samples": 4,
                "is_newest": False,
            },
            {
                "id": 2,
                "name": None,
                "date": DATE,
                "version": 2,
                "step": None,
                "tags": None,
                "lm_eval_version": None,
                "evaluations": 0,
                "samples": 0,
                "is_newest": True,
            },
            {
                "id": 3,
                "name": None,
                "date": None,
                "version": 1,
                "step": None,
                "tags": "é",
                "lm_eval_version": None,
                "evaluations": 1,
                "samples": 4,
                "is_newest": True,
            },
            {
                "id": 4,
                "name": None,
                "date": None,
                "version": 2,
                "step": None,
                "tags": None,
                "lm_eval_version": None,
                "evaluations": 0,
                "samples": 0,
                "is_newest": True,
            },
        ],
    ),
    "the newest runs": (
        "SELECT id FROM runs WHERE is_newest ORDER BY id",
        [{"id": 2}, {"id": 3}, {"id": 4}],
    ),
    "evaluations": (
        "SELECT * FROM evaluations WHERE id = 1",
        [
            {
                "id": 1,
                **RUN_1,
                "task": "gsm8k",
                "task_id": 1,
                "samples": 3,
                "n_original": 1319,
                "n_effective": 3,
                "num_fewshot": 5,
                "incomplete": False,
                "hash_mismatches": 0,
            }
        ],
    ),
    "tasks": (
        "SELECT * FROM tasks ORDER BY id",
        [
            {
                "id": 1,
                "name": "gsm8k",
                "version": "3.0",
                "hash": "01ab",
                "output_type": "generate_until",
                "evaluations": 2,
            },
            {
                "id": 2,
                "name": "arc",
                "version": None,
                "hash": "02cd",
                "output_type": None,
                "evaluations": 1,
            },
        ],
    ),
    "docs": (
        "SELECT id, hash, doc->>'level' AS level FROM docs ORDER BY id",
        [{"id": 1, "hash": "aa" * 32, "level": 3}, {"id": 2, "hash": "bb" * 32, "level": None}],
    ),
    "samples": (
        (
            "SELECT id, evaluation, run, model, date, task, position, doc_id, doc_key, nth,"
            " prompt, target, response"
            " FROM samples WHERE task = 'gsm8k' AND run = 1 ORDER BY position"
        ),
        [
            {
                "id": f"1:{at}",
                "evaluation": 1,
                **RUN_1,
                "task": "gsm8k",
                "position": at,
                "doc_id": index,
                "doc_key": doc,
                "nth": nth,
                "prompt": "first prompt",
                "target": "42",
                "response": ROWS["sample"][at][6],
            }
            for at, doc, nth, index in ((0, 1, 0, 17), (1, 2, 0, 18), (2, 1, 1, None))
        ],
    ),
    "samples by doc": (
        "SELECT id, prompt, target FROM samples WHERE doc->>'level' IS NOT NULL ORDER BY id",
        [
            {"id": "1:0", "prompt": "first prompt", "target": "42"},
            {"id": "1:2", "prompt": "first prompt", "target": "42"},
            {"id": "2:0", "prompt": "first prompt", "target": '["a", "b"]'},
        ],
    ),
    "a request without parts": (
        "SELECT prompt, date FROM samples WHERE id = '3:0'",
        [{"prompt": None, "date": None}],
    ),
    "one text": (
        "SELECT * FROM responses WHERE evaluation = 1 AND position = 0",
        [
            {
                "sample": "1:0",
                "evaluation": 1,
                "position": 0,
                "request": 0,
                "repeat": 0,
                "response": "the answer",
            }
        ],
    ),
    "repeats": (
        "SELECT request, repeat, response FROM responses WHERE sample = '1:1' ORDER BY 1, 2",
        [
            {"request": 0, "repeat": 0, "response": "a"},
            {"request": 0, "repeat": 1, "response": "b\nc"},
            {"request": 0, "repeat": 2, "response": "é"},
        ],
    ),
    "log-likelihoods": (
        "SELECT request, repeat, response FROM responses WHERE evaluation = 2 ORDER BY 1, 2",
        [
            {"request": 0, "repeat": 0, "response": '["-1.25","True"]'},
            {"request": 1, "repeat": 0, "response": '["-2.5","False"]'},
        ],
    ),
    "what no database can read as JSON": (
        "SELECT request, repeat, response FROM responses WHERE sample = '1:2'",
        [{"request": 0, "repeat": 0, "response": ROWS["sample"][2][6]}],
    ),
    "values that are not text": (
        "SELECT request, repeat, response FROM responses WHERE sample = '3:0' ORDER BY 1, 2",
        [
            {"request": 0, "repeat": 0, "response": "[-1.25e-7,false]"},
            {"request": 1, "repeat": 0, "response": "null"},
            {"request": 2, "repeat": 0, "response": "17"},
            {"request": 2, "repeat": 1, "response": "[]"},
        ],
    ),
    "lists that are missing": (
        (
            "SELECT position, request, repeat, replace(response, ' ', '') AS response"
            " FROM responses WHERE evaluation = 3 AND position > 0 ORDER BY 1, 2, 3"
        ),
        [
            {"position": 1, "request": 0, "repeat": 0, "response": "a"},
            {"position": 1, "request": 1, "repeat": 0, "response": '{"b":1}'},
            {"position": 1, "request": 2, "repeat": 0, "response": "1e-7"},
            {"position": 1, "request": 3, "repeat": 0, "response": "c"},
            {"position": 2, "request": 0, "repeat": 0, "response": "d"},
            {"position": 3, "request": 0, "repeat": 0, "response": '{"e":[1]}'},
        ],
    ),
    "scores": (
        "SELECT * FROM scores WHERE scored_evaluation = 3",
        [
            {
                "sample": "1:1",
                "evaluation": 1,
                **RUN_1,
                "task": "gsm8k",
                "scoring": "again",
                "scoring_id": 2,
                "scored_evaluation": 3,
                "filter": "mine",
                "metric": "exact_match",
                "position": 1,
                "doc_id": 18,
                "doc_key": 2,
                "value": 1.0,
                "exact": None,
            }
        ],
    ),
    "scores that are not one number": (
        "SELECT sample, value, exact FROM scores WHERE task = 'arc'",
        [{"sample": "2:0", "value": None, "exact": "[1, 1]"}],
    ),
    "metrics": (
        "SELECT * FROM metrics WHERE task = 'gsm8k' AND kind = 'logged'",
        [
            {
                "scoring_id": 1,
                "scoring": "logged",
                "kind": "logged",
                **RUN_1,
                "task": "gsm8k",
                "filter": "strict",
                "metric": "exact_match",
                "value": 0.5,
                "stderr": 0.25,
                "n": 3,
                "status": "complete",
                "higher_is_better": True,
            }
        ],
    ),
    "group metrics": (
        "SELECT * FROM group_metrics",
        [
            {
                "scoring_id": 1,
                "scoring": "logged",
                "kind": "logged",
                **RUN_1,
                "task": "mmlu",
                "filter": "none",
                "metric": "acc",
                "value": 0.75,
                "stderr": 0.125,
                "n": 4,
            }
        ],
    ),
    "scorings": (
        "SELECT * FROM scorings ORDER BY id",
        [
            {
                "id": 1,
                **RUN_1,
                "kind": "logged",
                "name": "logged",
                "attempt": 1,
                "status": "nondeterministic",
                "n": 4,
            },
            {
                "id": 2,
                **RUN_1,
                "kind": "rescored",
                "name": "again",
                "attempt": 2,
                "status": "complete",
                "n": 2,
            },
            {
                "id": 3,
                **RUN_3,
                "kind": "logged",
                "name": "logged",
                "attempt": 1,
                "status": "pending",
                "n": 0,
            },
        ],
    ),
    "subsets": (
        "SELECT id, name, version, task, doc_key FROM subsets ORDER BY id, task",
        [
            {"id": 1, "name": "hard", "version": 1, "task": "arc", "doc_key": 1},
            {"id": 1, "name": "hard", "version": 1, "task": "gsm8k", "doc_key": 1},
            {"id": 2, "name": "none", "version": 1, "task": None, "doc_key": None},
        ],
    ),
    "history": (
        (
            "SELECT run, date, task, filter, metric, scoring, kind, recipe, value, stderr, n"
            " FROM history WHERE metric = 'exact_match' ORDER BY scoring"
        ),
        [
            {
                "run": 1,
                "date": DATE,
                "task": "gsm8k",
                "filter": "mine",
                "metric": "exact_match",
                "scoring": "again",
                "kind": "rescored",
                "recipe": "dead",
                "value": 1.0,
                "stderr": None,
                "n": 2,
            },
            {
                "run": 1,
                "date": DATE,
                "task": "gsm8k",
                "filter": "strict",
                "metric": "exact_match",
                "scoring": "logged",
                "kind": "logged",
                "recipe": None,
                "value": 0.5,
                "stderr": 0.25,
                "n": 3,
            },
        ],
    ),
}


@pytest.mark.parametrize("case", EXPECTED)
def test_views_say_the_same_on_both_databases(filled: Connection, case: str) -> None:
    query, expected = EXPECTED[case]
    found = ask(filled, query)
    if case == "docs" and filled.dialect.name == "postgresql":  # its ->> always gives text
        expected = [{**row, "level": row["level"] and str(row["level"])} for row in expected]
    assert found == expected


@pytest.mark.parametrize("view", ["samples", "responses", "scores", "metrics", "evaluations"])
def test_no_row_is_lost_or_doubled(filled: Connection, view: str) -> None:
    rows = {
        "samples": 8,
        "responses": 1 + 3 + 1 + 2 + 4 + 4 + 1 + 1,
        "scores": 4,
        "metrics": 3,
        "evaluations": 3,
    }
    assert ask(filled, f"SELECT count(*) AS n FROM {view}") == [{"n": rows[view]}]  # noqa: S608


def plan(conn: Connection, query: str) -> str:
    word = "EXPLAIN QUERY PLAN" if conn.dialect.name == "sqlite" else "EXPLAIN"
    return "\n".join(str(row[-1]) for row in conn.exec_driver_sql(f"{word} {query}"))


@pytest.mark.parametrize("view", ["samples", "scores"])
def test_counting_reads_no_content(filled: Connection, view: str) -> None:
    found = plan(filled, f"SELECT count(*) FROM {view}")  # noqa: S608
    lines = found.splitlines()
    if filled.dialect.name == "postgresql":  # nothing but the table itself
        assert len(lines) == 2
        assert "Seq Scan on s" in lines[1]
    else:  # the few rows of runs and tasks, never a prompt
        assert not any(f" {short} " in found for short in ("d", "q", "g"))
        assert "SUBQUERY" not in found


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM samples WHERE task = 'gsm8k'",
        "SELECT avg(value) FROM scores WHERE task = 'gsm8k' AND metric = 'exact_match'",
        "SELECT response FROM samples WHERE run = 1",
    ],
)
def test_a_condition_on_task_or_run_is_where_sqlite_begins(sqlite_url: str, query: str) -> None:
    engine = open_engine(sqlite_url)
    with reading(engine) as conn:
        first, *others = plan(conn, query).splitlines()
    engine.dispose()
    assert first.startswith(("SEARCH t ", "SEARCH r "))
    assert not any(line.startswith("SCAN") for line in others)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_users_sql_reads_every_view(filled: Connection, view: View) -> None:
    found = run_sql(filled.engine, f"SELECT * FROM {view.name}", max_rows=100, seconds=20)  # noqa: S608
    assert found.columns == tuple(view.columns)
    assert found.rows
