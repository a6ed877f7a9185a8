"""What counts as the same value, and what as a last digit."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rescore_db.rescoring.comparison import Comparison, nearly_same, same

NAN = float("nan")
NEXT = math.nextafter(0.3, 1)


@pytest.mark.parametrize(
    ("logged", "recomputed", "is_same", "is_near"),
    [
        (1, 1.0, True, True),
        (True, 1.0, True, True),
        (NAN, NAN, True, True),
        ([0.3, "x"], [0.3, "x"], True, True),
        ("True", True, True, True),  # numpy values up to lm-eval 0.4.12
        ("0.5", 0.5, True, True),
        (0.3, NEXT, False, True),
        ([1, 0.3], [1, NEXT], False, True),
        ({"a": 0.3}, {"a": NEXT}, False, True),
        ("0.3", NEXT, False, True),
        (0.3, 0.3001, False, False),
        (0.3, None, False, False),
        (None, 0.3, False, False),
        ("a", "b", False, False),
        ([1], [1, 2], False, False),
        (NAN, 0.0, False, False),
        (0, 1, False, False),
        ("N/A", 0.1, False, False),
    ],
)
def test_values_are_told_apart(logged: Any, recomputed: Any, is_same: bool, is_near: bool) -> None:
    assert same(logged, recomputed) is is_same
    assert nearly_same(logged, recomputed) is is_near


def test_all_differences_are_counted_and_the_first_kept() -> None:
    found = Comparison(keep=2)
    for position in range(5):
        found.check(f"position {position}", "acc", 0.0, float(position % 2))
    found.check("aggregate", "acc", 0.3, NEXT)
    assert found.total == 3
    assert found.beyond_rounding == 2
    assert [one.where for one in found.shown] == ["position 1", "position 3"]
