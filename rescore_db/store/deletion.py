"""Taking runs and scorings out of the store, with all that nothing else refers to then.

A doc goes when no other run asked it, unless a subset holds it: subsets are frozen.  Its requests,
their prompts and targets, task definitions, source files, recipes and environments go when nobody
else refers to them.  A row in `deletion` tells other processes that ids they remember may be gone.

Everything here takes a connection and never commits; deletions belong inside `atomic()`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, MetaData, Table, delete, func, select

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.records import Deletion
from rescore_db.store import schema
from rescore_db.store.bulk import lock_content, refresh_statistics
from rescore_db.store.columns import Id
from rescore_db.store.going import Going
from rescore_db.store.scores import now

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection, FromClause

    from rescore_db.store.going import Ids, Keep

LOGGED: Final = "logged"


def plan_runs(conn: Connection, run_ids: Collection[int]) -> Deletion:
    """Tell what deleting runs would take along; changes nothing."""
    going = Going(_in_the_statement)
    going.add_runs(run_ids)
    return replace(_told(conn, going, run_ids, _counted(conn, going)), dry_run=True)


def plan_scorings(conn: Connection, scoring_ids: Collection[int]) -> Deletion:
    """Tell what deleting scorings would take along; changes nothing.

    Raises:
        UsageError: one of them is what lm-eval logged.
    """
    _refuse_logged(conn, scoring_ids)
    going = Going(_in_the_statement)
    going.add_scorings(schema.scoring.c.id.in_(scoring_ids))
    return replace(_told(conn, going, (), _counted(conn, going)), dry_run=True)


def delete_runs(conn: Connection, run_ids: Collection[int]) -> Deletion:
    """Delete runs with their evaluations, scorings, and contents that nobody else refers to.

    Whoever scores one of them waits, and then finds it gone.

    Raises:
        NotFoundError: one of them is gone already.
    """
    lock_content(conn)
    run, scoring, scored = schema.run, schema.scoring, schema.scored_evaluation
    _lock(conn, run, run.c.id.in_(run_ids), run_ids)
    own = select(scoring.c.id).where(scoring.c.run_id.in_(run_ids))
    _lock(conn, scored, scored.c.scoring_id.in_(own))
    with _kept(conn) as keep:
        going = Going(keep)
        going.add_runs(run_ids)
        return _delete(conn, going, run_ids)


def delete_scorings(conn: Connection, scoring_ids: Collection[int]) -> Deletion:
    """Delete scorings, and recipes and environments that no other one has.

    Raises:
        NotFoundError: one of them is gone already.
        UsageError: one of them is what lm-eval logged.
    """
    lock_content(conn)
    _refuse_logged(conn, scoring_ids)
    scoring, scored = schema.scoring, schema.scored_evaluation
    _lock(conn, scoring, scoring.c.id.in_(scoring_ids), scoring_ids)
    _lock(conn, scored, scored.c.scoring_id.in_(scoring_ids))
    with _kept(conn) as keep:
        going = Going(keep)
        going.add_scorings(scoring.c.id.in_(scoring_ids))
        return _delete(conn, going, ())


def require_evaluations(conn: Connection, evaluations: Collection[tuple[int, int]]) -> None:
    """Make sure that evaluations, as (run id, id), are still there; call it after `lock_content`.

    Raises:
        NotFoundError: a run was deleted meanwhile.
    """
    table = schema.evaluation
    ids = [key for _, key in evaluations]
    found = conn.execute(select(table.c.run_id, table.c.id).where(table.c.id.in_(ids)))
    gone = set(evaluations) - set(found)
    if gone:
        msg = f"run {min(gone)[0]} was deleted meanwhile"
        raise NotFoundError(msg)


# ------------------------------------------------------------------------------------- refusing


def _lock(
    conn: Connection, table: Table, condition: ColumnElement[bool], wanted: Collection[int] = ()
) -> None:
    """Keep other writers of some rows waiting until the transaction ends."""
    query = select(table.c.id).where(condition).order_by(table.c.id)
    found = set(conn.scalars(query.with_for_update()))  # SQLite: the transaction is the lock
    gone = set(wanted) - found
    if gone:
        msg = f"{table.name} {min(gone)} is no longer in the store"
        raise NotFoundError(msg)


def _refuse_logged(conn: Connection, scoring_ids: Collection[int]) -> None:
    table = schema.scoring
    query = select(table.c.id, table.c.run_id).order_by(table.c.id)
    logged = query.where(table.c.id.in_(scoring_ids), table.c.kind == LOGGED)
    for scoring_id, run_id in conn.execute(logged):
        msg = (
            f"scoring {scoring_id} is what lm-eval logged: it is the run itself, which "
            f"`rescore runs delete {run_id}` deletes"
        )
        raise UsageError(msg)


# ------------------------------------------------------------------------------------- deleting


def _in_the_statement(name: str, ids: Ids) -> FromClause:
    """Keep ids where they are used."""
    return ids.cte(f"going_{name}")


@contextmanager
def _kept(conn: Connection) -> Iterator[Keep]:
    """Keep ids in temporary tables, which are dropped at the end, or rolled back."""
    tables: list[Table] = []

    def keep(name: str, ids: Ids) -> FromClause:
        table = Table(
            f"going_{name}",
            MetaData(),
            Column("id", Id, primary_key=True, autoincrement=False),
            prefixes=["TEMPORARY"],
        )
        table.create(conn)
        tables.append(table)
        conn.execute(table.insert().from_select(["id"], ids))
        return table

    yield keep
    for table in tables:
        table.drop(conn)


def _counted(conn: Connection, going: Going) -> dict[str, int]:
    """Return how many rows of each table would go, in one statement."""
    counts = [
        select(func.count())
        .select_from(table)
        .where(table.c[column].in_(going[name]))
        .scalar_subquery()
        for table, column, name in going.steps
    ]
    names = [table.name for table, _, _ in going.steps]
    return dict(zip(names, conn.execute(select(*counts)).one(), strict=True))


def _delete(conn: Connection, going: Going, run_ids: Collection[int]) -> Deletion:
    """Delete what goes, and note that it is gone."""
    told = _told(conn, going, run_ids, {})
    for what in told.names:
        conn.execute(schema.deletion.insert().values(what=what, deleted_at=now()))
    rows = {}
    for table, column, name in going.steps:
        gone = conn.execute(delete(table).where(table.c[column].in_(going[name])))
        rows[table.name] = gone.rowcount
    refresh_statistics(conn)
    return _with_rows(told, rows)


def _named(
    conn: Connection, run_ids: Collection[int], scoring_ids: Collection[int]
) -> Iterator[str]:
    """Yield what is deleted, in words: runs, else scorings."""
    run, scoring = schema.run, schema.scoring
    query = select(run.c.id, run.c.model, run.c.date).order_by(run.c.id)
    for key, model, date in conn.execute(query.where(run.c.id.in_(run_ids))).all():
        yield f"run {key} ({_run_name(model, date)})"
    if not run_ids:
        names = select(scoring.c.id, scoring.c.name, scoring.c.run_id).order_by(scoring.c.id)
        for key, name, run_id in conn.execute(names.where(scoring.c.id.in_(scoring_ids))).all():
            yield f"scoring {key} ({run_id}:{name})"


# ------------------------------------------------------------------------------------- telling


def _told(
    conn: Connection, going: Going, run_ids: Collection[int], rows: Mapping[str, int]
) -> Deletion:
    """Say what goes; `rows` by table."""
    scorings = sorted(conn.scalars(going["scoring"]))
    kept, notes = _kept_docs(conn, going) if run_ids else (0, [])
    told = Deletion(
        dry_run=False,
        runs=tuple(sorted(set(run_ids))),
        scorings=tuple(scorings),
        names=tuple(_named(conn, run_ids, scorings)),
        kept_docs=kept,
        notes=(*notes, *_newest_again(conn, run_ids)),
    )
    return _with_rows(told, rows)


def _with_rows(told: Deletion, rows: Mapping[str, int]) -> Deletion:
    """Say how many rows go."""
    return replace(
        told,
        evaluations=rows.get("evaluation", 0),
        samples=rows.get("sample", 0),
        scores=rows.get("score", 0),
        docs=rows.get("doc", 0),
        prompts=rows.get("context", 0),
        rows={name: n for name, n in rows.items() if n},
    )


def _kept_docs(conn: Connection, going: Going) -> tuple[int, list[str]]:
    """Count the docs that nobody asks any more and that stay; name the subsets that hold them."""
    subset, version, member = schema.subset, schema.subset_version, schema.subset_doc
    held = member.c.doc_id.in_(going["unasked"])
    kept = conn.scalar(select(func.count(member.c.doc_id.distinct())).where(held)) or 0
    if not kept:
        return 0, []
    names = (
        select(subset.c.name)
        .distinct()
        .join(version, version.c.subset_id == subset.c.id)
        .join(member, member.c.subset_version_id == version.c.id)
        .where(held)
    )
    stay = "1 doc stays" if kept == 1 else f"{kept:,} docs stay"
    return kept, [
        f"{stay} for the subsets that hold them: {', '.join(sorted(conn.scalars(names)))}"
    ]


def _newest_again(conn: Connection, run_ids: Collection[int]) -> list[str]:
    """Name the runs that are the newest version once others are gone."""
    run: Any = schema.run
    gone = run.alias()
    same = (
        (gone.c.model == run.c.model)
        & (gone.c.date == run.c.date)
        & (gone.c.origin == run.c.origin)
    )
    rows = conn.execute(
        select(run.c.id, run.c.model, run.c.date, run.c.origin)
        .where(
            run.c.id.not_in(run_ids),
            select(gone.c.id).where(same, gone.c.id.in_(run_ids)).exists(),
        )
        .order_by(run.c.version)
    )
    newest = {(model, date, origin): key for key, model, date, origin in rows}
    return [
        f"run {key} is the newest version of {_run_name(model, date)} then"
        for (model, date, _), key in newest.items()
    ]


def _run_name(model: str, date: str) -> str:
    return f"{model}@{date}" if date else model
