"""`rescore ingest`: take lm-eval's output, and responses made elsewhere, into the store."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from rescore_db.cli import intake
from rescore_db.cli.options import Db
from rescore_db.cli.output import Output, with_output
from rescore_db.errors import UsageError

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH",
        show_default=False,
        help="Folders, files, globs or URLs that hold lm-eval's output, compressed or not.",
    ),
]
SkipBadLines = Annotated[
    bool,
    typer.Option(
        "--skip-bad-lines",
        help="Store the good lines of damaged files; the others go into the quarantine.",
    ),
]
Errors = Annotated[bool, typer.Option("--errors", help="List what is in the quarantine.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only list files, runs, expected size and time."),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch", help="Follow folders; take each evaluation once it is complete, until Ctrl-C."
    ),
]
Interval = Annotated[
    float, typer.Option("--interval", metavar="SECONDS", min=0.1, help="How often --watch looks.")
]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", show_default=False, help="A name for the one run."),
]
Step = Annotated[
    int | None,
    typer.Option(
        "--step",
        metavar="N",
        min=0,
        show_default=False,
        help="The runs' step of training, where the files do not tell it or tell another.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag", metavar="TAG", show_default=False, help="A tag for the runs; may be given again."
    ),
]
Responses = Annotated[
    str | None,
    typer.Option(
        "--responses",
        metavar="FILE",
        show_default=False,
        help="Responses made elsewhere, one JSON object a line; needs --task and --model.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", show_default=False, help="Task of the --responses."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", show_default=False, help="Model of the --responses."),
]
Date = Annotated[
    str | None,
    typer.Option(
        "--date", metavar="DATE", show_default=False, help="When the --responses were made."
    ),
]
EXAMPLES: Final = (
    "rescore ingest results/ more/samples_gsm8k_*.jsonl",
    "rescore ingest checkpoint-4000/ --step 4000 --tag sft",
    "rescore ingest --dry-run s3://bucket/results/",
    "rescore ingest --skip-bad-lines damaged/",
    "rescore ingest --errors",
    "rescore ingest --watch results/",
    "rescore ingest --responses answers.jsonl --task gsm8k --model my/model",
)


_MODES: Final = {
    "dry_run": "--dry-run",
    "errors": "--errors",
    "watch": "--watch",
    "responses": "--responses",
}
_TAKING: Final = ("", "--watch", "--responses")
_MEANT_FOR: Final = {
    "paths": ("", "--dry-run", "--watch"),
    "skip_bad_lines": ("", "--watch"),
    "interval": ("--watch",),
    "name": ("", "--responses"),
    "step": _TAKING,
    "tag": _TAKING,
    "task": ("--responses",),
    "model": ("--responses",),
    "date": ("--responses",),
}
"""Parameter → the modes in which it means something; "" is a plain ingest."""


@with_output
def ingest(
    ctx: typer.Context,
    paths: Paths = None,
    skip_bad_lines: SkipBadLines = False,
    dry_run: DryRun = False,
    errors: Errors = False,
    watch: Watch = False,
    interval: Interval = 10.0,
    name: Name = None,
    step: Step = None,
    tag: Tags = None,
    responses: Responses = None,
    task: Task = None,
    model: Model = None,
    date: Date = None,
    *,
    out: Output,
    db: Db = None,
) -> None:
    """Take lm-eval's output into the store.

    Reads what `lm_eval --log_samples --output_path DIR` wrote, in any release, and results files
    alone. What the store already holds is not added again, so the same folder can be given after
    each new run. A damaged file is named with its line, and the others go in.
    """
    from rescore_db.records import IngestOptions

    _refuse_foreign(ctx)
    options = IngestOptions(skip_bad_lines, name, step, tuple(tag or ()))
    if responses is not None:
        intake.take_responses(responses, (task, model, date), options, out, db)
    elif errors:
        intake.list_quarantine(out, db)
    elif dry_run:
        intake.plan(paths or [], out, db)
    elif watch:
        intake.watch(paths or [], interval, options, out, db)
    else:
        intake.take(paths or [], options, out, db)


def _refuse_foreign(ctx: typer.Context) -> None:
    """Refuse options that mean nothing together: they would have no effect.

    Raises:
        UsageError: there is one, or nothing to read is given.
    """
    given = {
        one.name: one.opts[0] if one.opts[0].startswith("-") else "PATH"
        for one in ctx.command.params
        if (source := ctx.get_parameter_source(one.name or "")) is not None
        and source.name == "COMMANDLINE"
    }
    modes = [option for key, option in _MODES.items() if key in given]
    if len(modes) > 1:
        msg = f"{modes[0]} and {modes[1]} exclude each other"
        raise UsageError(msg)
    mode = modes[0] if modes else ""
    for key, meant_for in _MEANT_FOR.items():
        if key in given and mode not in meant_for:
            only = " and ".join(meant_for)
            msg = (
                f"{given[key]} means nothing with {mode}" if mode else f"{given[key]} is for {only}"
            )
            raise UsageError(msg)
    if mode in _MEANT_FOR["paths"] and "paths" not in given:
        msg = "Missing argument 'PATH': a folder, file, glob or URL that holds lm-eval's output"
        raise UsageError(msg)
