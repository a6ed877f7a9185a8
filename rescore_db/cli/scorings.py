"""`rescore scorings`: which there are, what is in one, and taking them out."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.deleting import DryRun, Yes, delete
from rescore_db.cli.opening import opened
from rescore_db.cli.options import Db, RunOption, ShowsOne, examples, refuse_early_options
from rescore_db.cli.output import Output, with_output

SeveralScorings = Annotated[
    list[str], typer.Argument(metavar="SCORING...", help="Ids, or RUN:SCORING.")
]

scorings_app = typer.Typer(
    cls=ShowsOne,
    epilog=examples(
        "rescore scorings --run 3",
        "rescore scorings show 3:logged",
        "rescore scorings delete 3:lenient --dry-run",
    ),
)


@scorings_app.callback(invoke_without_command=True)
@with_output
def list_scorings(ctx: typer.Context, *, run: RunOption = None, out: Output, db: Db = None) -> None:
    """List the scorings, or show or delete some."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import ScoringRow

    with opened(db) as store:
        out.rows(store.scorings(run), of=ScoringRow)
    return None


@scorings_app.command("show", epilog=examples("rescore scorings show 3:logged"))
@with_output
def show_scoring(
    scoring: Annotated[str, typer.Argument(metavar="SCORING", help="Id, or RUN:SCORING.")],
    *,
    out: Output,
    db: Db = None,
) -> None:
    """Show one scoring: what was scored, with which recipe, and what came out."""
    with opened(db) as store:
        out.detail(store.scoring(scoring))


@scorings_app.command("delete", epilog=examples("rescore scorings delete 3:lenient --dry-run"))
@with_output
def delete_scorings(
    scorings: SeveralScorings,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    out: Output,
    db: Db = None,
) -> None:
    """Delete scorings and all their scores; what lm-eval logged stays with its run."""
    delete(
        db,
        out,
        lambda store, only_plan: store.delete_scorings(*scorings, dry_run=only_plan),
        dry_run=dry_run,
        yes=yes,
    )
