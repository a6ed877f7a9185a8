"""Which positions of an evaluation are scored, and the short text that says so."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def to_text(positions: Sequence[int], total: int) -> str:
    """Return positions as ranges, "0-9,12"; "" when they are all of `total`.

    Args:
        positions: ascending, without repeats.
        total: how many samples the evaluation has.
    """
    if len(positions) == total:
        return ""
    ranges: list[list[int]] = []
    for position in positions:
        if ranges and position == ranges[-1][1] + 1:
            ranges[-1][1] = position
        else:
            ranges.append([position, position])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def to_positions(text: str, total: int) -> Sequence[int]:
    """Give back the positions that `to_text` wrote."""
    if not text:
        return range(total)
    return list(chain.from_iterable(range(first, last + 1) for first, last in _ranges(text)))


def is_selected(selection: str, position: int) -> bool:
    """Answer whether a position is among "0-9,12"; "" means all."""
    return not selection or any(first <= position <= last for first, last in _ranges(selection))


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    """Yield the first and last position of each range."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield int(first), int(last or first)


def missing(count: int, done: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield what is left of `count` selected samples, in half-open ranges of at most `size`.

    Args:
        count: how many samples are selected.
        done: the ranges that are scored, which do not overlap.
        size: samples a range.
    """
    start = 0
    for begin, end in [*sorted(done), (count, count)]:
        yield from ((at, min(at + size, begin)) for at in range(start, begin, size))
        start = max(start, end)
