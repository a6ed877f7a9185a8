"""`rescore db`: the store itself, its schema and its bytes."""

from __future__ import annotations

import typer

from rescore_db.cli.options import Db, examples
from rescore_db.cli.output import Output, with_output

db_app = typer.Typer(
    help="Make, upgrade, check, measure and tidy the store itself.",
    no_args_is_help=True,
    epilog=examples(
        "rescore db init --db postgresql://me@localhost/evals",
        "rescore db check",
        "rescore db info",
    ),
)


@db_app.command(epilog=examples("rescore db init --db postgresql://me@localhost/evals"))
@with_output
def init(*, out: Output, db: Db = None) -> None:
    """Make a store. SQLite needs no init: the first ingest makes the file."""
    from rescore_db import database

    out.detail(database.db_init(db))


@db_app.command(epilog=examples("rescore db upgrade"))
@with_output
def upgrade(*, out: Output, db: Db = None) -> None:
    """Bring an older store to this version's schema."""
    from rescore_db import database

    out.detail(database.db_upgrade(db))


@db_app.command(epilog=examples("rescore db current --json"))
@with_output
def current(*, out: Output, db: Db = None) -> None:
    """Say at which revision the store is."""
    from rescore_db import database

    out.detail(database.db_current(db))


@db_app.command(epilog=examples("rescore db check"))
@with_output
def check(*, out: Output, db: Db = None) -> None:
    """Check the schema and recompute every hash; exit code 1 if anything is wrong."""
    from rescore_db import database

    report = database.db_check(db)
    out.detail(report)
    if report.problems:
        raise typer.Exit(1)


@db_app.command(epilog=examples("rescore db info", "rescore db info --json"))
@with_output
def info(*, out: Output, db: Db = None) -> None:
    """Show where the store's bytes are: rows and bytes of each table and its indexes."""
    from rescore_db import database
    from rescore_db.records import TableSpace
    from rescore_db.report.managed import info_text

    found = database.db_info(db)
    if out.is_table:
        out.rows(found.tables, of=TableSpace)
    else:
        out.told(found, info_text)


@db_app.command(epilog=examples("rescore db vacuum"))
@with_output
def vacuum(*, out: Output, db: Db = None) -> None:
    """Give back the room of what was deleted, while nobody else uses the store."""
    from rescore_db import database
    from rescore_db.report.managed import vacuum_text

    out.told(database.db_vacuum(db), vacuum_text)
