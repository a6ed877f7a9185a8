"""What an export says in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rescore_db.report.summaries import plural
from rescore_db.report.values import count, one_line, size_text

if TYPE_CHECKING:
    from rescore_db.records.exported import ExportedFile, ExportReport


def export_text(report: ExportReport) -> str:
    """List the files of an export, then say how much it is."""
    listed = [_line(one) for one in report.files]
    by_status = Counter(one.status for one in report.files)
    parts = [f"{count(by_status[status])} {status}" for status in ("written", "unchanged", "kept")]
    told = ", ".join(part for part in parts if not part.startswith("0 "))
    total = (
        f"{plural(len(report.files), 'file')} in {one_line(report.out)} ({told}) · "
        f"{plural(report.lines, 'line')} · {size_text(report.bytes)}"
        if report.files
        else "nothing to write"
    )
    return "".join(f"{line}\n" for line in (*listed, total))


def _line(one: ExportedFile) -> str:
    lines = "" if one.kind == "results" else f"{plural(one.lines, 'line')}, "
    status = "" if one.status == "written" else f", {one.status}"
    return f"{one_line(one.file)}: {lines}{size_text(one.bytes)}{status}"
