from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import pytest
from sqlalchemy import func, select

from rescore_db.errors import AlreadyExistsError
from rescore_db.store import schema
from rescore_db.store.engine import atomic, reading
from rescore_db.store.subsets import (
    add_subset,
    find_subset,
    list_subsets,
    member_positions,
    members,
)
from tests.store.rows import Answered, add_run

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Hard(TypedDict):
    predicate: str
    run: str | None


HARD: Hard = {"predicate": "doc->>'level' > 3", "run": None}


def add_both(engine: Engine, first: str, second: str) -> None:
    with atomic(engine) as conn:
        for name in (first, second):
            add_subset(conn, name=name, docs=[("gsm8k", 1), ("gsm8k", 2)], **HARD)


def add_docs(engine: Engine) -> None:
    add_run(engine, "gsm8k", [Answered({"a": number}) for number in range(3)])


def test_a_taken_name_leaves_the_store_as_it_was(engine: Engine) -> None:
    add_docs(engine)
    add_both(engine, "hard", "harder")

    with pytest.raises(AlreadyExistsError, match="name"):
        add_both(engine, "easy", "hard")

    with reading(engine) as conn:
        assert [row.name for row in list_subsets(conn)] == ["hard", "harder"]
        assert conn.scalar(select(func.count()).select_from(schema.subset_doc)) == 4


def test_members_count_once_and_keep_their_task(engine: Engine) -> None:
    add_docs(engine)
    with atomic(engine) as conn:
        docs = [("b", 2), ("a", 1), ("b", 2), ("a", 2)]
        made = add_subset(conn, name="some", docs=docs, **HARD)

        assert (made.docs, made.version, made.name) == (3, 1, "some")
        assert members(conn, made.id) == {("a", 1), ("a", 2), ("b", 2)}


def test_a_subset_reads_back_as_it_was_made(engine: Engine) -> None:
    add_docs(engine)
    with atomic(engine) as conn:
        made = add_subset(conn, name="x", predicate="task = 'é'", run="3,7", docs=[("gsm8k", 1)])

    with reading(engine) as conn:
        assert find_subset(conn, "x") == made
        assert find_subset(conn, "x", 1) == made
        assert find_subset(conn, "x", 2) is None
        assert find_subset(conn, "y") is None
        assert list_subsets(conn) == [made]


def test_the_newest_version_is_meant_unless_one_is_named(engine: Engine) -> None:
    add_docs(engine)
    with atomic(engine) as conn:
        first = add_subset(conn, name="x", docs=[("gsm8k", 1)], **HARD)
        subset_id = conn.scalar(select(schema.subset.c.id))
        row = schema.subset_version.insert().values(
            subset_id=subset_id, version=2, predicate="true", n=0, created_at="now"
        )
        conn.execute(row)

        newest = find_subset(conn, "x")
        assert newest is not None
        assert (newest.version, newest.docs) == (2, 0)
        assert find_subset(conn, "x", 1) == first
        assert list_subsets(conn) == [newest]


def test_positions_are_those_of_the_evaluation_s_own_task(engine: Engine) -> None:
    docs = [{"a": 1}, {"a": 2}, {"a": 1}, {"a": 3}]
    _, evaluation_id = add_run(engine, "t", [Answered(doc) for doc in docs])
    _, other = add_run(engine, "u", [Answered(doc) for doc in docs], model="other")
    with atomic(engine) as conn:
        made = add_subset(conn, name="x", docs=[("t", 1), ("t", 3), ("u", 2)], **HARD)

        assert member_positions(conn, made.id, evaluation_id) == [0, 2, 3]
        assert member_positions(conn, made.id, other) == [1]
