"""One thing with all that belongs to it: `rescore … show`, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Final

from rescore_db.records import SampleDetail
from rescore_db.report.columns import listing_of
from rescore_db.report.machine import items
from rescore_db.report.tables import Page, Table, printed, terminal_text
from rescore_db.report.values import (
    chat_messages,
    json_text,
    lines,
    moment,
    one_line,
    plain_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

INDENT: Final = "    "
SHORT: Final = 60  # a text up to this long stands beside its name, a longer one below it
WIDE: Final = 100  # JSON up to this long stands on one line

# What a detail holds a second time in full.
_REPEATED: Final[dict[type, frozenset[str]]] = {
    SampleDetail: frozenset({"prompt", "response"}),
}


def detail_text(thing: Any, page: Page) -> str:  # noqa: ANN401 - any record
    """Show a record: short fields beside their names, long texts below, rows as tables."""
    skip = _REPEATED.get(type(thing), frozenset())
    flat = list(_flattened(thing, skip))
    short = [(key, text) for key, value in flat if (text := _short(key, value)) is not None]
    column = max((len(key) for key, _ in short), default=0) + 2
    parts = [printed([_entry(key, text, column) for key, text in short], page)]
    for key, value in flat:
        if _short(key, value) is None:
            parts.append(f"\n{printed([_title(key)], page)}{_long(value, page)}")
    return "".join(parts)


def _flattened(thing: Any, skip: frozenset[str]) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield a record's fields, those of a record inside it in its place."""
    for key, value in items(thing):
        if is_dataclass(value):
            yield from _flattened(value, skip)
        elif key not in skip:
            yield key, value


def _short(key: str, value: Any) -> str | None:  # noqa: ANN401
    """Return what stands beside a name; None for what needs lines of its own."""
    if key == "date" or key.endswith("_at"):
        return moment(value)
    if isinstance(value, str):
        is_short = len(value) <= SHORT and "\n" not in value
        return one_line(value) if is_short else None
    if isinstance(value, Mapping | Sequence):
        if not value:
            return plain_text(None)
        text = json_text(value) if not _is_rows(value) else None
        return one_line(text) if text is not None and len(text) <= SHORT else None
    return plain_text(value)


def _long(value: Any, page: Page) -> str:  # noqa: ANN401
    """Lay out rows as a table, everything else as indented lines."""
    if _is_rows(value):
        return terminal_text(Table.flat(listing_of(type(value[0])).columns, value), page)
    return "".join(f"{INDENT}{line}\n" for line in _outline(value))


def _outline(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the lines of a value: texts as they are, what is short as JSON, members indented."""
    if isinstance(value, str):
        yield from lines(value)
        return
    value = chat_messages(value) or value
    text = json_text(value)
    if len(text) <= WIDE or not isinstance(value, Mapping | Sequence):
        yield one_line(text)
        return
    members = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in members:
        inner = list(_outline(item))
        name = "-" if key is None else f"{one_line(str(key))}:"
        if key is not None and len(inner) > 1 and not isinstance(item, str):
            yield name  # a container stands below its name
        else:
            yield f"{name} {inner.pop(0)}"
        yield from (f"  {line}" for line in inner)


def _is_rows(value: Any) -> bool:  # noqa: ANN401
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and is_dataclass(value[0])
    )


def _entry(key: str, text: str, column: int) -> Text:
    from rich.text import Text

    return Text.assemble((key.ljust(column), "bold"), text)


def _title(key: str) -> Text:
    from rich.text import Text

    return Text(key, style="bold")
