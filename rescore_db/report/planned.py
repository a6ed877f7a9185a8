"""What an ingest would do, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rescore_db.report.column_kinds import Column, Listing, text
from rescore_db.report.summaries import plural, skipped_lines
from rescore_db.report.tables import Page, Table, terminal_text
from rescore_db.report.values import moment, one_line, size_text

if TYPE_CHECKING:
    from rescore_db.records.planned import DryRun, PlannedFile

MINUTE: Final = 60
HOUR: Final = 3600
STATE_STYLES: Final = {"new": "green", "unsure": "yellow"}
COLUMNS: Final = (
    text("state", styles=STATE_STYLES),
    Column(
        key="task",
        title="task",
        cell=lambda row: one_line(row.task) or "(results)",
        least=8,
        keep="both",
    ),
    text("release", "lm-eval", worth=lambda row: bool(row.release), spare=2),
    Column(key="bytes", title="size", cell=lambda row: size_text(row.bytes), right=True),
    text("file", least=16, keep="end", spare=1),
)


def dry_run_text(plan: DryRun, page: Page) -> str:
    """List the files by run, then say how many they are and what would come of them."""
    listing = Listing(columns=COLUMNS, heading=_heading)
    table = terminal_text(Table.of(listing, plan.files), page) + "\n" if plan.files else ""
    return table + "".join(f"{line}\n" for line in (*_totals(plan), *skipped_lines(plan.skipped)))


def duration(seconds: float) -> str:
    """Return a time as people say it, to about two digits: "4 s", "12 min", "3.5 h"."""
    if seconds < 1:
        return "less than a second"
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def _heading(row: PlannedFile) -> str:
    when = moment(row.date) if row.date else one_line(row.origin) or "no date"
    return f"{one_line(row.model)} · {when}"


def _totals(plan: DryRun) -> list[str]:
    by_state = dict.fromkeys(("new", "known", "unsure"), 0)
    for row in plan.files:
        by_state[row.state] += 1
    states = ", ".join(f"{number:,} {state}" for state, number in by_state.items() if number)
    read = (
        f"would read {plural(len(plan.files), 'file')} of {plural(plan.runs, 'run')} ({states}), "
        f"{size_text(plan.bytes)}; nothing was stored"
    )
    expected = (
        f"expected: the database grows by about {size_text(plan.expected_growth)}, in about "
        f"{duration(plan.expected_seconds)} ({plan.basis})"
    )
    return [read, expected]
