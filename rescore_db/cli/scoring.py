"""`rescore score` and `rescore verify`: compute metrics again from stored responses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import (
    AllowUnsafe,
    AsCsv,
    AsJson,
    AsLogged,
    AsMarkdown,
    BootstrapIters,
    Db,
    Filters,
    IncludePaths,
    Memory,
    Metrics,
    Runs,
    Subset,
    Tasks,
    TaskYaml,
    Timeout,
    Where,
    Workers,
    chosen,
    names,
)
from rescore_db.cli.output import Output, with_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rescore_db.records import Rows, VerifyRow
    from rescore_db.report.render import Format
    from rescore_db.rescoring.request import ScoreRequest

Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        show_default=False,
        help="Only the first N samples of each evaluation.",
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        show_default=False,
        help="Score as this recipe says (`rescore recipe`), whatever lacks it.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", show_default=False, help="What to call the new scoring."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Score again what is already scored.")]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Fail where the definition is not the one that the run was logged with."
    ),
]
ShowAll = Annotated[bool, typer.Option("--all", help="Show the identical ones too.")]
Differences = Annotated[
    int,
    typer.Option(
        "--differences", metavar="N", min=0, help="Show so many differences of each that has any."
    ),
]


@with_output
def score(
    runs: Runs = None,
    *,
    task: Tasks = None,
    subset: Subset = None,
    where: Where = None,
    limit: Limit = None,
    filters: Filters = None,
    metrics: Metrics = None,
    include_path: IncludePaths = None,
    task_yaml: TaskYaml = None,
    as_logged: AsLogged = False,
    bootstrap_iters: BootstrapIters = None,
    recipe: Recipe = None,
    name: Name = None,
    workers: Workers = None,
    force: Force = False,
    strict: Strict = False,
    allow_unsafe: AllowUnsafe = False,
    timeout: Timeout = None,
    memory: Memory = None,
    out: Output,
    db: Db = None,
) -> None:
    """Score stored responses again, without the model; does only what is missing."""
    from rescore_db.rescoring.request import ScoreRequest

    selected = ScoreRequest(tasks=names(task), subset=subset, where=where, limit=limit)
    defined = replace(selected, task_yaml=task_yaml, as_logged=as_logged, recipe=recipe)
    scored = replace(defined, filters=filters, metrics=metrics, bootstrap_iters=bootstrap_iters)
    limited = replace(scored, workers=workers, timeout=timeout, memory=memory)
    request = replace(
        limited,
        include_paths=tuple(include_path or ()),
        name=name,
        force=force,
        strict=strict,
        allow_unsafe=allow_unsafe,
    )
    _score(runs or (), request, out.form, db)


def _score(runs: Sequence[str], request: ScoreRequest, form: Format, db: str | None) -> None:
    from rescore_db.cli.progress import progress_bar
    from rescore_db.records import ScoreRow
    from rescore_db.report.render import show
    from rescore_db.report.summaries import score_footer

    with opened(db, write=True) as store, progress_bar("samples") as progress:
        rows = store.score(*runs, request=request, progress=progress)
    show(rows, form, of=ScoreRow, footer=score_footer(rows))
    if any(row.status in {"failed", "unsupported"} for row in rows):
        raise typer.Exit(1)


def verify(
    runs: Runs = None,
    task: Tasks = None,
    show_all: ShowAll = False,
    differences: Differences = 5,
    include_path: IncludePaths = None,
    task_yaml: TaskYaml = None,
    as_logged: AsLogged = False,
    workers: Workers = None,
    allow_unsafe: AllowUnsafe = False,
    timeout: Timeout = None,
    memory: Memory = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Recompute what lm-eval logged, and say where it differs.

    Writes nothing. Each evaluation and filter is one of: identical; ulp (last digits, cause
    named); different (no cause found); drift (the task's definition changed); nondeterministic
    (upstream itself is random); unsupported (why); unlogged (nothing to compare with).

    Exit code 1 if any is different or drift, else 4 if any is unsupported, else 0.
    """
    from rescore_db.cli.progress import progress_bar
    from rescore_db.rescoring.request import VerifyRequest

    form = chosen(as_json, as_csv, as_markdown)
    request = VerifyRequest(
        tasks=names(task),
        include_paths=tuple(include_path or ()),
        task_yaml=task_yaml,
        as_logged=as_logged,
        allow_unsafe=allow_unsafe,
        workers=workers,
        max_differences=differences,
        timeout=timeout,
        memory=memory,
    )
    with opened(db) as store, progress_bar("samples") as progress:
        rows = store.verify(*(runs or ()), request=request, progress=progress)
    _show_verdicts(rows, form, show_all)
    raise typer.Exit(_verdict_code({row.status for row in rows}))


def _show_verdicts(rows: Rows[VerifyRow], form: Format, show_all: bool) -> None:
    from rescore_db.records import VerifyRow
    from rescore_db.report.render import emit, page, show
    from rescore_db.report.summaries import reasons_footer, verify_text

    if rows and form == "text":
        emit(verify_text(rows, page(), show_all=show_all))
    else:
        show(rows, form, of=VerifyRow, footer=reasons_footer(rows))


def _verdict_code(found: set[str]) -> int:
    """Return the exit code of a verification with these statuses."""
    if found & {"different", "drift"}:
        return 1
    return 4 if "unsupported" in found else 0
