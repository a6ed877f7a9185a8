"""Runs and scorings get names and tags, and are deleted: each verb is one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore_db.errors import UsageError
from rescore_db.store import deletion, labels
from rescore_db.store.engine import atomic, reading
from rescore_db.store.listings import list_runs
from rescore_db.store.references import find_run, find_runs, find_scoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from rescore_db.records import Deletion, RunRow


def delete_runs(engine: Engine, references: Sequence[str], *, dry_run: bool = False) -> Deletion:
    """Delete runs with all that only they refer to.

    Args:
        engine: a store.
        references: which runs, see `store.references`; "all" is not among the ways to say so.
        dry_run: only tell what would go.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: none is named, or one can mean several runs.
    """
    if not references:
        msg = "name the runs to delete"
        raise UsageError(msg)
    if dry_run:
        with reading(engine) as conn:
            return deletion.plan_runs(conn, find_runs(conn, references))
    with atomic(engine) as conn:
        return deletion.delete_runs(conn, find_runs(conn, references))


def delete_scorings(
    engine: Engine, references: Sequence[str], *, dry_run: bool = False
) -> Deletion:
    """Delete scorings; what lm-eval logged is no scoring of its own but the run.

    Args:
        engine: a store.
        references: which scorings, see `store.references`.
        dry_run: only tell what would go.

    Raises:
        NotFoundError: one of them is not there.
        UsageError: none is named, one can mean several, or is what lm-eval logged.
    """
    if not references:
        msg = "name the scorings to delete"
        raise UsageError(msg)
    if dry_run:
        with reading(engine) as conn:
            ids = [find_scoring(conn, text) for text in references]
            return deletion.plan_scorings(conn, ids)
    with atomic(engine) as conn:
        ids = [find_scoring(conn, text) for text in references]
        return deletion.delete_scorings(conn, ids)


def set_run(engine: Engine, reference: str, changes: labels.RunChanges) -> RunRow:
    """Give a run a name, a step or tags, or take them away; return it as it is listed then.

    Raises:
        AlreadyExistsError: another run has the name.
        NotFoundError: there is no such run, or it lacks a tag that is to be taken away.
        UsageError: nothing is to be changed, or the name, step or a tag is none.
    """
    if changes == labels.RunChanges():
        msg = "nothing to set: give --name, --step, --tag or --untag"
        raise UsageError(msg)
    changes.check()
    with atomic(engine) as conn:
        run_id = find_run(conn, reference)
        labels.set_run(conn, run_id, changes)
        (row,) = list_runs(conn, run_id=run_id)
    return row
