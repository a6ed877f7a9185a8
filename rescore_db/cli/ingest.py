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
    float | None,
    typer.Option(
        "--interval",
        metavar="SECONDS",
        min=0.1,
        show_default=False,
        help="How often --watch looks. [default: 10]",
    ),
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


@with_output
def ingest(
    paths: Paths = None,
    skip_bad_lines: SkipBadLines = False,
    dry_run: DryRun = False,
    errors: Errors = False,
    watch: Watch = False,
    interval: Interval = None,
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

    options = IngestOptions(skip_bad_lines, name, step, tuple(tag or ()))
    modes = {"--dry-run": dry_run, "--errors": errors, "--watch": watch, "--responses": responses}
    chosen = [mode for mode, is_on in modes.items() if is_on]
    if len(chosen) > 1:
        msg = f"{chosen[0]} and {chosen[1]} exclude each other"
        raise UsageError(msg)
    mode = chosen[0] if chosen else ""
    _refuse_foreign(
        mode,
        {
            "PATH": (paths, ("", "--dry-run", "--watch")),
            "--skip-bad-lines": (skip_bad_lines, ("", "--watch")),
            "--interval": (interval, ("--watch",)),
            "--name": (name, ("", "--responses")),
            "--step": (step, ("", "--watch", "--responses")),
            "--tag": (tag, ("", "--watch", "--responses")),
            "--task": (task, ("--responses",)),
            "--model": (model, ("--responses",)),
            "--date": (date, ("--responses",)),
        },
    )
    if responses is not None:
        intake.take_responses(responses, (task, model, date), options, out, db)
    elif errors:
        intake.list_quarantine(out, db)
    elif not paths:
        msg = "give a PATH: a folder, file, glob or URL that holds lm-eval's output"
        raise UsageError(msg)
    elif dry_run:
        intake.plan(paths, out, db)
    elif watch:
        intake.watch(paths, interval, options, out, db)
    else:
        intake.take(paths, options, out, db)


def _refuse_foreign(mode: str, given: dict[str, tuple[object, tuple[str, ...]]]) -> None:
    """Refuse options that mean nothing in a mode: they would have no effect.

    Args:
        mode: the option that chooses it, "" for a plain ingest.
        given: option → its value, and the modes that it is for.

    Raises:
        UsageError: there is one.
    """
    for option, (value, modes) in given.items():
        if value is None or value is False or value == [] or mode in modes:
            continue
        if mode:
            msg = f"{option} means nothing with {mode}: leave it out"
        else:
            msg = f"{option} is for {' and '.join(modes)} only"
        raise UsageError(msg)
