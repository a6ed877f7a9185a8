"""How users name runs, scorings and filters.

    RUN                   id, unique name, MODEL@DATE, MODEL@latest, MODEL if it has one run, latest
    RUN:SCORING           one scoring of it, by name or id
    RUN/FILTER            one filter of its logged scores
    RUN:SCORING/FILTER    one filter of one scoring

Models' names hold `/` and `:` themselves, so a text is read in every possible way.  One reading
that leads somewhere is what was meant; two that lead to different places are an error that names
both.  DATE may be the beginning of a date.  Of several versions of one (model, date) the newest is
meant; older ones are named by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, union

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.store import schema
from rescore_db.store.runs import has_newer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection

LATEST: Final = "latest"
LARGEST_ID: Final = 2**63 - 1
SHOWN: Final = 5  # how many runs an error lists


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a text: what would name the run, the scoring and the filter."""

    run: str
    scoring: str | None = None
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """What a text names: scores to look at or to compare.

    Attributes:
        text: what the user typed.
        run_id: primary key of `run`.
        model: the run's model.
        date: the run's date, "" if unknown.
        scoring_id: primary key of `scoring`.
        scoring_name: its name, unique within the run.
        filter: the filter that was chosen, None for all.
        label: a text that names the run and scoring again: the run's name, MODEL@DATE, MODEL or
            id, with `:SCORING` unless the logged scores are meant.
    """

    text: str
    run_id: int
    model: str
    date: str
    scoring_id: int
    scoring_name: str
    filter: str | None
    label: str


def parse_reference(text: str) -> list[Reading]:
    """Return every way to split a text into run, scoring and filter, the longest run first."""
    ends = [i for i, letter in enumerate(text) if letter in ":/" and i] + [len(text)]
    return [reading for end in reversed(ends) for reading in _readings(text[:end], text[end:])]


def find_run(conn: Connection, text: str) -> int:
    """Return the id of the run that a text names.

    Raises:
        NotFoundError: it names none; the message holds the nearest names.
        UsageError: it can mean several runs.
    """
    found = _runs_named(conn, text)
    if not found:
        raise _several_runs(conn, text) or _unknown_run(conn, text)
    if len(found) > 1:
        raise _ambiguous(text, [f"run {run.id} ({how})" for run, how in found.items()])
    return next(iter(found)).id


def find_runs(conn: Connection, texts: Sequence[str]) -> list[int]:
    """Return the ids of the runs that texts name, each once, in the order of the texts.

    Args:
        conn: a connection.
        texts: none means every run in its newest version, in the order in which they came in.

    Raises:
        NotFoundError: a text names no run.
        UsageError: a text can mean several runs.
    """
    if not texts:
        return sorted(run.id for run in _newest_runs(conn))
    return list(dict.fromkeys(find_run(conn, text) for text in texts))


def find_scoring(conn: Connection, text: str) -> int:
    """Return the id of the scoring that a text names: an id, `RUN:SCORING`, or a unique name.

    A text that only names a run means its logged scores.

    Raises:
        NotFoundError: it names none.
        UsageError: it can mean several.
    """
    by_id = _as_id(text)
    if by_id is not None and conn.scalar(select(schema.scoring.c.id).filter_by(id=by_id)):
        return by_id
    named = conn.scalars(select(schema.scoring.c.id).filter_by(name=text).limit(2)).all()
    if len(named) == 1:
        return int(named[0])
    if named and not _runs_named(conn, text):
        msg = f"several runs have a scoring named {text!r}: name one as RUN:{text}"
        raise UsageError(msg)
    side = resolve(conn, text)
    if side.filter is not None:
        msg = f"{text!r} names a filter; a scoring is an id or RUN:SCORING"
        raise UsageError(msg)
    return side.scoring_id


def resolve(conn: Connection, text: str) -> Side:
    """Return what a text names, in the grammar at the head of this module.

    Raises:
        NotFoundError: no run, scoring or filter of that name; the message holds the nearest names.
        UsageError: it can be read in two ways that both lead somewhere.
    """
    readings = parse_reference(text)
    runs = {reading.run: _runs_named(conn, reading.run) for reading in readings}
    sides: dict[tuple[int, int, str | None], Side] = {}
    failures: dict[str, UsageError] = {}  # by what was read as the run
    for reading in readings:
        for run in runs[reading.run]:
            try:
                side = _side(conn, text, run, reading)
            except UsageError as error:
                failures[reading.run] = error  # the last reading has the shortest scoring
            else:
                sides.setdefault((side.run_id, side.scoring_id, side.filter), side)
        if not runs[reading.run] and (several := _several_runs(conn, reading.run)):
            failures[reading.run] = several
    if len(sides) > 1:
        raise _ambiguous(text, [_described(side) for side in sides.values()])
    if sides:
        return next(iter(sides.values()))
    raise next(iter(failures.values()), None) or _unknown_run(conn, text)  # of the longest run


# --------------------------------------------------------------------------------------- readings


def _readings(run: str, rest: str) -> Iterator[Reading]:
    """Yield the ways to read what follows a run."""
    if not rest:
        yield Reading(run)
        return
    mark, name = rest[0], rest[1:]
    if not name:
        return
    if mark == "/":
        yield Reading(run, filter=name)
        return
    yield Reading(run, scoring=name)
    for i, letter in enumerate(name):
        if letter == "/" and 0 < i < len(name) - 1:
            yield Reading(run, scoring=name[:i], filter=name[i + 1 :])


def _side(conn: Connection, text: str, run: _Run, reading: Reading) -> Side:
    """Return what one reading means for one run."""
    label = _label(conn, run)
    scoring = _scoring(conn, run, label, reading.scoring)
    if reading.filter is not None and reading.filter not in (known := _filters(conn, scoring.id)):
        kind = f"filter of {label}"
        raise NotFoundError.among(kind, reading.filter, known)
    if scoring.kind != "logged":
        label += f":{scoring.name}"
    return Side(text, run.id, run.model, run.date, scoring.id, scoring.name, reading.filter, label)


def _scoring(conn: Connection, run: _Run, label: str, name: str | None) -> _Scoring:
    """Return a run's scoring: by name, by id, or the logged one."""
    columns = schema.scoring.c
    query = select(columns.id, columns.name, columns.kind).where(columns.run_id == run.id)
    rows = [_Scoring(*row) for row in conn.execute(query.order_by(columns.id))]
    if name is None:
        found = [row for row in rows if row.kind == "logged"][:1]
    else:
        found = [row for row in rows if name in (row.name, str(row.id))]
    if len(found) > 1:
        raise _ambiguous(str(name), [f"scoring {row.id}, named {row.name!r}" for row in found])
    if found:
        return found[0]
    if name is None:
        known = ", ".join(f"{label}:{row.name}" for row in rows) or "none"
        msg = f"{label} has no logged scores; its scorings: {known}"
        raise NotFoundError(msg)
    kind = f"scoring of {label}"
    raise NotFoundError.among(kind, name, [row.name for row in rows])


def _filters(conn: Connection, scoring_id: int) -> list[str]:
    """Return the names of all filters of a scoring, its groups' included."""
    scored, groups = schema.scored_evaluation, schema.group_metric
    of_tasks = (
        select(schema.scored_filter.c.name)
        .join(scored, scored.c.id == schema.scored_filter.c.scored_evaluation_id)
        .where(scored.c.scoring_id == scoring_id)
    )
    of_groups = select(groups.c.filter).where(groups.c.scoring_id == scoring_id)
    return sorted(conn.scalars(union(of_tasks, of_groups)))


# ------------------------------------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True)
class _Run:
    """What tells runs apart."""

    id: int
    model: str
    date: str
    version: int
    name: str | None


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What tells the scorings of one run apart."""

    id: int
    name: str
    kind: str


def _runs(conn: Connection, *conditions: ColumnElement[bool]) -> list[_Run]:
    """Return the runs that satisfy all conditions, by date.

    They are sorted here: a database's collation may skip what stands between a date's digits.
    """
    columns = schema.run.c
    query = select(columns.id, columns.model, columns.date, columns.version, columns.name)
    found = [_Run(*row) for row in conn.execute(query.where(*conditions))]
    return sorted(found, key=lambda run: (run.date, run.id))


def _newest_runs(conn: Connection, *conditions: ColumnElement[bool]) -> list[_Run]:
    """Return the newest version of each (model, date, origin) among the runs, by date."""
    return _runs(conn, ~has_newer(), *conditions)


def _runs_named(conn: Connection, text: str) -> dict[_Run, str]:
    """Return the runs that a text names, each with how it was read."""
    found: dict[_Run, str] = {}
    if (run_id := _as_id(text)) is not None:
        found |= dict.fromkeys(_runs(conn, schema.run.c.id == run_id), "its id")
    for run in _runs(conn, schema.run.c.name == text):
        found.setdefault(run, "its name")
    if text == LATEST:
        for run in _newest_runs(conn)[-1:]:
            found.setdefault(run, "the newest of all")
    for how, runs in _model_readings(conn, text):
        if len(runs) == 1:
            found.setdefault(runs[0], how)
    return found


def _model_readings(conn: Connection, text: str) -> Iterator[tuple[str, list[_Run]]]:
    """Yield each way to read a text as MODEL or MODEL@DATE, with the runs that it covers."""
    yield f"model {text}", _newest_runs(conn, schema.run.c.model == text)
    for i, letter in enumerate(text):
        if letter != "@":
            continue
        model, date = text[:i], iso_date(text[i + 1 :])
        runs = _newest_runs(conn, schema.run.c.model == model)
        if date == LATEST:
            runs = runs[-1:]
        else:
            exact = [run for run in runs if run.date == date]
            runs = exact or [run for run in runs if run.date.startswith(date)]
        if date:
            yield f"model {model} on {date}", runs


def iso_date(text: str) -> str:
    """Return a date, or the beginning of one, with colons in its time as the store has them.

    lm-eval's file names have hyphens there: "2026-03-02T10-04-27.318274".
    """
    day, mark, time = text.partition("T")
    return day + mark + time.replace("-", ":")


def _as_id(text: str) -> int | None:
    """Return a text as a primary key, None if it cannot be one."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(LARGEST_ID)):
        return None
    return int(text) if int(text) <= LARGEST_ID else None


def _label(conn: Connection, run: _Run) -> str:
    """Return a text that names a run: its name, MODEL@DATE, MODEL, else its id."""
    if run.name is not None:
        return run.name
    of_model = _newest_runs(conn, schema.run.c.model == run.model)
    if run not in of_model:
        return str(run.id)
    if run.date:
        return f"{run.model}@{run.date}"
    return run.model if len(of_model) == 1 else str(run.id)


# ----------------------------------------------------------------------------------------- errors


def _described(side: Side) -> str:
    """Say in a few words what a text was read as."""
    what = f"run {side.run_id} ({side.model}, {side.date or 'no date'})"
    if side.filter is not None:
        what = f"filter {side.filter!r} of {what}"
    return f"{what} under scoring {side.scoring_name!r}"


def _ambiguous(text: str, meanings: Sequence[str]) -> UsageError:
    """Build the error for a text that leads to several places."""
    return UsageError(f"{text!r} can mean {' or '.join(meanings)}; name the run by its id")


def _unknown_run(conn: Connection, text: str) -> NotFoundError:
    """Build the error for a text that names no run."""
    runs = _newest_runs(conn)
    known = {run.model for run in runs} | {run.name for run in runs if run.name}
    if "@" in text:
        known |= {f"{run.model}@{run.date}" for run in runs}
    return NotFoundError.among("run", text, known)


def _several_runs(conn: Connection, text: str) -> UsageError | None:
    """Build the error for a model, or a beginning of a date, with several runs."""
    for _, runs in _model_readings(conn, text):
        if len(runs) > 1:
            shown = ", ".join(
                f"{run.model}@{run.date} (run {run.id})" if run.date else f"run {run.id}"
                for run in runs[-SHOWN:]
            )
            last = f"the last {SHOWN}: " if len(runs) > SHOWN else ""
            return UsageError(
                f"{text!r} names {len(runs)} runs; name one by id or date, or the newest as "
                f"{runs[0].model}@{LATEST}: {last}{shown}"
            )
    return None
