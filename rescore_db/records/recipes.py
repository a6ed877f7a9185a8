"""Named recipes, as users see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RecipeRow:
    """One entry of a named recipe: how the tasks of some patterns are scored.

    Attributes:
        name: the recipe's name.
        hash: SHA-256 of the recipe's content, hexadecimal.
        entry: 1, 2 …; of a task, the first entry that covers it counts.
        tasks: the patterns.
        source: registry, include-path, task-yaml or as-logged.
        filters: the `filter_list` in place of the tasks' own, None for theirs.
        metrics: the `metric_list` in place of the tasks' own, None for theirs.
        bootstrap_iters: how often to resample for standard errors.
        created_at: when the recipe was added, UTC, ISO 8601.
        notes: what users should know.
    """

    name: str
    hash: str
    entry: int
    tasks: tuple[str, ...]
    source: str
    filters: list[dict[str, Any]] | None
    metrics: list[dict[str, Any]] | None
    bootstrap_iters: int
    created_at: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecipeDifference:
    """One thing in which two recipes differ for the tasks of a pattern; None where one has none."""

    tasks: str
    what: str
    a: Any
    b: Any
