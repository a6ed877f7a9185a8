"""`rescore db`: the store's schema."""

from __future__ import annotations

import typer

from rescore_db.cli.options import AsJson, Db, examples

db_app = typer.Typer(
    help="Make, upgrade and check the store itself.",
    no_args_is_help=True,
    epilog=examples("rescore db init --db postgresql://me@localhost/evals", "rescore db check"),
)


@db_app.command(epilog=examples("rescore db init --db postgresql://me@localhost/evals"))
def init(as_json: AsJson = False, db: Db = None) -> None:
    """Make a store. SQLite needs no init: the first ingest makes the file."""
    from rescore_db import api

    _show(api.db_init(db), as_json)


@db_app.command(epilog=examples("rescore db upgrade"))
def upgrade(as_json: AsJson = False, db: Db = None) -> None:
    """Bring an older store to this version's schema."""
    from rescore_db import api

    _show(api.db_upgrade(db), as_json)


@db_app.command(epilog=examples("rescore db current --json"))
def current(as_json: AsJson = False, db: Db = None) -> None:
    """Say at which revision the store is."""
    from rescore_db import api

    _show(api.db_current(db), as_json)


@db_app.command(epilog=examples("rescore db check"))
def check(as_json: AsJson = False, db: Db = None) -> None:
    """Check the schema and recompute every hash; exit code 1 if anything is wrong."""
    from rescore_db import api

    report = api.db_check(db)
    _show(report, as_json)
    if report.problems:
        raise typer.Exit(1)


def _show(report: object, as_json: bool) -> None:
    from rescore_db.report.render import Format, show_detail

    show_detail(report, Format.JSON if as_json else Format.TEXT)
