"""The frozen dataclasses that layers hand each other.

Plain data: no behaviour beyond what is derived from the fields themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import pyarrow as pa

Row = TypeVar("Row")

ScoreKind = Literal[
    "float", "int", "bool", "np.float64", "np.float32", "np.int64", "np.bool", "json"
]
"""What a metric's per-sample values are: the type that `score.value` is cast back to before
aggregation, or "json" where each value is kept as typed JSON in `score.exact`."""


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


# ------------------------------------------------------------------------------------- ingest


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not taken in, and why that is fine."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileError:
    """A file that could not be taken in."""

    file: str
    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingest did.

    Attributes:
        runs: ids of the runs that were touched, new or known, in the order they were read.
        evaluations: how many were added.
        samples: how many were added.
        skipped: files that added nothing, each with its reason.
        errors: files that could not be read.
        notes: what users should know: new versions, flagged hashes, incomplete filters.
    """

    runs: tuple[int, ...]
    evaluations: int
    samples: int
    skipped: tuple[Skipped, ...]
    errors: tuple[FileError, ...]
    notes: tuple[str, ...]


# ------------------------------------------------------------------------------- what is stored


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run, as `rescore runs` lists it."""

    id: int
    name: str | None
    model: str
    date: str | None
    version: int
    lm_eval_version: str | None
    evaluations: int
    samples: int
    scorings: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task definition, as `rescore tasks` lists it."""

    id: int
    name: str
    version: str | None
    hash: str
    output_type: str | None
    evaluations: int
    docs: int


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample, as `rescore samples` lists it; `id` is "<evaluation>:<position>"."""

    id: str
    run: int
    model: str
    task: str
    position: int
    doc_id: int
    doc: Any
    prompt: str | None
    target: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One score of one sample under one scoring."""

    scoring: str
    filter: str
    metric: str
    value: Any
    filtered: Any


@dataclass(frozen=True, slots=True)
class SampleDetail:
    """One sample with all that was asked, answered and scored."""

    sample: SampleRow
    requests: tuple[Any, ...]
    responses: Any
    scores: tuple[SampleScore, ...]


@dataclass(frozen=True, slots=True)
class ScoringRow:
    """One scoring of one run, as `rescore scorings` lists it."""

    id: int
    name: str
    run: int
    model: str
    date: str | None
    kind: str
    subset: str | None
    status: str
    evaluations: int
    n: int
    created_at: str


@dataclass(frozen=True, slots=True)
class SubsetRow:
    """One version of a subset."""

    id: int
    name: str
    version: int
    docs: int
    predicate: str
    run: str | None
    created_at: str


# --------------------------------------------------------------------------------------- scores


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One aggregate of one scoring: what `rescore score` prints."""

    scoring: str
    run: int
    model: str
    task: str
    filter: str
    metric: str
    value: Any
    stderr: Any
    n: int
    status: str
    reason: str | None = None
    is_group: bool = False
    known: bool = False  # it was in the store before this request


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where recomputing gave something else than lm-eval logged."""

    where: str  # "sample 12 (doc_id 7)", "aggregate", "group"
    what: str  # "filtered response", a metric's name, "acc stderr" …
    logged: Any
    recomputed: Any


@dataclass(frozen=True, slots=True)
class VerifyRow:
    """The verdict on one evaluation and filter, or on one group and filter."""

    run: int
    model: str
    task: str
    filter: str
    status: str
    reason: str | None
    n: int
    differences: tuple[Difference, ...] = ()
    n_differences: int = 0
    is_group: bool = False


# -------------------------------------------------------------------------------------- compare


@dataclass(frozen=True, slots=True)
class CompareRow:
    """Two sides of one metric over the docs that both answered."""

    run_a: str
    run_b: str
    task: str
    filter: str
    metric: str
    n: int
    a: float | None
    b: float | None
    diff: float | None
    stderr: float | None
    ci_low: float | None
    ci_high: float | None
    test: str | None
    p: float | None
    p_adjusted: float | None
    improved: int | None
    regressed: int | None
    unchanged: int | None
    unpaired: int
    verdict: str | None
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One run's value of one metric, with the change against the run before it."""

    run: int
    model: str
    date: str | None
    scoring: str
    task: str
    filter: str
    metric: str
    value: float | None
    stderr: float | None
    n: int
    change: float | None
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class SqlResult:
    """Rows of a user's query; `truncated` when the row limit cut them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
