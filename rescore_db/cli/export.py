"""`rescore export`: write what is stored into files."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import Db, Tasks
from rescore_db.cli.output import Output, with_output


class ExportFormat(StrEnum):
    """What the files are."""

    LM_EVAL = "lm-eval"
    RESPONSES = "responses"


Out = Annotated[
    str,
    typer.Argument(metavar="OUT", help="The folder to write into; made where it is missing."),
]
Form = Annotated[
    ExportFormat,
    typer.Option(
        "--format",
        help="`lm-eval`: the files that lm-eval wrote; `responses`: what the models answered, "
        "as `rescore ingest --responses` reads it.",
    ),
]
RunOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--run",
        metavar="RUN",
        show_default=False,
        help="Only this run, by id, name, model@date or `latest`; may be given again. "
        "[default: the newest version of each]",
    ),
]
ScoringOption = Annotated[
    str | None,
    typer.Option(
        "--scoring",
        metavar="SCORING",
        show_default=False,
        help="Rescored values in place of the logged ones: a scoring's name (of every run that has "
        "one of that name) or id, or RUN:SCORING.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that differ from the export.")]


@with_output
def export(
    folder: Out,
    form: Form = ExportFormat.LM_EVAL,
    scoring: ScoringOption = None,
    run: RunOptions = None,
    task: Tasks = None,
    force: Force = False,
    *,
    out: Output,
    db: Db = None,
) -> None:
    """Write runs as files, in lm-eval's own layout.

    Logged lines come back as they were: `MODEL/results_DATE.json` byte for byte, and
    `MODEL/samples_TASK_DATE.jsonl` with every field equal. With --scoring they are the files that
    lm-eval would have written, had it scored in that way; their date is the scoring's. A file that
    is there already and differs stays as it is, unless --force says to replace it.
    """
    from rescore_db.cli.options import names
    from rescore_db.cli.progress import progress_bar
    from rescore_db.export import ExportRequest
    from rescore_db.report.exported import export_text
    from rescore_db.report.render import notice

    request = ExportRequest(form.value, tuple(run or ()), names(task), force, scoring)
    with opened(db) as store, progress_bar("samples") as progress:
        report = store.export(folder, request=request, progress=progress)
    out.told(report, export_text)
    for note in report.notes:
        notice(f"note: {note}")
    for one in report.kept:
        notice(f"rescore: {one.file} was there with other content and stays: --force replaces it")
    if report.kept:
        raise typer.Exit(1)
