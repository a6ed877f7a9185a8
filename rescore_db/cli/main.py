"""The program: its commands, and the only place where errors become exit codes.

0    done
1    the answer is "no": differences found, some input was bad, something could not be scored, or
     the output could not be written
2    usage: unknown options and names, missing paths, bad SQL
3    the store cannot be used
4    inconclusive
70   a bug of ours, with a traceback and how to report it
130  interrupted
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.core import TyperGroup

from rescore_db.cli import (
    comparing,
    database,
    demo,
    export,
    ingest,
    listings,
    query,
    recipe,
    runs,
    scoring,
    scorings,
    subset,
)
from rescore_db.cli.options import examples
from rescore_db.errors import RescoreError
from rescore_db.masking import masked

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED: Final = 130
OUR_BUG: Final = 70

_ORDER: Final = (
    *("ingest", "runs", "tasks", "samples", "scorings", "subset", "recipe", "score", "verify"),
    *("compare", "history", "sql", "export", "db", "demo"),
)


class InWorkingOrder(TyperGroup):
    """Lists commands in the order in which they are used, groups among them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the commands' names for the help text."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    cls=InWorkingOrder,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # tracebacks are ours to print
    rich_markup_mode=None,  # twice as fast, and command lines in help texts stay whole
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "rescore demo                      take a tour on logs that come with it",
        "rescore ingest results/           take lm-eval's output into ./rescore.db",
        "rescore score latest --filters my-filters.yaml",
        "rescore compare 1 2 --task gsm8k",
    ),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from rescore_db.report.render import emit

        emit(f"rescore {_versions()}\n")
        raise typer.Exit


@app.callback()
def rescore(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Store lm-eval's logs; select, rescore and compare them with no model at hand."""


app.command(epilog=examples(*ingest.EXAMPLES))(ingest.ingest)
app.add_typer(runs.runs_app, name="runs")
app.add_typer(listings.tasks_app, name="tasks")
app.add_typer(listings.samples_app, name="samples")
app.add_typer(scorings.scorings_app, name="scorings")
app.add_typer(subset.subset_app, name="subset")
app.add_typer(recipe.recipe_app, name="recipe")
app.command(
    epilog=examples(
        "rescore score",
        "rescore score latest --task gsm8k --filters my-filters.yaml --name lenient",
        "rescore score 1 2 --subset hard --include-path my_tasks/",
        "rescore score --recipe lenient",
    )
)(scoring.score)
app.command(epilog=examples("rescore verify", "rescore verify latest --task gsm8k --json"))(
    scoring.verify
)
app.command(
    epilog=examples(
        "rescore compare 1 2 --task gsm8k",
        "rescore compare 1/strict-match 1/flexible-extract",
        "rescore compare 1 1:lenient",
    )
)(comparing.compare)
app.command(epilog=examples("rescore history --task gsm8k --filter strict-match"))(
    comparing.history
)
app.command(epilog=examples('rescore sql "SELECT model, count(*) FROM samples GROUP BY model"'))(
    query.sql
)
app.command(
    epilog=examples(
        "rescore export copies/",
        "rescore export copies/ --run latest --task gsm8k",
        "rescore export answers/ --format responses",
    )
)(export.export)
app.add_typer(database.db_app, name="db")
app.command(epilog=examples("rescore demo"))(demo.demo)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: the arguments behind the program's name; None means this process's own.

    Returns:
        the exit code.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name="rescore")
    except SystemExit as stop:  # how typer ends, always
        return _ended(stop)
    except KeyboardInterrupt:
        return _interrupted()
    except RescoreError as error:
        from rescore_db.report.render import notice

        notice(f"rescore: {masked(str(error))}")
        return error.exit_code
    except OSError as error:
        return _unwritable(error) if _is_of_output(error) else _our_bug(error)
    except Exception as error:  # noqa: BLE001 - the one place where our bugs become an exit code
        return _our_bug(error)
    return 0


def _ended(stop: SystemExit) -> int:
    code = stop.code if isinstance(stop.code, int) else 0
    return _interrupted() if code == INTERRUPTED else code


def _interrupted() -> int:
    from rescore_db.report.render import notice

    notice("rescore: interrupted; what was stored until now stays")
    return INTERRUPTED


def _is_of_output(error: OSError) -> bool:
    """Answer whether stdout took no more; errors of files name the file."""
    return error.filename is None and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _unwritable(error: OSError) -> int:
    from rescore_db.report.render import discard, notice

    discard(sys.stdout)
    notice(f"rescore: the output can't be written: {error.strerror}")
    return 1


def _our_bug(error: Exception) -> int:
    """Print a traceback, without passwords, and how to report it."""
    import traceback

    from rescore_db.report.render import notice

    trace = "".join(traceback.format_exception(error))
    notice(
        masked(trace)
        + "rescore: this is a bug in rescore_db, not in your data. Please report it with the "
        f"lines above, the command that you ran, and: rescore_db {_versions()}, {sys.platform}"
    )
    return OUR_BUG


def _versions() -> str:
    from importlib.metadata import version
    from platform import python_version

    ours, theirs = version("rescore_db"), version("lm_eval")
    return f"{ours} (lm-eval {theirs}, Python {python_version()})"
