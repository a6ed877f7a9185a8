"""Which positions of an evaluation are scored, and the short text that says so."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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
    ends = (part.partition("-") for part in text.split(","))
    return list(chain.from_iterable(range(int(a), int(b or a) + 1) for a, _, b in ends))


def shards(count: int, size: int) -> Iterable[tuple[int, int]]:
    """Cut `count` selected samples into half-open ranges of at most `size`."""
    return ((start, min(start + size, count)) for start in range(0, count, size))
