"""The options that several commands share, and what is made of them."""

from __future__ import annotations

import shlex
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from rescore_db.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rescore_db.report.render import Format

Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        show_default=False,
        help="The store: sqlite:///FILE or postgresql://USER@HOST/NAME. "
        "[default: $RESCORE_DB, else sqlite:///rescore.db]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Write CSV.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Write a Markdown table.")]

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN",
        show_default=False,
        help="Runs by id, name, model@date or `latest`. [default: all]",
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        show_default=False,
        help="Only this run: id, name, model@date or `latest`.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        metavar="TASK",
        show_default=False,
        help="Only this task, or a pattern such as 'mmlu_*'; may be given again.",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="SQL",
        show_default=False,
        help="Only docs for which this holds, as \"doc->>'level' > 3\". "
        "Fields: doc, task, run, model, date, prompt, target, response.",
    ),
]
Subset = Annotated[
    str | None,
    typer.Option("--subset", metavar="NAME", show_default=False, help="Only docs of this subset."),
]
IncludePaths = Annotated[
    list[str] | None,
    typer.Option(
        "--include-path",
        metavar="DIR",
        show_default=False,
        help="A folder of your own task definitions; may be given again.",
    ),
]
TaskYaml = Annotated[
    str | None,
    typer.Option(
        "--task-yaml",
        metavar="FILE",
        show_default=False,
        help="One task's definition, used for what --task chooses.",
    ),
]
Filters = Annotated[
    str | None,
    typer.Option(
        "--filters",
        metavar="FILE",
        show_default=False,
        help="YAML with other filters, in lm-eval's filter_list syntax.",
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="FILE",
        show_default=False,
        help="YAML with other metrics, in lm-eval's metric_list syntax.",
    ),
]
BootstrapIters = Annotated[
    int | None,
    typer.Option(
        "--bootstrap-iters",
        metavar="N",
        min=0,
        show_default=False,
        help="How often to resample for standard errors.",
    ),
]
AsLogged = Annotated[
    bool,
    typer.Option(
        "--as-logged",
        help="Take the definition from each run's results file; only where it holds no Python.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        show_default=False,
        help="Scoring processes at once. [default: by cores and work]",
    ),
]
AllowUnsafe = Annotated[
    bool,
    typer.Option("--allow-unsafe", help="Also tasks that execute code which models wrote."),
]

Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        show_default=False,
        help="How long a task's code may take for one document; for building the task, or "
        "aggregating, ten times as long. [default: $RESCORE_CHILD_SECONDS, else 60]",
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        metavar="MB",
        min=1,
        show_default=False,
        help="How much memory each scoring process may use. [default: $RESCORE_CHILD_MB, "
        "else 8192]",
    ),
]


def examples(*commands: str) -> str:
    """Return the end of a help text: command lines, not wrapped."""
    return "\n".join(["\b", "Examples:" if len(commands) > 1 else "Example:", *_indented(commands)])


def chosen(as_json: bool, as_csv: bool, as_markdown: bool) -> Format:
    """Return the format that the flags choose.

    Raises:
        UsageError: more than one was given.
    """
    from rescore_db.report.render import Format

    given = [
        form
        for form, flag in (
            (Format.JSON, as_json),
            (Format.CSV, as_csv),
            (Format.MARKDOWN, as_markdown),
        )
        if flag
    ]
    if len(given) > 1:
        msg = f"--{given[0]} and --{given[1]} exclude each other"
        raise UsageError(msg)
    return given[0] if given else Format.TEXT


class ShowsOne(TyperGroup):
    """A listing with a command `show`, which is suggested to those who leave it out."""

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[Any, Any, list[str]]:  # type: ignore[override]
        """Find the command that the arguments name.

        Raises:
            UsageError: there is none, and it is no slip of the keys.
        """
        name = args[0]
        known = list(self.commands)
        if name not in known and name[:1] != "-" and not get_close_matches(name, known):
            instead = f"{ctx.command_path} show {shlex.quote(name)}"
            msg = f"{ctx.command_path} has no command {name!r}; to show one: {instead}"
            raise UsageError(msg)
        return super().resolve_command(ctx, args)


def names(values: list[str] | None) -> tuple[str, ...]:
    """Return names given one by one or, as lm-eval takes them, with commas between."""
    return tuple(name for value in values or () for name in value.split(",") if name)


def refuse_early_options(ctx: typer.Context) -> None:
    """Refuse options between a group and its command: they would have no effect.

    Raises:
        UsageError: there is one, as in `rescore runs --json show 3`.
    """
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            msg = f"{parameter.opts[0]} belongs behind `{ctx.info_name} {ctx.invoked_subcommand} …`"
            raise UsageError(msg)


def _indented(commands: Iterable[str]) -> list[str]:
    return [f"  {command}" for command in commands]
