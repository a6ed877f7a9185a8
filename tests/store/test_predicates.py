from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import BadSqlError
from rescore_db.store.engine import atomic, reading
from rescore_db.store.predicates import Scope, matching_docs, matching_positions
from tests.store.rows import Answered, add_evaluation, add_run

if TYPE_CHECKING:
    from sqlalchemy import Engine


def test_docs_of_named_runs_only(engine: Engine) -> None:
    samples = [Answered({"a": number}, response=f"says {number}") for number in range(4)]
    first, _ = add_run(engine, "t", samples)
    second, _ = add_run(engine, "t", [Answered({"a": 0}, response="says 3")], model="other")
    with reading(engine) as conn:
        said = {
            tuple(runs): [
                doc for _, doc in matching_docs(conn, "response = 'says 3'", run_ids=runs)
            ]
            for runs in ([first], [second], [first, second], [])
        }

    assert list(said.values()) == [[4], [1], [1, 4], []]


def test_a_doc_that_occurs_twice_is_chosen_with_both_its_samples(engine: Engine) -> None:
    docs = [{"a": 1}, {"a": 2}, {"a": 1}, {"a": 3}]
    samples = [Answered(doc, response=f"r{at}") for at, doc in enumerate(docs)]
    run_id, evaluation_id = add_run(engine, "t", samples)
    with atomic(engine) as conn:
        other = add_evaluation(conn, run_id, "u", [Answered({"a": 3}, response="r0")])
    with reading(engine) as conn:
        assert matching_positions(conn, evaluation_id, "response = 'r2'") == [0, 2]
        assert matching_positions(conn, evaluation_id, "doc->>'a' > 1") == [1, 3]
        assert matching_positions(conn, other, "response = 'r0' and task = 'u'") == [0]
        assert matching_positions(conn, evaluation_id, "task = 'u'") == []


def test_bare_names_are_the_documents_own_where_docs_are_chosen(engine: Engine) -> None:
    docs = [{"level": 3, "meta": {"x y": "z"}}, {"level": 5, "response": "own"}, {"level": 4}]
    add_run(engine, "t", [Answered(doc) for doc in docs])
    add_run(engine, "u", [Answered({"level": 9})], model="other")
    with reading(engine) as conn:
        assert matching_docs(conn, "level > 3", scope=Scope.DOC) == [("t", 2), ("t", 3), ("u", 4)]
        in_t = "meta->>'x y' = 'z' and task = 't'"
        assert matching_docs(conn, in_t, scope=Scope.DOC) == [("t", 1)]
        assert matching_docs(conn, "doc->>'response' = 'own'", scope=Scope.DOC) == [("t", 2)]
        with pytest.raises(BadSqlError, match="'response' belongs to a sample"):
            matching_docs(conn, "response = 'own'", scope=Scope.DOC)
