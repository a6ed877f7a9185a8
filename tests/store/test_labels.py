"""Names, steps and tags of runs: what they may be, and that they lead to their run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.errors import AlreadyExistsError, NotFoundError, UsageError
from rescore_db.managing import set_run
from rescore_db.store import listings
from rescore_db.store.engine import atomic, reading
from rescore_db.store.labels import RunChanges, check_name
from rescore_db.store.references import LARGEST_ID, find_run, parse_reference, resolve
from tests.small_store import add_run, add_scoring

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rescore_db.records import RunRow


def change(engine: Engine, run_id: int, **changes: Any) -> RunRow:
    return set_run(engine, str(run_id), RunChanges(**changes))


@pytest.fixture
def run_id(engine: Engine) -> int:
    key = add_run(engine, "org/dove")
    add_scoring(engine, key)
    return key


# ----------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["base", "lr=1e-4, seed 2", "é", "v1.0_final+", "latest2", "1a"])
def test_a_name_leads_to_its_run_everywhere(engine: Engine, run_id: int, name: str) -> None:
    assert change(engine, run_id, name=name).name == name

    with reading(engine) as conn:
        assert find_run(conn, name) == run_id
        assert resolve(conn, name).run_id == run_id
        assert resolve(conn, f"{name}:logged").label == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("3", "looks like a run's id"),
        ("latest", "the newest run of all"),
        ("a:b", "':' ends a run's name"),
        ("a/b", "'/' ends a run's name"),
        ("@base", "'@' ends a run's name"),
        (" a", "blanks at an end"),
        ("a\x1b[2J", "can't be seen"),
        ("\ud800", "can't be seen"),
        ("-x", "looks like an option"),
        ("x" * 101, "longer than 100"),
    ],
)
def test_a_name_that_would_lead_nowhere_is_refused(
    engine: Engine, run_id: int, name: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        change(engine, run_id, name=name, step=4)

    with reading(engine) as conn:
        (row,) = listings.list_runs(conn)
    assert (row.name, row.step) == (None, None)


@given(st.text(max_size=12))
def test_every_name_that_is_taken_has_one_reading(name: str) -> None:
    try:
        check_name(name)
    except UsageError:
        return
    assert [reading.run for reading in parse_reference(name)] == [name]


def test_a_name_belongs_to_one_run(engine: Engine, run_id: int) -> None:
    other = add_run(engine, "gull")
    change(engine, run_id, name="base")

    with pytest.raises(AlreadyExistsError, match=f"run {run_id} is named 'base' already"):
        change(engine, other, name="base")
    with pytest.raises(AlreadyExistsError, match=f"'gull' is the model of run {other}"):
        change(engine, run_id, name="gull")
    assert change(engine, run_id, name="base").name == "base"
    assert change(engine, run_id, name="").name is None
    assert change(engine, other, name="base").name == "base"
    assert change(engine, other, name="gull").name == "gull"


# ----------------------------------------------------------------------------------------- steps


def test_a_step_is_a_whole_number(engine: Engine, run_id: int) -> None:
    assert change(engine, run_id, step=0).step == 0
    assert change(engine, run_id, step=LARGEST_ID).step == LARGEST_ID
    assert change(engine, run_id, name="x").step == LARGEST_ID
    assert change(engine, run_id, step="").step is None
    for step in (-1, LARGEST_ID + 1, 1.5, True, "7"):
        with pytest.raises(UsageError, match="a step is a whole number"):
            change(engine, run_id, step=step)


# ------------------------------------------------------------------------------------------ tags


def test_tags_come_and_go(engine: Engine, run_id: int) -> None:
    assert change(engine, run_id, tags=("b", "a", "b")).tags == ("a", "b")
    assert change(engine, run_id, tags=("b", "c"), untags=("a",)).tags == ("b", "c")
    assert change(engine, run_id, step=1).tags == ("b", "c")
    with pytest.raises(NotFoundError, match=f"no tag of run {run_id} named 'bb'"):
        change(engine, run_id, untags=("bb",), name="x")
    with pytest.raises(UsageError, match="added and taken away"):
        change(engine, run_id, tags=("b",), untags=("b",))
    for tag in ("", "a,b", " a", "-a", "\n"):
        with pytest.raises(UsageError, match="can't be a tag"):
            change(engine, run_id, tags=(tag,))

    with reading(engine) as conn:
        (row,) = listings.list_runs(conn)
    assert (row.name, row.tags) == (None, ("b", "c"))


def test_runs_are_found_by_all_of_some_tags(engine: Engine, run_id: int) -> None:
    other = add_run(engine, "org/wren")
    change(engine, run_id, tags=("a", "b"))
    change(engine, other, tags=("b",))

    def found(*tags: str) -> list[int]:
        with reading(engine) as conn:
            return [row.id for row in listings.list_runs(conn, tags=tags)]

    assert found("b") == [run_id, other]
    assert found("a", "b", "b") == [run_id]
    with pytest.raises(NotFoundError, match="no tag named 'c'; there are: a, b"):
        found("c")


# ---------------------------------------------------------------------------------------- errors


def test_nothing_to_set_and_nobody_to_set_it_for_are_refused(engine: Engine, run_id: int) -> None:
    with pytest.raises(UsageError, match="nothing to set"):
        change(engine, run_id)
    with pytest.raises(NotFoundError):
        change(engine, run_id + 1, name="x")
    from rescore_db.store import labels

    with atomic(engine) as conn, pytest.raises(NotFoundError, match="no longer in the store"):
        labels.set_run(conn, run_id + 1, RunChanges(name="x"))
