"""Scores, how they came about, and whether they are what lm-eval logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rescore_db.records.stored import ScoringRow

ScoreKind = Literal[
    "float", "int", "bool", "np.float64", "np.float32", "np.int64", "np.bool", "json"
]
"""What a metric's per-sample values are: the type that `score.value` is cast back to before
aggregation, or "json" where each value is kept as typed JSON in `score.exact`."""


@dataclass(frozen=True, slots=True)
class DriftSign:
    """One thing that a task's definition gives now and did not give when the run was logged.

    Attributes:
        what: "the target", or a filter's response.
        n: in how many samples it differs.
        of: how many were compared.
        first: (position, value now, logged value) of the first of them.
    """

    what: str
    n: int
    of: int
    first: tuple[tuple[int, Any, Any], ...]


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
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One evaluation under a scoring.

    Attributes:
        evaluation: primary key of the evaluation.
        task: name of the task.
        status: complete, nondeterministic, unsupported, pending or failed.
        reason: why it is not complete.
        n: samples selected.
        selection: their positions, "0-9,12"; "" means all.
        subset: what the user called the selection.
        recipe: the beginning of the recipe's hash, None for logged scores.
        environment: primary key of the environment, None for logged scores.
        quarantined: lines of the evaluation's file that could not be stored.
        warnings: what users should know about the scores.
    """

    evaluation: int
    task: str
    status: str
    reason: str | None
    n: int
    selection: str
    subset: str | None
    recipe: str | None
    environment: int | None
    quarantined: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoringDetail:
    """One scoring: how, what was scored, and what came out.

    Attributes:
        scoring: as it is listed.
        attempt: 1, 2 … of the same way of scoring the run.
        how: definition source, filter and metric overrides, selection rule.
        evaluations: one row each.
        recipes: content by the beginning of its hash.
        environments: content by primary key.
        results: aggregates by task, filter and metric, groups last.
    """

    scoring: ScoringRow
    attempt: int
    how: Any
    evaluations: tuple[ScoredRow, ...]
    recipes: Mapping[str, Any]
    environments: Mapping[str, Any]
    results: tuple[ScoreRow, ...]


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
