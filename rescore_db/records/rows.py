"""Results that are many rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from rescore_db.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import pyarrow as pa

Row = TypeVar("Row")


class Rows(Sequence[Row]):
    """A list of result rows (dataclasses of one class) that also converts to tables."""

    def __init__(self, rows: Iterable[Row]) -> None:
        """Keep the rows in their order."""
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Rows[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Rows[Row]:
        """Return one row, or a slice of them."""
        return Rows(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._rows)

    def __repr__(self) -> str:
        """Show the rows as a list would."""
        return f"Rows({list(self._rows)!r})"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one plain dictionary a row."""
        return [asdict(row) for row in self._rows]  # type: ignore[call-overload]

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with one column a field."""
        import pandas as pd

        return pd.DataFrame(self.to_dicts())

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table with one column a field."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.to_dicts())


@dataclass(frozen=True, slots=True)
class SqlResult:
    """Rows of a user's query; `truncated` when the row limit cut them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The columns with a number behind a name that was there before: n, n_2."""
        taken: list[str] = []
        for name in self.columns:
            unique, number = name, 1
            while unique in taken or (number > 1 and unique in self.columns):
                number += 1
                unique = f"{name}_{number}"
            taken.append(unique)
        return tuple(taken)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one plain dictionary a row."""
        names = self.names
        return [dict(zip(names, row, strict=True)) for row in self.rows]

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with one column for each of the query's."""
        import pandas as pd

        return pd.DataFrame.from_records(list(self.rows), columns=list(self.names))

    def to_arrow(self) -> pa.Table:
        """Return an Arrow table with one column for each of the query's.

        Raises:
            UsageError: a column holds values of several types, as SQLite's may.
        """
        import pyarrow as pa

        columns = {}
        for index, name in enumerate(self.names):
            try:
                columns[name] = pa.array([row[index] for row in self.rows])
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                msg = f"column {name!r} holds values of several types: cast it in the query"
                raise UsageError(msg) from error
        return pa.table(columns)
