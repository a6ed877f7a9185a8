"""`rescore demo`: a tour of everything on small logs that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER",
        show_default=False,
        file_okay=False,
        help="Where its store and logs go. [default: a new temporary folder]",
    ),
]


def demo(folder: Folder = None) -> None:
    """Take a tour on small logs that come with the package."""
    from rescore_db.cli.main import main
    from rescore_db.demo import run_tour
    from rescore_db.report.render import emit

    raise typer.Exit(run_tour(main, folder, lambda line: emit(f"{line}\n")))
