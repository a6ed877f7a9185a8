"""The door of the report layer: `show(rows, format)` writes rows to stdout."""

from __future__ import annotations

import os
import shutil
import sys
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from rescore_db.report.column_kinds import free_columns
from rescore_db.report.columns import listing_of
from rescore_db.report.details import detail_text
from rescore_db.report.machine import csv_table, items, json_list, json_object, json_value
from rescore_db.report.tables import Page, Table, markdown, terminal_text
from rescore_db.report.values import lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rescore_db.records import SqlResult


class Format(StrEnum):
    """How output is written."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"


def show(rows: Sequence[Any], form: Format, *, of: type, footer: Sequence[str] = ()) -> None:
    """Write a listing to stdout.

    Args:
        rows: records of one class.
        form: how to write them.
        of: the records' class, which also an empty listing has.
        footer: lines to put under a table that people read.
    """
    listing = listing_of(of)
    if form is Format.JSON:
        emit(json_list(rows))
    elif form is Format.CSV:
        names = [column.key for column in listing.columns]
        emit_csv(names, [[getattr(row, name) for name in names] for row in rows])
    elif not rows:
        notice(listing.empty)
    elif form is Format.MARKDOWN:
        emit(
            markdown(Table.flat(listing.flat_columns(), rows))
            + "".join(f"\n{line}\n" for line in footer)
        )
    else:
        under = "".join(f"{line}\n" for line in footer)
        emit(terminal_text(Table.of(listing, rows), page()) + (f"\n{under}" if under else ""))


def show_detail(thing: Any, form: Format) -> None:  # noqa: ANN401 - any record
    """Write one record with all that belongs to it to stdout."""
    names, values = zip(*items(thing), strict=True)
    if form is Format.JSON:
        emit(json_object(thing))
    elif form is Format.CSV:
        emit_csv(names, [values])
    elif form is Format.MARKDOWN:
        rows = [
            (name, value if isinstance(value, str) else json_value(value))
            for name, value in zip(names, values, strict=True)
        ]
        emit(markdown(Table.flat(free_columns(("field", "value"), rows, most=None), rows)))
    else:
        emit(detail_text(thing, page()))


def show_query(result: SqlResult, form: Format) -> None:
    """Write the rows of a query to stdout; columns of one name are told apart by a number."""
    names = result.names
    if form is Format.JSON:
        emit(json_list(result.to_dicts()))
    elif form is Format.CSV:
        emit_csv(names, result.rows)
    else:
        table = Table.flat(free_columns(names, result.rows), result.rows)
        emit(markdown(table) if form is Format.MARKDOWN else terminal_text(table, page()))


def page() -> Page:
    """Return what stdout is: a terminal of some width, or something that takes any."""
    is_terminal = sys.stdout.isatty()
    limited = is_terminal or os.environ.get("COLUMNS")
    width = shutil.get_terminal_size().columns if limited else None
    return Page(width, colour=is_terminal and os.environ.get("TERM") != "dumb")


def emit(text: str) -> None:
    """Write to stdout; a reader that has gone away, as in `| head`, is no error."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)


def discard(stream: IO[str]) -> None:
    """Send what a stream still holds, and all to come, nowhere: its other end takes no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def emit_csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write CSV to stdout: exact, except where a terminal would obey what is in it."""
    text = csv_table(names, rows)
    if sys.stdout.isatty():
        text = "".join(f"{line}\n" for line in lines(text.removesuffix("\n")))
    emit(text)


def notice(text: str) -> None:
    """Write a message to stderr, one that no data in it can turn into something else."""
    encoding = sys.stderr.encoding or "utf-8"
    safe = "".join(f"{line}\n" for line in lines(text))
    try:
        sys.stderr.write(safe.encode(encoding, "backslashreplace").decode(encoding))
        sys.stderr.flush()
    except OSError:  # a full disk, a reader that has gone: the exit code still tells
        discard(sys.stderr)
