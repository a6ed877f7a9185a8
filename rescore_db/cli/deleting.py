"""What `runs delete` and `scorings delete` share: showing what goes, and asking."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rescore_db.api import Store
    from rescore_db.cli.output import Output
    from rescore_db.records import Deletion

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def delete(
    db: str | None,
    out: Output,
    delete_or_plan: Callable[[Store, bool], Deletion],
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """Show what goes, ask whether that is meant, and delete it.

    Args:
        db: the store's URL.
        out: where the answer goes.
        delete_or_plan: deletes in a store, or only plans where its second argument is True.
        dry_run: end after showing.
        yes: do not ask.

    Raises:
        UsageError: there is nobody to ask.
        Exit: the answer was no.
    """
    from rescore_db.report.managed import deletion_text

    if dry_run:
        with opened(db) as store:
            return out.told(delete_or_plan(store, True), deletion_text)
    with opened(db, write=True) as store:
        if not yes:
            _ask(delete_or_plan(store, True))
        out.told(delete_or_plan(store, False), deletion_text)
    return None


def _ask(plan: Deletion) -> None:
    """Ask on the terminal, which is not where the answer goes."""
    from rescore_db.report.managed import deletion_text
    from rescore_db.report.render import notice

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        msg = "there is no terminal to ask on: --yes deletes, --dry-run only shows what would go"
        raise UsageError(msg)
    notice(deletion_text(plan).rstrip("\n"))
    if not typer.confirm("Delete this?", err=True):
        notice("nothing was deleted")
        raise typer.Exit(1)
