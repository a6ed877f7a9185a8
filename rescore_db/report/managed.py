"""What a deletion takes along, where a store's bytes are, and what a vacuum gave back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rescore_db.records import TableSpace
from rescore_db.report.column_kinds import free_columns
from rescore_db.report.columns import listing_of
from rescore_db.report.render import page
from rescore_db.report.summaries import plural
from rescore_db.report.tables import Table, terminal_text
from rescore_db.report.values import count, one_line, size_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rescore_db.records import Deletion, StoreInfo, Vacuumed


NAMED: Final = 5  # runs or scorings that are named; the others are counted


def deletion_text(deletion: Deletion) -> str:
    """Say what goes in users' words, then how many rows of which table."""
    verb = "would delete" if deletion.dry_run else "deleted"
    names = ", ".join(map(one_line, deletion.names[:NAMED]))
    more = len(deletion.names) - NAMED
    counts = (
        ("evaluation", deletion.evaluations),
        ("sample", deletion.samples),
        ("scoring", len(deletion.scorings) if deletion.runs else 0),
        ("score", deletion.scores),
        ("doc", deletion.docs),
        ("prompt", deletion.prompts),
    )
    along = [plural(number, name) for name, number in counts if number]
    rows = [(name, count(number)) for name, number in deletion.rows.items()]
    columns = free_columns(("table", "rows"), list(deletion.rows.items()))
    table = terminal_text(Table.flat(columns, rows), page()) if rows else ""
    notes = list(deletion.notes)
    if not deletion.dry_run:
        notes.append("`rescore db vacuum` gives the room back")
    return (
        f"{verb} {names}{f' and {count(more)} more' if more > 0 else ''}\n"
        + (f"with {', '.join(along)}\n" if along else "")
        + (f"\n{table}" if table else "")
        + _notes(notes)
    )


def info_text(info: StoreInfo) -> str:
    """Show a store as a whole, then table by table."""
    parts = [f"{one_line(info.url)} · {info.database} · revision {info.revision}"]
    sizes = [f"{size_text(info.bytes)}, {size_text(info.page_bytes)} a page"]
    if info.log_bytes:
        sizes.append(f"{size_text(info.log_bytes)} in its write-ahead log")
    if info.free_bytes:
        sizes.append(f"{size_text(info.free_bytes)} of it free: `rescore db vacuum` gives it back")
    parts.append(" · ".join(sizes))
    shown = [one for one in info.tables if one.rows]
    columns = listing_of(TableSpace).columns
    table = terminal_text(Table.flat(columns, shown), page()) if shown else "no rows yet\n"
    empty = len(info.tables) - len(shown)
    rest = f"\n{plural(empty, 'empty table')} not shown\n" if empty and shown else ""
    return "\n".join(parts) + f"\n\n{table}{rest}"


def vacuum_text(vacuumed: Vacuumed) -> str:
    """Say how many bytes a store took before a vacuum, and takes now."""
    before, after = size_text(vacuumed.before), size_text(vacuumed.after)
    return f"{one_line(vacuumed.url)}: {before} before, {after} now\n" + _notes(vacuumed.notes)


def _notes(notes: Iterable[str]) -> str:
    return "".join(f"note: {one_line(text)}\n" for text in notes)
