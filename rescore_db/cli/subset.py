"""`rescore subset`: sets of docs, chosen by SQL and frozen under a name."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import AsCsv, AsJson, AsMarkdown, Db, ShowsOne, chosen, examples

EXAMPLE = "rescore subset create hard --where \"task = 'gsm8k' AND doc->>'answer' LIKE '%/%'\""

subset_app = typer.Typer(
    help="Freeze sets of docs chosen by SQL; score and compare on them.",
    cls=ShowsOne,
    no_args_is_help=True,
    epilog=examples(EXAMPLE, "rescore score --subset hard", "rescore compare 1 2 --subset hard"),
)


@subset_app.command(epilog=examples(EXAMPLE))
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    where: Annotated[
        str,
        typer.Option(
            "--where",
            metavar="SQL",
            show_default=False,
            help="A doc is in when one of its samples satisfies this. "
            "Fields: doc, task, run, model, date, prompt, target, response.",
        ),
    ],
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", show_default=False, help="Look at this run's samples only."
        ),
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Freeze the docs that a condition selects."""
    from rescore_db.report.render import show_detail

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db, write=True) as store:
        show_detail(store.create_subset(name, where, run=run), form)


@subset_app.command("list", epilog=examples("rescore subset list"))
def list_subsets(
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """List the subsets."""
    from rescore_db.records import SubsetRow
    from rescore_db.report.render import show

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        show(store.subsets(), form, of=SubsetRow)


@subset_app.command("show", epilog=examples("rescore subset show hard"))
def show_subset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="NAME, or NAME@VERSION.")],
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Show one subset: its condition and how many docs it holds."""
    from rescore_db.report.render import show_detail

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        show_detail(store.subset(name), form)
