"""Selections are written as ranges and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.store import selection


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


@given(st.integers(0, 50), st.integers(1, 60), st.sets(st.integers(0, 49)))
def test_what_is_missing_and_what_is_done_cover_the_selection_once(
    count: int, size: int, cuts: set[int]
) -> None:
    edges = sorted(cut for cut in cuts if cut <= count)
    done = list(zip(edges[::2], edges[1::2], strict=False))
    left = list(selection.missing(count, done, size))
    assert sorted(n for a, b in [*done, *left] for n in range(a, b)) == list(range(count))
    assert all(0 < b - a <= size for a, b in left)


def test_nothing_done_is_cut_into_shards() -> None:
    assert list(selection.missing(5, [], 2)) == [(0, 2), (2, 4), (4, 5)]
    assert list(selection.missing(5, [(0, 5)], 2)) == []
