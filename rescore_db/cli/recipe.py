"""`rescore recipe`: ways of scoring under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import (
    AsLogged,
    BootstrapIters,
    Db,
    Filters,
    IncludePaths,
    Metrics,
    ShowsOne,
    TaskYaml,
    examples,
    names,
)
from rescore_db.cli.output import Output, with_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rescore_db.rescoring.request import RecipeEntry

ADD = (
    "rescore recipe add lenient --task 'gsm8k*' --filters my-filters.yaml",
    "rescore recipe add strict --from recipe.yaml",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The recipe's name.")]
File = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FILE",
        show_default=False,
        help="YAML: `tasks:` with patterns and, for each, these options.",
    ),
]
ForTasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        metavar="TASK",
        show_default=False,
        help="For this task, or a pattern; may be given again. [default: all]",
    ),
]

recipe_app = typer.Typer(
    help="Name ways of scoring; score a whole history under one.",
    cls=ShowsOne,
    no_args_is_help=True,
    epilog=examples(*ADD, "rescore score --recipe lenient"),
)


@recipe_app.command(epilog=examples(*ADD))
@with_output
def add(
    name: Name,
    *,
    file: File = None,
    task: ForTasks = None,
    filters: Filters = None,
    metrics: Metrics = None,
    include_path: IncludePaths = None,
    task_yaml: TaskYaml = None,
    as_logged: AsLogged = False,
    bootstrap_iters: BootstrapIters = None,
    out: Output,
    db: Db = None,
) -> None:
    """Give a way of scoring a name; what the name stands for never changes.

    Files are read now. Adding the same again changes nothing.
    """
    from rescore_db.records import RecipeRow
    from rescore_db.rescoring.request import RecipeEntry

    entry = RecipeEntry(
        tasks=names(task),
        filters=filters,
        metrics=metrics,
        include_paths=tuple(include_path or ()),
        task_yaml=task_yaml,
        as_logged=as_logged,
        bootstrap_iters=bootstrap_iters,
    )
    with opened(db, write=True) as store:
        rows = store.add_recipe(name, *_given(entry, file), file=file)
    out.rows(rows, of=RecipeRow, footer=[f"note: {note}" for row in rows for note in row.notes])


def _given(entry: RecipeEntry, file: str | None) -> Sequence[RecipeEntry]:
    """Return the entry that options make; none where a file says all."""
    from rescore_db.rescoring.request import RecipeEntry

    return () if file is not None and entry == RecipeEntry() else (entry,)


@recipe_app.command("list", epilog=examples("rescore recipe list"))
@with_output
def list_recipes(*, out: Output, db: Db = None) -> None:
    """List the recipes, a row for each of their entries."""
    from rescore_db.records import RecipeRow

    with opened(db) as store:
        out.rows(store.recipes(), of=RecipeRow)


@recipe_app.command("show", epilog=examples("rescore recipe show lenient"))
@with_output
def show_recipe(name: Name, *, out: Output, db: Db = None) -> None:
    """Show one recipe: its entries as YAML, as `recipe add --from` takes them."""
    from rescore_db.records import RecipeRow
    from rescore_db.report.recipes import recipe_text
    from rescore_db.report.render import Format, emit

    with opened(db) as store:
        rows = store.recipe(name)
    if out.form is Format.TEXT:
        emit(recipe_text(rows))
    else:
        out.rows(rows, of=RecipeRow)


@recipe_app.command(epilog=examples("rescore recipe diff lenient strict"))
@with_output
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="One recipe.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The other.")],
    *,
    out: Output,
    db: Db = None,
) -> None:
    """Say in what two recipes differ, task pattern by task pattern."""
    from rescore_db.records import RecipeDifference

    with opened(db) as store:
        out.rows(store.diff_recipes(a, b), of=RecipeDifference)
