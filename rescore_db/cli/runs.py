"""`rescore runs`: which there are, what they are called, and taking them out."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.deleting import DryRun, Yes, delete
from rescore_db.cli.opening import opened
from rescore_db.cli.options import Db, ShowsOne, examples, names, refuse_early_options
from rescore_db.cli.output import Output, with_output
from rescore_db.errors import UsageError

OneRun = Annotated[str, typer.Argument(metavar="RUN", help="Id, name, model@date or `latest`.")]
SeveralRuns = Annotated[
    list[str], typer.Argument(metavar="RUN...", help="Ids, names, model@date or `latest`.")
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG",
        show_default=False,
        help="Only runs with this tag; may be given again.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help='Unique in the store; it then names the run everywhere. "" takes it away.',
    ),
]
Step = Annotated[
    str | None,
    typer.Option(
        "--step",
        metavar="N",
        show_default=False,
        help='The step of training at which the model was saved. "" takes it away.',
    ),
]
NewTags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", show_default=False, help="Add a tag; may be repeated."),
]
OldTags = Annotated[
    list[str] | None,
    typer.Option(
        "--untag", metavar="TAG", show_default=False, help="Take a tag away; may be repeated."
    ),
]

runs_app = typer.Typer(
    cls=ShowsOne,
    epilog=examples(
        "rescore runs",
        "rescore runs --tag ablation",
        "rescore runs show latest --json",
        "rescore runs set 3 --name baseline --tag ablation",
        "rescore runs delete 3 --dry-run",
    ),
)


@runs_app.callback(invoke_without_command=True)
@with_output
def list_runs(ctx: typer.Context, *, tag: Tags = None, out: Output, db: Db = None) -> None:
    """List the runs, or show, label or delete some."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import RunRow

    with opened(db) as store:
        out.rows(store.runs(tags=names(tag)), of=RunRow)
    return None


@runs_app.command("show", epilog=examples("rescore runs show 3"))
@with_output
def show_run(run: OneRun, *, out: Output, db: Db = None) -> None:
    """Show one run and its evaluations."""
    with opened(db) as store:
        out.detail(store.run(run))


@runs_app.command(
    "set",
    epilog=examples(
        "rescore runs set 3 --name baseline",
        "rescore runs set latest --step 143000 --tag pretraining --untag draft",
        'rescore runs set baseline --name ""',
    ),
)
@with_output
def set_run(
    run: OneRun,
    *,
    name: Name = None,
    step: Step = None,
    tag: NewTags = None,
    untag: OldTags = None,
    out: Output,
    db: Db = None,
) -> None:
    """Give a run a name, a step of training, tags; or take them away."""
    number = parsed_step(step)
    with opened(db, write=True) as store:
        row = store.set_run(run, name=name, step=number, tags=names(tag), untags=names(untag))
    out.detail(row)


@runs_app.command(
    "delete", epilog=examples("rescore runs delete 3 --dry-run", "rescore runs delete 3 4 --yes")
)
@with_output
def delete_runs(
    runs: SeveralRuns, *, dry_run: DryRun = False, yes: Yes = False, out: Output, db: Db = None
) -> None:
    """Delete runs with their samples and scorings, and docs and prompts that no other run has."""
    delete(
        db,
        out,
        lambda store, only_plan: store.delete_runs(*runs, dry_run=only_plan),
        dry_run=dry_run,
        yes=yes,
    )


def parsed_step(text: str | None) -> int | str | None:
    """Return a step as a number; None and "" as they are.

    Raises:
        UsageError: it is something else.
    """
    if not text:
        return text
    if not (text.isascii() and text.isdigit()):
        msg = f"--step takes a whole number, not {text!r}"
        raise UsageError(msg)
    return int(text)
