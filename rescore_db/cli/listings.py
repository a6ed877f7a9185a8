"""`rescore tasks` and `samples`: what runs asked, and what models answered."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import (
    Db,
    RunOption,
    ShowsOne,
    Where,
    examples,
    refuse_early_options,
)
from rescore_db.cli.output import Output, with_output

OneTask = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", show_default=False, help="Only this task."),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")]

tasks_app = typer.Typer(cls=ShowsOne, epilog=examples("rescore tasks", "rescore tasks show gsm8k"))
samples_app = typer.Typer(
    cls=ShowsOne,
    epilog=examples(
        "rescore samples --run latest --task gsm8k --limit 5",
        "rescore samples --where \"response LIKE '%sorry%'\" --json",
        "rescore samples show 12:0",
    ),
)


@tasks_app.callback(invoke_without_command=True)
@with_output
def list_tasks(ctx: typer.Context, *, out: Output, db: Db = None) -> None:
    """List the task definitions, or show one task's."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import TaskRow
    from rescore_db.report.summaries import tasks_footer

    with opened(db) as store:
        rows = store.tasks()
    out.rows(rows, of=TaskRow, footer=tasks_footer(rows))
    return None


@tasks_app.command("show", epilog=examples("rescore tasks show gsm8k"))
@with_output
def show_task(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name or id.")],
    *,
    out: Output,
    db: Db = None,
) -> None:
    """Show every definition of one task: versions, hashes, and where they differ."""
    from rescore_db.records import TaskRow
    from rescore_db.report.summaries import task_footer

    with opened(db) as store:
        rows = store.task(task)
    out.rows(rows, of=TaskRow, footer=task_footer(rows))


@samples_app.callback(invoke_without_command=True)
@with_output
def list_samples(
    ctx: typer.Context,
    *,
    run: RunOption = None,
    task: OneTask = None,
    where: Where = None,
    limit: Limit = 50,
    out: Output,
    db: Db = None,
) -> None:
    """List samples, or show one with all that was asked, answered and scored."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import SampleRow
    from rescore_db.report.render import notice

    with opened(db) as store:
        found = store.samples(run=run, task=task, where=where, limit=limit + 1)
    out.rows(found[:limit], of=SampleRow)
    if len(found) > limit:
        notice(f"note: only the first {limit:,}; --limit N shows more")
    return None


@samples_app.command("show", epilog=examples("rescore samples show 12:0"))
@with_output
def show_sample(
    sample: Annotated[
        str,
        typer.Argument(metavar="ID", help="As `rescore samples` lists it: EVALUATION:POSITION."),
    ],
    *,
    out: Output,
    db: Db = None,
) -> None:
    """Show one sample with all that was asked, answered and scored."""
    with opened(db) as store:
        out.detail(store.sample(sample))
