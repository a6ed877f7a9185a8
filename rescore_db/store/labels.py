"""What users call runs: names, steps of training, tags.

Everything here takes a connection inside `atomic()` and never commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, select, update

from rescore_db.errors import AlreadyExistsError, NotFoundError, UsageError
from rescore_db.store import schema
from rescore_db.store.references import LARGEST_ID, LATEST

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import ColumnElement, Connection

LONGEST: Final = 100  # characters of a name or a tag
_MARKS: Final = ":/@"  # they end a run in a reference, see `references`


@dataclass(frozen=True, slots=True)
class RunChanges:
    """What to change of a run; what is not given stays.

    Attributes:
        name: the new name; "" takes it away, None leaves it.
        step: the step of training; "" takes it away, None leaves it.
        tags: to add.
        untags: to take away; one that the run has not is an error.
    """

    name: str | None = None
    step: int | str | None = None
    tags: tuple[str, ...] = ()
    untags: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse what no run can be called; needs no store, so it can come before any work.

        Raises:
            UsageError: a name, step or tag that a run can't have.
        """
        if self.name:
            check_name(self.name)
        if self.step not in (None, ""):
            _check_step(self.step)
        for tag in self.tags:
            check_tag(tag)
        both = set(self.tags) & set(self.untags)
        if both:
            msg = f"the tag {min(both)!r} can't be added and taken away at once"
            raise UsageError(msg)


def check_name(name: str) -> None:
    """Refuse a name that would not lead to its run, or that nobody could type.

    Raises:
        UsageError: says which names are good.
    """
    reason = _unreadable(name)
    if name.isascii() and name.isdigit():
        reason = "it looks like a run's id"
    elif name == LATEST:
        reason = "it means the newest run of all"
    elif mark := next((mark for mark in _MARKS if mark in name), None):
        reason = f"{mark!r} ends a run's name in RUN:SCORING, RUN/FILTER and MODEL@DATE"
    if reason:
        msg = f"a run can't be named {name!r}: {reason}"
        raise UsageError(msg)


def check_tag(tag: str) -> None:
    """Refuse a tag that nobody could type.

    Raises:
        UsageError: says why.
    """
    reason = "a comma stands between tags" if "," in tag else _unreadable(tag)
    if reason:
        msg = f"{tag!r} can't be a tag: {reason}"
        raise UsageError(msg)


def set_run(conn: Connection, run_id: int, changes: RunChanges) -> None:
    """Give a run a name, a step, tags; or take them away.

    Raises:
        AlreadyExistsError: another run has the name, or is the model's of that name.
        NotFoundError: there is no such run, or it lacks a tag that is to be taken away.
        UsageError: a name, step or tag that a run can't have.
    """
    changes.check()
    run = schema.run
    row = select(run.c.id).where(run.c.id == run_id)
    if conn.scalar(row.with_for_update()) is None:
        msg = f"run {run_id} is no longer in the store"
        raise NotFoundError(msg)
    values: dict[str, object] = {}
    if changes.name is not None:
        _refuse_taken(conn, run_id, changes.name)
        values["name"] = changes.name or None
    if changes.step is not None:
        values["step"] = None if changes.step == "" else changes.step
    if values:
        conn.execute(update(run).where(run.c.id == run_id).values(values))
    _change_tags(conn, run_id, changes)


def tags_of(conn: Connection, run_ids: Collection[int] | None = None) -> dict[int, tuple[str, ...]]:
    """Return run id → its tags, of some runs or of all; runs without one are left out."""
    table = schema.run_tag
    query = select(table.c.run_id, table.c.tag)
    if run_ids is not None:
        query = query.where(table.c.run_id.in_(run_ids))
    found: dict[int, list[str]] = {}
    for run_id, tag in conn.execute(query):
        found.setdefault(run_id, []).append(tag)
    return {run_id: tuple(sorted(tags)) for run_id, tags in found.items()}


def has_tags(tags: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition on `run` that holds for runs with every one of some tags."""
    table = schema.run_tag
    wanted = sorted(set(tags))
    holders = (
        select(table.c.run_id)
        .where(table.c.tag.in_(wanted))
        .group_by(table.c.run_id)
        .having(func.count() == len(wanted))
    )
    return schema.run.c.id.in_(holders)


def require_tags(conn: Connection, tags: Iterable[str]) -> None:
    """Refuse tags that no run has: they are misspelt.

    Raises:
        NotFoundError: there is one; the message holds the nearest.
    """
    known = set(conn.scalars(select(schema.run_tag.c.tag).distinct()))
    for tag in tags:
        if tag not in known:
            kind = "tag"
            raise NotFoundError.among(kind, tag, known)


def _change_tags(conn: Connection, run_id: int, changes: RunChanges) -> None:
    table = schema.run_tag
    held = set(tags_of(conn, [run_id]).get(run_id, ()))
    for tag in changes.untags:
        if tag not in held:
            kind = f"tag of run {run_id}"
            raise NotFoundError.among(kind, tag, held)
    gone = table.c.tag.in_(changes.untags)
    conn.execute(delete(table).where(table.c.run_id == run_id, gone))
    for tag in sorted(set(changes.tags) - held):
        conn.execute(table.insert().values(run_id=run_id, tag=tag))


def _refuse_taken(conn: Connection, run_id: int, name: str) -> None:
    """Refuse a name that leads to another run already; "" is none."""
    if not name:
        return
    run = schema.run
    others = select(run.c.id).where(run.c.id != run_id).order_by(run.c.id).limit(1)
    holder = conn.scalar(others.where(run.c.name == name))
    if holder is not None:
        msg = (
            f"run {holder} is named {name!r} already: choose another name, or take it away: "
            f'rescore runs set {holder} --name ""'
        )
        raise AlreadyExistsError(msg)
    model = conn.scalar(others.where(run.c.model == name))
    if model is not None:
        msg = f"{name!r} is the model of run {model}: choose another name"
        raise AlreadyExistsError(msg)


def _check_step(step: int | str | None) -> None:
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= LARGEST_ID:
        msg = f"a step is a whole number from 0 to {LARGEST_ID}, not {step!r}"
        raise UsageError(msg)


def _unreadable(text: str) -> str | None:
    """Say why a text is no good as a name or tag; None if it is."""
    if not text:
        return "it is empty"
    if len(text) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if text != text.strip() or not text.isprintable():
        return "it holds blanks at an end, or characters that can't be seen"
    if text.startswith("-"):
        return "it looks like an option"
    return None
