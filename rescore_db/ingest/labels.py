"""Names, steps and tags that users give runs as they take them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore_db.errors import AlreadyExistsError
from rescore_db.store.engine import atomic
from rescore_db.store.labels import RunChanges, set_run

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rescore_db.records import IngestOptions


def check_labels(options: IngestOptions) -> None:
    """Refuse what no run can be called, before any work.

    Raises:
        UsageError: a name, step or tag that a run cannot have.
    """
    _changes(options).check()


def label_run(engine: Engine, run_id: int | None, options: IngestOptions) -> None:
    """Give a run what the options say, whether it is new or known.

    Args:
        engine: the store, open for writing.
        run_id: which; None (nothing of the run could be stored) does nothing.
        options: as users gave them.

    Raises:
        AlreadyExistsError: another run has the name; this one stays, without it.
    """
    changes = _changes(options)
    if run_id is None or changes == RunChanges():
        return
    try:
        with atomic(engine) as conn:
            set_run(conn, run_id, changes)
    except AlreadyExistsError as error:
        msg = f"{error}; run {run_id} is in the store, without name, step and tags"
        raise AlreadyExistsError(msg) from error


def _changes(options: IngestOptions) -> RunChanges:
    return RunChanges(name=options.name, step=options.step, tags=options.tags)
