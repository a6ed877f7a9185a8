"""The columns of a table: what each shows of a row, and how it behaves where room is short."""

from __future__ import annotations

from dataclasses import Field, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from rescore_db.report import values
from rescore_db.report.values import moment, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Keep = Literal["start", "end", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of a row class, and how tables show it.

    Attributes:
        key: the field; its name in JSON and CSV.
        title: its heading in tables; None keeps it out of them.
        cell: the cell's text, from the whole row.
        right: numbers stand at the right.
        least: the width, in cells, down to which it is cut where room is short; None never cuts.
        most: the width at which it is cut even where there is room.
        keep: what stays of a cell that is cut: its start, its end, or both.
        spare: left out where there is no room, the largest number first; 0 stays.
        worth: shown when this holds for any row; None means always.
        styles: rich styles by the cell's text.
    """

    key: str
    title: str | None
    cell: Callable[[Any], str]
    right: bool = False
    least: int | None = None
    most: int | None = None
    keep: Keep = "start"
    spare: int = 0
    worth: Callable[[Any], bool] | None = None
    styles: Mapping[str, str] | None = None


def free_columns(
    names: Sequence[str], rows: Sequence[tuple[Any, ...]], most: int | None = 60
) -> tuple[Column, ...]:
    """Return columns for rows that are plain tuples, such as a query's.

    Args:
        names: the columns' headings.
        rows: as many values as names each.
        most: the width at which texts are cut; None never cuts.
    """

    def is_numeric(index: int) -> bool:
        seen = [row[index] for row in rows if row[index] is not None]
        return bool(seen) and all(isinstance(value, int | float) for value in seen)

    return tuple(
        Column(
            key=name,
            title=plain_text(name),
            cell=lambda row, index=index: plain_text(row[index]),  # type: ignore[misc]
            right=(right := is_numeric(index)),
            least=None if right else 6,
            most=None if right else most,
        )
        for index, name in enumerate(names)
    )


# ------------------------------------------------------------------------------ kinds of columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All columns of one row class.

    Attributes:
        columns: one for each field, in the fields' order.
        heading: the lines above a row's table: rows with the same ones stand in one table, in
            the order in which they come.
        group: the fields that the heading tells, columns of their own where there are none.
        empty: what to say where there are no rows.
    """

    columns: tuple[Column, ...]
    heading: Callable[[Any], str] | None = None
    group: tuple[str, ...] = ()
    empty: str = "nothing to show"

    def flat_columns(self) -> tuple[Column, ...]:
        """Return the columns for one table without headings: the groups' fields first."""
        by_key = {column.key: column for column in self.columns}
        groups = [replace(by_key[key], title=by_key[key].title or key) for key in self.group]
        return (*groups, *(column for column in self.columns if column.key not in self.group))


def text(key: str, title: str | None = None, **how: Any) -> Column:  # noqa: ANN401
    """Show a value as text."""
    return Column(
        key=key, title=title or key, cell=lambda row: plain_text(getattr(row, key)), **how
    )


def tags(key: str, **how: Any) -> Column:  # noqa: ANN401
    """Show a list of words with commas between."""
    return Column(
        key=key, title=key, cell=lambda row: ", ".join(map(plain_text, getattr(row, key))), **how
    )


def count(key: str, title: str | None = None, **how: Any) -> Column:  # noqa: ANN401
    """Show a count, at the right."""
    return Column(
        key=key,
        title=title or key,
        cell=lambda row: values.count(getattr(row, key)),
        right=True,
        **how,
    )


def size(key: str, title: str | None = None, **how: Any) -> Column:  # noqa: ANN401
    """Show a number of bytes in the unit that suits it, at the right."""
    return Column(
        key=key,
        title=title or key,
        cell=lambda row: values.size_text(getattr(row, key)),
        right=True,
        **how,
    )


def number(key: str, title: str | None = None, *, signed: bool = False, **how: Any) -> Column:  # noqa: ANN401
    """Show a value or a difference, at the right."""
    return Column(
        key=key,
        title=title or key,
        cell=lambda row: values.number(getattr(row, key), signed=signed),
        right=True,
        **how,
    )


def spread(key: str, **how: Any) -> Column:  # noqa: ANN401
    """Show a standard error, behind ±."""
    return Column(
        key=key,
        title="± stderr",
        cell=lambda row: values.spread(getattr(row, key)),
        right=True,
        **how,
    )


def date(key: str, title: str | None = None, **how: Any) -> Column:  # noqa: ANN401
    """Show a moment without fractions of seconds."""
    return Column(key=key, title=title or key, cell=lambda row: moment(getattr(row, key)), **how)


def exact(key: str, **how: Any) -> Column:  # noqa: ANN401
    """Show floats with all their digits: two that differ must look different."""

    def cell(row: Any) -> str:  # noqa: ANN401 - any row class
        value = getattr(row, key)
        return float.__repr__(value) if isinstance(value, float) else plain_text(value)

    return Column(key=key, title=key, cell=cell, **how)


def hidden(key: str, **how: Any) -> Column:  # noqa: ANN401
    """Keep a field out of tables."""
    return Column(key=key, title=None, cell=lambda row: plain_text(getattr(row, key)), **how)


def undeclared(field: Field[Any]) -> Column:
    """Show a field by its type, where any row has something in it."""

    def worth(row: Any) -> bool:  # noqa: ANN401 - any row class
        value = getattr(row, field.name)
        return value is not None and value is not False and value not in ("", ())

    if str(field.type).startswith("int"):
        return text(field.name, right=True, worth=worth)
    return text(field.name, worth=worth, least=6, most=60)
