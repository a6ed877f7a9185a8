from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import AlreadyExistsError, BadSqlError, NotFoundError, UsageError
from rescore_db.store.engine import reading
from rescore_db.subsets import (
    create_subset,
    get_subset,
    list_subsets,
    subset_docs,
    subset_positions,
)
from tests.store.rows import Answered, add_run

if TYPE_CHECKING:
    from sqlalchemy import Engine


def two_runs(engine: Engine) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (run, evaluation) of two runs of one task: the second answers one doc more."""
    samples = [Answered({"level": level}, response=f"says {level}") for level in range(1, 6)]
    return add_run(engine, "t", samples[:4]), add_run(engine, "t", samples, model="other")


def test_a_subset_holds_the_docs_that_satisfy_its_condition(engine: Engine) -> None:
    _, (_, evaluation_id) = two_runs(engine)

    made = create_subset(engine, "hard", "doc->>'level' > 3")

    assert (made.name, made.version, made.docs, made.run) == ("hard", 1, 2, None)
    assert made.predicate == "doc->>'level' > 3"
    assert get_subset(engine, "hard") == get_subset(engine, "hard@1") == made
    assert list_subsets(engine) == [made]
    with reading(engine) as conn:
        assert subset_docs(conn, "hard") == {("t", 4), ("t", 5)}
        assert subset_positions(conn, "hard@1", evaluation_id) == [3, 4]


def test_only_the_named_runs_are_asked(engine: Engine) -> None:
    (run_id, _), _ = two_runs(engine)

    made = create_subset(engine, "early", "response like 'says%'", run_ids=[run_id])

    assert (made.docs, made.run) == (4, str(run_id))


def test_a_subset_stays_as_it_was_frozen(engine: Engine) -> None:
    two_runs(engine)
    create_subset(engine, "hard", "doc->>'level' > 3")
    add_run(engine, "t", [Answered({"level": 9})], model="late")

    with reading(engine) as conn:
        assert len(subset_docs(conn, "hard")) == 2


def test_no_docs_make_no_subset(engine: Engine) -> None:
    (run_id, _), _ = two_runs(engine)

    with pytest.raises(NotFoundError, match="no sample satisfies"):
        create_subset(engine, "none", "doc->>'level' > 9")
    with pytest.raises(NotFoundError, match=f"no sample of run {run_id} satisfies"):
        create_subset(engine, "none", "doc->>'level' = 5", run_ids=[run_id])

    assert list_subsets(engine) == []


def test_a_taken_name_and_a_bad_condition_change_nothing(engine: Engine) -> None:
    two_runs(engine)
    made = create_subset(engine, "hard", "doc->>'level' > 3")

    with pytest.raises(AlreadyExistsError):
        create_subset(engine, "hard", "doc->>'level' > 1")
    with pytest.raises(BadSqlError, match="doc->>'level'"):
        create_subset(engine, "other", "level > 3")

    assert list_subsets(engine) == [made]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", "a@1", "é", "a\n", "x" * 101, "'"])
def test_names_that_could_be_read_as_something_else_are_refused(engine: Engine, name: str) -> None:
    with pytest.raises(UsageError, match="letters, digits"):
        create_subset(engine, name, "true")


def test_unknown_names_and_versions_are_told(engine: Engine) -> None:
    two_runs(engine)
    create_subset(engine, "hard.v2_x-1", "doc->>'level' > 3")

    with pytest.raises(NotFoundError, match=r"did you mean hard\.v2_x-1"):
        get_subset(engine, "hard.v2_x-2")
    with pytest.raises(NotFoundError, match="no version 7; the newest is 1"):
        get_subset(engine, "hard.v2_x-1@7")
    with pytest.raises(NotFoundError, match="no subset named 'zzz@x'"):
        get_subset(engine, "zzz@x")
