"""What an ingest, a scoring, a comparison and a verification say in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rescore_db.records import CompareRow
from rescore_db.report.columns import STATUS_STYLES, listing_of, metric_name
from rescore_db.report.tables import Page, Table, printed, terminal_text
from rescore_db.report.values import count, one_line, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

    from rescore_db.records import (
        HistoryRow,
        IngestReport,
        ScoreRow,
        Skipped,
        Taken,
        TaskRow,
        VerifyRow,
    )

NAMED: Final = 3  # how many files or tasks are named for each reason


def plural(number: int, one: str) -> str:
    """Return a count with its noun: "1 run", "1,280 samples"."""
    return f"{count(number)} {one if number == 1 else f'{one}s'}"


def ingest_text(report: IngestReport) -> str:
    """Say what an ingest added, and what it left out for which reason."""
    text = _added(report) or "nothing new"
    if report.runs:
        text += f" · {plural(len(report.runs), 'run')}: {_id_ranges(report.runs)}"
    return "\n".join([text, *skipped_lines(report.skipped)]) + "\n"


def taken_text(taken: Taken) -> str:
    """Say on one line which evaluation has just gone in."""
    when = f"@{taken.date}" if taken.date else ""
    text = (
        f"run {taken.run} {one_line(taken.model)}{when} {one_line(taken.task)}: "
        f"{plural(taken.samples, 'sample')}"
    )
    return text + (
        f", {plural(taken.quarantined, 'line')} in the quarantine" if taken.quarantined else ""
    )


def _added(report: IngestReport) -> str:
    """Say what was added; "" for nothing."""
    parts = []
    if report.filled:
        parts += [plural(report.filled, "evaluation"), plural(report.samples, "sample")]
    late = report.evaluations - report.filled - report.aggregates_only
    sums = [f"of {plural(late, 'evaluation')}"] if late else []
    if report.aggregates_only:
        sums.append(f"of {plural(report.aggregates_only, 'task')} without samples")
    if sums:
        parts.append(f"{'and ' if parts else ''}aggregates {' and '.join(sums)}")
    if report.quarantined:
        parts.append(f"{plural(report.quarantined, 'line')} left out (rescore ingest --errors)")
    return f"added {', '.join(parts)}" if parts else ""


def score_footer(rows: Sequence[ScoreRow]) -> list[str]:
    """Say what went wrong, which scorings were made, and which already held the answer."""
    made: dict[str, list[int]] = {}
    held: dict[str, list[int]] = {}
    for row in rows:
        if not row.scoring:  # the task could not even be built: there is no scoring of it
            continue
        runs = (held if row.known else made).setdefault(row.scoring, [])
        if row.run not in runs:
            runs.append(row.run)
    told = [
        f"{word} {one_line(name)} ({plural(len(runs), 'run')}: {_id_ranges(runs)})"
        for word, names in (("new: scoring", made), ("already held by scoring", held))
        for name, runs in names.items()
    ]
    warned = [
        ("warning", text, row) for row in rows if row.status != "failed" for text in row.warnings
    ]
    return [*reasons_footer(rows), *_with_places(warned), *told]


def reasons_footer(rows: Iterable[ScoreRow | VerifyRow]) -> list[str]:
    """Return the rows' reasons, each once, with where it holds."""
    return _with_places(
        ("note" if row.status == "complete" else row.status, row.reason, row)
        for row in rows
        if row.reason
    )


def _with_places(told: Iterable[tuple[str, str, ScoreRow | VerifyRow]]) -> list[str]:
    """Return each text once, behind what it is, with the runs and tasks where it holds."""
    places: dict[tuple[str, str], dict[str, None]] = {}
    for word, text, row in told:
        places.setdefault((word, text), {})[f"run {row.run} {one_line(row.task)}"] = None
    return [
        f"{word}: {one_line(text)} ({_named(list(found))})"
        for (word, text), found in places.items()
    ]


def compare_footer(rows: Sequence[CompareRow]) -> list[str]:
    """Say where two sides have nothing in common, then the rows' warnings."""
    pairs: dict[tuple[str, str], list[CompareRow]] = {}
    for row in rows:
        pairs.setdefault((row.run_a, row.run_b), []).append(row)
    apart = []
    for (_, name_b), found in pairs.items():
        if all(row.only for row in found):
            names = [[_what(row) for row in found if row.only == side] for side in "ab"]
            a, b = (_named(own) or "nothing" for own in names)
            where = f" (b = {one_line(name_b)})" if len(pairs) > 1 else ""
            apart.append(
                "note: nothing to compare: no task, filter and metric is in both sides: "
                f"a has {a}; b has {b}{where}"
            )
    return [*apart, *warnings_footer(rows)]


def _what(row: CompareRow) -> str:
    """Name a row by its task and metric, or by its task where it stands for all of it."""
    task = one_line(row.task)
    return task if "*" in (row.filter, metric_name(row)) else f"{task} {metric_name(row)}"


def warnings_footer(rows: Sequence[CompareRow | HistoryRow]) -> list[str]:
    """Return the rows' warnings, each once, with where it holds unless that is everywhere."""
    holders: dict[str, list[CompareRow | HistoryRow]] = {}
    for row in rows:
        for warning in dict.fromkeys(row.warnings):
            holders.setdefault(warning, []).append(row)
    sides = {row.run_b for row in rows if isinstance(row, CompareRow)}
    return [
        f"note: {one_line(warning)}"
        + (f" ({_named(_places(found, rows, len(sides)))})" if len(found) < len(rows) else "")
        for warning, found in holders.items()
    ]


def _places(
    found: Sequence[CompareRow | HistoryRow], rows: Sequence[CompareRow | HistoryRow], sides: int
) -> list[str]:
    """Name rows: a history's by their run, a comparison's by task, and metric where need be."""
    told = Counter(_part(row) for row in found)
    whole = Counter(_part(row) for row in rows)
    places: dict[str, None] = {}
    for row in found:
        if not isinstance(row, CompareRow):
            places[f"run {row.run}"] = None
            continue
        name = one_line(row.task) if told[_part(row)] == whole[_part(row)] else _what(row)
        places[f"{name}, b = {one_line(row.run_b)}" if sides > 1 else name] = None
    return list(places)


def _part(row: CompareRow | HistoryRow) -> tuple[str, str]:
    return row.run_b if isinstance(row, CompareRow) else "", row.task


def tasks_footer(rows: Sequence[TaskRow]) -> list[str]:
    """Say which tasks have several definitions."""
    counts = Counter(row.name for row in rows)
    return [
        f"note: {one_line(name)} has {n} definitions that differ: "
        f"`rescore tasks show {one_line(name)}` says where"
        for name, n in counts.items()
        if n > 1
    ]


def task_footer(rows: Sequence[TaskRow]) -> list[str]:
    """Say in what the definitions of one task differ."""
    return [
        f"note: definition {row.id} differs from {row.differs_from}"
        + (
            f" in {one_line(', '.join(row.differing))}"
            if row.differing
            else "; nothing tells where"
        )
        for row in rows
        if row.differs_from is not None
    ]


def verify_text(rows: Sequence[VerifyRow], page: Page, *, show_all: bool) -> str:
    """Say how many verdicts there are of each kind, then show those that need a look.

    Args:
        rows: all verdicts.
        page: what is written on.
        show_all: show the identical ones too; what is to be known of them is told anyway.
    """
    told = [row for row in rows if show_all or row.status != "identical"]
    parts = [printed([_tally(rows)], page)]
    if told:
        columns = listing_of(type(told[0])).flat_columns()
        parts.append(terminal_text(Table.flat(columns, told), page))
    parts += ["".join(f"{line}\n" for line in reasons_footer(rows))]
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


def skipped_lines(skipped: Sequence[Skipped]) -> Iterator[str]:
    """Say which files were passed over, a line for each reason."""
    from rescore_db.harness_log.locations import base_name

    by_reason: dict[str, list[str]] = {}
    for item in skipped:
        by_reason.setdefault(item.reason, []).append(item.file)
    for reason, files in by_reason.items():
        named = _named([one_line(base_name(name) or name) for name in files])
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
