"""Rows laid out for a terminal, or as Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

    from rescore_db.report.column_kinds import Column, Keep, Listing

GAP: Final = "  "

_MARKUP: Final = re.compile(r"[\\|`*<\[\]]|(?<!\w)_|_(?!\w)")


@dataclass(frozen=True, slots=True)
class Page:
    """What is written on.

    Attributes:
        width: cells in a line; None where nothing limits it, as in a file.
        colour: whether styles may be used.
    """

    width: int | None = None
    colour: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a table that stand under one heading; "" for none."""

    heading: str
    cells: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text, under columns that all blocks share, so that the eye can run down them."""

    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, listing: Listing, rows: Sequence[Any]) -> Table:
        """Take the columns that have something to show for these rows, under their headings."""
        shown = _shown(listing.columns, rows)
        groups: dict[str, list[Any]] = {}
        for row in rows:
            groups.setdefault(listing.heading(row) if listing.heading else "", []).append(row)
        blocks = (Block(heading, _cells(shown, members)) for heading, members in groups.items())
        return cls(shown, tuple(blocks))

    @classmethod
    def flat(cls, columns: Iterable[Column], rows: Sequence[Any]) -> Table:
        """Take the columns that have something to show, without groups."""
        shown = _shown(columns, rows)
        return cls(shown, (Block("", _cells(shown, rows)),))

    def without(self, index: int) -> Table:
        """Return the table without one of its columns."""
        return Table(
            (*self.columns[:index], *self.columns[index + 1 :]),
            tuple(
                Block(b.heading, tuple((*row[:index], *row[index + 1 :]) for row in b.cells))
                for b in self.blocks
            ),
        )


def _shown(columns: Iterable[Column], rows: Sequence[Any]) -> tuple[Column, ...]:
    return tuple(
        column
        for column in columns
        if column.title is not None
        and (column.worth is None or any(column.worth(row) for row in rows))
    )


def _cells(columns: Sequence[Column], rows: Iterable[Any]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(column.cell(row) for column in columns) for row in rows)


def terminal_text(table: Table, page: Page) -> str:
    """Lay out a table in aligned columns that fit the page, under its blocks' headings."""
    fitted, widths = _fit(table, _natural_widths(table), page.width)
    lines: list[Text] = []
    for block in fitted.blocks:
        lines += [_styled("", "")] if lines else []
        lines += [_styled(line, "bold") for line in block.heading.split("\n") if line]
        lines += _block_lines(fitted.columns, block, widths)
    kept = {column.key for column in fitted.columns}
    gone = [column.title or "" for column in table.columns if column.key not in kept]
    if gone:
        lines.append(_styled(f"(no room for: {', '.join(gone)})", "dim"))
    return printed(lines, page)


def printed(lines: Iterable[Text], page: Page) -> str:
    """Return lines as they go to the page: with escape sequences for styles, or without."""
    from rich.console import Console

    console = Console(
        file=StringIO(),
        force_terminal=page.colour,
        force_jupyter=False,
        legacy_windows=False,
        color_system="auto" if page.colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )
    with console.capture() as capture:
        for line in lines:
            console.print(line)
    return capture.get()


def markdown(table: Table) -> str:
    """Lay out a table as GitHub-flavoured Markdown; markup in cells is escaped."""
    head = [_escape_markdown(column.title or "") for column in table.columns]
    rule = ["---:" if column.right else "---" for column in table.columns]
    body = (
        [
            _escape_markdown(cut(cell, column.most, column.keep))
            for column, cell in zip(table.columns, row, strict=True)
        ]
        for block in table.blocks
        for row in block.cells
    )
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))


def cut(text: str, width: int | None, keep: Keep = "start") -> str:
    """Cut a text to a width in terminal cells, with `…` where something is gone."""
    from rich.cells import cell_len, set_cell_size

    if width is None or cell_len(text) <= width:
        return text
    at_end = {"start": 0, "end": width - 1, "both": (width - 1) // 2}[keep]
    start = set_cell_size(text[: width * 2], width - 1 - at_end)
    return f"{start}…{set_cell_size(text[: -width * 2 - 1 : -1], at_end)[::-1]}"


def _natural_widths(table: Table) -> list[int]:
    from rich.cells import cell_len

    widths = []
    for index, column in enumerate(table.columns):
        cells = (row[index] for block in table.blocks for row in block.cells)
        longest = max(map(cell_len, cells), default=0)
        title = cell_len(column.title or "")
        widths.append(max(title, min(longest, column.most or longest)))
    return widths


def _fit(table: Table, widths: list[int], width: int | None) -> tuple[Table, list[int]]:
    """Leave out what is spare where even the least widths find no room, then narrow the widest."""
    if width is None:
        return table, widths
    room = width - len(GAP) * (len(widths) - 1)
    floors = [
        size if column.least is None else min(column.least, size)
        for column, size in zip(table.columns, widths, strict=True)
    ]
    spare = [(column.spare, index) for index, column in enumerate(table.columns) if column.spare]
    if sum(floors) > room and spare:
        _, first = max(spare)
        return _fit(table.without(first), [*widths[:first], *widths[first + 1 :]], width)
    fitted = list(widths)
    while sum(fitted) > room:
        open_to = [i for i, size in enumerate(fitted) if size > floors[i]]
        if not open_to:
            break  # the terminal is narrower than the least: let it wrap
        fitted[max(open_to, key=fitted.__getitem__)] -= 1
    return table, fitted


def _block_lines(columns: Sequence[Column], block: Block, widths: Sequence[int]) -> Iterator[Text]:
    titles = [column.title or "" for column in columns]
    yield _line(columns, titles, widths, ["bold"] * len(titles))
    yield _styled(GAP.join("─" * width for width in widths), "dim")
    for row in block.cells:
        styles = [
            (column.styles or {}).get(cell, "") for column, cell in zip(columns, row, strict=True)
        ]
        yield _line(columns, row, widths, styles)


def _line(
    columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], styles: Sequence[str]
) -> Text:
    from rich.cells import cell_len

    line = _styled("", "")
    last = len(columns) - 1
    for index, (column, cell) in enumerate(zip(columns, cells, strict=True)):
        text = cut(cell, widths[index], column.keep)
        padding = " " * (widths[index] - cell_len(text))
        if column.right:
            line.append(padding)
        line.append(text, styles[index] or None)
        if index != last:
            line.append(GAP if column.right else padding + GAP)
    return line


def _styled(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(text, style=style)


def _escape_markdown(cell: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", cell.replace("&", "&amp;")).replace(r"\<", "&lt;")
