"""Recomputed against logged: where they differ, and whether only in the last digits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rescore_db.records import Difference

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST_DIGITS: Final = 1e-12
"""Relative difference up to which two floats are the same but for rounding (a float has 1.1e-16;
a sum of thousands of exponentials loses some of that)."""


@dataclass(slots=True)
class Comparison:
    """Collects the differences of one evaluation and filter.

    Attributes:
        keep: how many differences are kept to show; all are counted.
        shown: the first differences.
        total: how many there are.
        beyond_rounding: how many are more than the last digits of a number.
    """

    keep: int
    shown: list[Difference] = field(default_factory=list)
    total: int = 0
    beyond_rounding: int = 0

    def check(self, where: str, what: str, logged: Any, recomputed: Any) -> None:  # noqa: ANN401
        """Compare one value, both as they stand in a log."""
        if same(logged, recomputed):
            return
        self.total += 1
        self.beyond_rounding += not nearly_same(logged, recomputed)
        if len(self.shown) < self.keep:
            self.shown.append(Difference(where, what, logged, recomputed))


def same(logged: Any, recomputed: Any) -> bool:  # noqa: ANN401 - JSON values
    """Tell whether two JSON values are equal; NaN equals NaN, 1 equals 1.0 and true.

    Up to 0.4.12 lm-eval writes numpy's booleans and floats as text: such a text equals the value
    whose text it is.
    """
    return all(_equal(a, b) for a, b in _leaves(logged, recomputed))


def nearly_same(logged: Any, recomputed: Any) -> bool:  # noqa: ANN401 - JSON values
    """Tell whether two JSON values differ in no more than the last digits of their floats."""
    return all(_equal(a, b) or _close(a, b) for a, b in _leaves(logged, recomputed))


def _leaves(a: Any, b: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    """Yield what stands at the same place; where the shapes differ, the two as they are."""
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for x, y in zip(a, b, strict=True):
            yield from _leaves(x, y)
    elif isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        for key in a:
            yield from _leaves(a[key], b[key])
    else:
        yield a, b


def _equal(a: Any, b: Any) -> bool:  # noqa: ANN401
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    if isinstance(a, str) and isinstance(b, bool | int | float):
        return a == str(b)
    return bool(a == b)


def _close(a: Any, b: Any) -> bool:  # noqa: ANN401
    if isinstance(a, str) and isinstance(b, float):
        try:
            a = float(a)
        except ValueError:
            return False
    if not (isinstance(a, int | float) and isinstance(b, int | float)):
        return False
    return math.isclose(a, b, rel_tol=LAST_DIGITS, abs_tol=1e-15)
