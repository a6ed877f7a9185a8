"""Runs against each other, and over time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CompareRow:
    """Two sides of one metric over the docs that both answered.

    Attributes:
        is_group: `task` is a group, and the values are its stored aggregates.
        only: "a" or "b" where only that side has it, else None.
    """

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
    is_group: bool = False
    only: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One run's value of one metric, with the change against the run before it."""

    run: int
    model: str
    date: str | None
    step: int | None  # of training, where a user or the log says
    num_fewshot: int | None
    scoring: str
    task: str
    filter: str
    metric: str
    value: float | None
    stderr: float | None
    n: int
    change: float | None
    warnings: tuple[str, ...] = field(default=())
