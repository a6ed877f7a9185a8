"""`rescore runs`, `tasks`, `samples`, `scorings`: what the store holds."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import (
    AsCsv,
    AsJson,
    AsMarkdown,
    Db,
    ShowsOne,
    Where,
    chosen,
    examples,
    refuse_early_options,
)

RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        show_default=False,
        help="Only this run: id, name, model@date or `latest`.",
    ),
]
OneTask = Annotated[
    str | None,
    typer.Option("--task", metavar="TASK", show_default=False, help="Only this task."),
]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")]

runs_app = typer.Typer(
    cls=ShowsOne,
    epilog=examples("rescore runs", "rescore runs show 3", "rescore runs show latest --json"),
)
tasks_app = typer.Typer(cls=ShowsOne, epilog=examples("rescore tasks", "rescore tasks show gsm8k"))
samples_app = typer.Typer(
    cls=ShowsOne,
    epilog=examples(
        "rescore samples --run latest --task gsm8k --limit 5",
        "rescore samples --where \"response LIKE '%sorry%'\" --json",
        "rescore samples show 12:0",
    ),
)
scorings_app = typer.Typer(
    cls=ShowsOne, epilog=examples("rescore scorings --run 3", "rescore scorings show 3:logged")
)


@runs_app.callback(invoke_without_command=True)
def list_runs(
    ctx: typer.Context,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """List the runs, or show one."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import RunRow
    from rescore_db.report.render import show

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        show(store.runs(), form, of=RunRow)
    return None


@runs_app.command("show", epilog=examples("rescore runs show 3"))
def show_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, name, model@date or `latest`.")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Show one run and its evaluations."""
    from rescore_db.report.render import show_detail

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        show_detail(store.run(run), form)


@tasks_app.callback(invoke_without_command=True)
def list_tasks(
    ctx: typer.Context,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """List the task definitions, or show one task's."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import TaskRow
    from rescore_db.report.render import show
    from rescore_db.report.summaries import tasks_footer

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        rows = store.tasks()
    show(rows, form, of=TaskRow, footer=tasks_footer(rows))
    return None


@tasks_app.command("show", epilog=examples("rescore tasks show gsm8k"))
def show_task(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name or id.")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Show every definition of one task: versions, hashes, and where they differ."""
    from rescore_db.records import TaskRow
    from rescore_db.report.render import show
    from rescore_db.report.summaries import task_footer

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        rows = store.task(task)
    show(rows, form, of=TaskRow, footer=task_footer(rows))


@samples_app.callback(invoke_without_command=True)
def list_samples(
    ctx: typer.Context,
    run: RunOption = None,
    task: OneTask = None,
    where: Where = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """List samples, or show one with all that was asked, answered and scored."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import SampleRow
    from rescore_db.report.render import notice, show

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        found = store.samples(run=run, task=task, where=where, limit=limit + 1)
    show(found[:limit], form, of=SampleRow)
    if len(found) > limit:
        notice(f"note: only the first {limit:,}; --limit N shows more")
    return None


@samples_app.command("show", epilog=examples("rescore samples show 12:0"))
def show_sample(
    sample: Annotated[
        str,
        typer.Argument(metavar="ID", help="As `rescore samples` lists it: EVALUATION:POSITION."),
    ],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Show one sample with all that was asked, answered and scored."""
    from rescore_db.report.render import show_detail

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        show_detail(store.sample(sample), form)


@scorings_app.callback(invoke_without_command=True)
def list_scorings(
    ctx: typer.Context,
    run: RunOption = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """List the scorings, or show one."""
    if ctx.invoked_subcommand:
        return refuse_early_options(ctx)
    from rescore_db.records import ScoringRow
    from rescore_db.report.render import show

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        show(store.scorings(run), form, of=ScoringRow)
    return None


@scorings_app.command("show", epilog=examples("rescore scorings show 3:logged"))
def show_scoring(
    scoring: Annotated[str, typer.Argument(metavar="SCORING", help="Id, or RUN:SCORING.")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Show one scoring: what was scored, with which recipe, and what came out."""
    from rescore_db.report.render import show_detail

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        show_detail(store.scoring(scoring), form)
