"""What an ingest, a scoring, a comparison and a verification say in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rescore_db.report.columns import STATUS_STYLES, listing_of
from rescore_db.report.tables import Page, Table, printed, terminal_text
from rescore_db.report.values import count, one_line, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

    from rescore_db.records import (
        CompareRow,
        HistoryRow,
        IngestReport,
        ScoreRow,
        Skipped,
        VerifyRow,
    )

NAMED: Final = 3  # how many files or tasks are named for each reason


def plural(number: int, one: str) -> str:
    """Return a count with its noun: "1 run", "1,280 samples"."""
    return f"{count(number)} {one if number == 1 else f'{one}s'}"


def ingest_text(report: IngestReport) -> str:
    """Say what an ingest added, and what it left out for which reason."""
    if report.evaluations or report.samples:
        added = f"{plural(report.evaluations, 'evaluation')}, {plural(report.samples, 'sample')}"
        text = f"added {added}"
    else:
        text = "nothing new"
    if report.runs:
        text += f" · {plural(len(report.runs), 'run')}: {_id_ranges(report.runs)}"
    return "\n".join([text, *_skipped_lines(report.skipped)]) + "\n"


def score_footer(rows: Sequence[ScoreRow]) -> list[str]:
    """Say what went wrong, which scorings were made, and which already held the answer."""
    made: dict[str, list[int]] = {}
    held: dict[str, list[int]] = {}
    for row in rows:
        runs = (held if row.known else made).setdefault(row.scoring, [])
        if row.run not in runs:
            runs.append(row.run)
    told = [
        f"{word} {one_line(name)} ({plural(len(runs), 'run')}: {_id_ranges(runs)})"
        for word, names in (("new: scoring", made), ("already held by scoring", held))
        for name, runs in names.items()
    ]
    return [*reasons_footer(rows), *told]


def reasons_footer(rows: Iterable[ScoreRow | VerifyRow]) -> list[str]:
    """Return the rows' reasons, each once, with where it holds."""
    places: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if row.reason:
            place = f"run {row.run} {one_line(row.task)}"
            places.setdefault((row.status, row.reason), {})[place] = None
    return [
        f"{'note' if status == 'complete' else status}: {one_line(reason)} ({_named(list(found))})"
        for (status, reason), found in places.items()
    ]


def warnings_footer(rows: Iterable[CompareRow | HistoryRow]) -> list[str]:
    """Return the rows' warnings, each once."""
    seen = dict.fromkeys(warning for row in rows for warning in row.warnings)
    return [f"note: {one_line(warning)}" for warning in seen]


def verify_text(rows: Sequence[VerifyRow], page: Page, *, show_all: bool) -> str:
    """Say how many verdicts there are of each kind, then show those that need a look.

    Args:
        rows: all verdicts.
        page: what is written on.
        show_all: show the identical ones too.
    """
    told = [row for row in rows if show_all or row.status != "identical"]
    parts = [printed([_tally(rows)], page)]
    if told:
        columns = listing_of(type(told[0])).flat_columns()
        parts.append(terminal_text(Table.flat(columns, told), page))
        parts += ["".join(f"{line}\n" for line in reasons_footer(told))]
    parts += [_difference_text(row, page) for row in told if row.differences]
    return "\n".join(part for part in parts if part)


def _tally(rows: Sequence[VerifyRow]) -> Text:
    from rich.text import Text

    found = Counter(row.status for row in rows)
    line = Text()
    for status in sorted(found, key=lambda name: [*STATUS_STYLES, name].index(name)):
        line.append(" · " if line else "")
        line.append(f"{count(found[status])} {one_line(status)}", STATUS_STYLES.get(status))
    return line


def _difference_text(row: VerifyRow, page: Page) -> str:
    """Show the first differences of one verdict."""
    columns = listing_of(type(row.differences[0])).columns
    heading = (
        f"run {row.run} · {plain_text(row.task)} · {plain_text(row.filter)}: first differences"
    )
    more = row.n_differences - len(row.differences)
    table = terminal_text(Table.flat(columns, row.differences), page)
    return f"{printed([_bold(heading)], page)}{table}" + (
        f"… and {count(more)} more\n" if more > 0 else ""
    )


def _bold(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="bold")


def _skipped_lines(skipped: Sequence[Skipped]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for item in skipped:
        by_reason.setdefault(item.reason, []).append(item.file)
    for reason, files in by_reason.items():
        named = _named([one_line(name.rpartition("/")[2] or name) for name in files])
        yield f"skipped {plural(len(files), 'file')}: {one_line(reason)} ({named})"


def _named(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f", {count(more)} more" if more > 0 else "")


def _id_ranges(ids: Iterable[int]) -> str:
    """Return ids in short, "1-4, 7"."""
    parts: list[list[int]] = []
    for number in sorted(ids):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in parts)
