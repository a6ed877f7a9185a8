"""Named, frozen sets of documents, chosen by a condition.

A subset is named NAME, which means its newest version, or NAME@VERSION.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from rescore_db.errors import AlreadyExistsError, NotFoundError, UsageError
from rescore_db.store import subsets
from rescore_db.store.bulk import lock_content
from rescore_db.store.content import deletions
from rescore_db.store.engine import atomic, reading
from rescore_db.store.predicates import matching_docs

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Engine

    from rescore_db.records import SubsetRow

__all__ = [
    "create_subset",
    "get_subset",
    "list_subsets",
    "subset_docs",
    "subset_positions",
]

_NAME: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
_REFERENCE: Final = re.compile(r"(?P<name>.*?)(?:@(?P<version>[0-9]{1,9}))?", re.DOTALL)


def create_subset(
    engine: Engine, name: str, where: str, *, run_ids: Collection[int] | None = None
) -> SubsetRow:
    """Freeze the documents of which a sample satisfies a condition.

    Args:
        engine: a store.
        name: letters, digits, `.`, `_` and `-`; unique.
        where: the condition, see `store.conditions`.
        run_ids: only samples of these runs count; None means any run's.

    Raises:
        AlreadyExistsError: the name is taken.
        BadSqlError: the condition can't be read, fails, or takes too long.
        NotFoundError: no document satisfies it.
        UsageError: the name is not one that a subset can have.
    """
    if _NAME.fullmatch(name) is None:
        msg = f"a subset can't be called {name!r}: use letters, digits, '.', '_' and '-'"
        raise UsageError(msg)
    run = None if run_ids is None else _text(run_ids)
    while True:
        with reading(engine) as conn:  # writers wait for no condition
            before = deletions(conn)
            docs = _chosen(conn, name, where, run_ids)
        with atomic(engine) as conn:
            lock_content(conn)
            if deletions(conn) == before:  # else some of the docs may be gone
                return subsets.add_subset(conn, name=name, predicate=where, run=run, docs=docs)


def _chosen(
    conn: Connection, name: str, where: str, run_ids: Collection[int] | None
) -> list[subsets.TaskDoc]:
    """Return the documents of a subset that is to be made."""
    if subsets.find_subset(conn, name) is not None:
        msg = f"there is a subset named {name!r} already; choose another name"
        raise AlreadyExistsError(msg)
    docs = matching_docs(conn, where, run_ids=run_ids)
    if not docs:
        of = "" if run_ids is None else f" of run {_text(run_ids)}"
        msg = f"no sample{of} satisfies the condition; a subset of no documents was not made"
        raise NotFoundError(msg)
    return docs


def _text(run_ids: Collection[int]) -> str:
    return ",".join(map(str, sorted(set(run_ids))))


def list_subsets(engine: Engine) -> list[SubsetRow]:
    """Return the newest version of each subset, in the order they were made."""
    with reading(engine) as conn:
        return subsets.list_subsets(conn)


def get_subset(engine: Engine, name: str) -> SubsetRow:
    """Return one subset, NAME or NAME@VERSION.

    Raises:
        NotFoundError: there is no such subset, or no such version of it.
    """
    with reading(engine) as conn:
        return _get(conn, name)


def subset_docs(conn: Connection, name: str) -> set[subsets.TaskDoc]:
    """Return the members of a subset: pairs of task name and primary key of `doc`.

    Raises:
        NotFoundError: there is no such subset.
    """
    return subsets.members(conn, _get(conn, name).id)


def subset_positions(conn: Connection, name: str, evaluation_id: int) -> list[int]:
    """Return the positions of an evaluation's samples whose documents are in a subset.

    Args:
        conn: a connection.
        name: NAME or NAME@VERSION.
        evaluation_id: primary key of `evaluation`.

    Returns:
        Positions, ascending; a document that occurs twice is there twice.

    Raises:
        NotFoundError: there is no such subset.
    """
    return subsets.member_positions(conn, _get(conn, name).id, evaluation_id)


def _get(conn: Connection, reference: str) -> SubsetRow:
    match = _REFERENCE.fullmatch(reference)
    name, version = (match["name"], match["version"]) if match else (reference, None)
    found = subsets.find_subset(conn, name, None if version is None else int(version))
    if found is not None:
        return found
    newest = subsets.find_subset(conn, name)
    if newest is None:
        known = (row.name for row in subsets.list_subsets(conn))
        unknown = NotFoundError.among("subset", name, known)
        raise unknown
    msg = f"subset {name!r} has no version {version}; the newest is {newest.version}"
    raise NotFoundError(msg)
