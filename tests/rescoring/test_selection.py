"""Selections are written as ranges and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.rescoring import selection


@pytest.mark.parametrize(
    ("positions", "total", "text"),
    [
        (range(5), 5, ""),
        ([0], 5, "0"),
        ([0, 1, 2], 5, "0-2"),
        ([0, 2, 3, 4, 9], 10, "0,2-4,9"),
    ],
)
def test_positions_are_written_as_ranges(positions: list[int], total: int, text: str) -> None:
    assert selection.to_text(positions, total) == text


@given(st.sets(st.integers(0, 60), min_size=1))
def test_positions_come_back(chosen: set[int]) -> None:
    positions = sorted(chosen)
    assert list(selection.to_positions(selection.to_text(positions, 61), 61)) == positions


@given(st.integers(1, 50), st.integers(1, 60))
def test_shards_cover_the_selection_once(count: int, size: int) -> None:
    found = list(selection.shards(count, size))
    assert [n for start, stop in found for n in range(start, stop)] == list(range(count))
    assert all(0 < stop - start <= size for start, stop in found)
