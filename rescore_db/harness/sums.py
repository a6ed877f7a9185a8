"""Python's `sum` of many resamples at once, with its bits.

`sum` adds floats from left to right; since Python 3.12 it also adds up what each addition loses
and corrects the result by that (Neumaier's way).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Sums = Callable[[NDArray[np.intp]], NDArray[np.float64]]
    """From indexes of items, shape (items, resamples), to the sum of each resample."""

SAFE: Final = (1e-200, 1e200)  # of the greatest item, that nothing over- or underflows
MOST: Final = 2**26  # items


def sum_is_compensated() -> bool:
    """Tell whether this Python's `sum` corrects what additions of floats lose."""
    return sum([0.1] * 10) == 1.0


def from_left_to_right(values: NDArray[np.float64]) -> Sums:
    """Return how to add up resamples of values one by one, from 0 on."""
    import numpy as np

    def sums(drawn: NDArray[np.intp]) -> NDArray[np.float64]:
        # Row after row: numpy adds up in pairs only what lies side by side in memory.
        columns = np.asarray(values.take(drawn, mode="clip"), order="C")
        return np.asarray(np.add.reduce(columns, axis=0) + 0.0)  # 0 + -0.0 is 0.0

    return sums


def compensated(
    values: NDArray[np.float64], one_by_one: Callable[[list[float]], float] = sum
) -> Sums | None:
    """Return how to add up resamples of values as `sum` does since Python 3.12.

    Neumaier's sum of n values is the true sum, but for an error below n² u² times the sum of
    their absolute values (u is 2^-53), rounded once.  The true sum can be had in any order: the
    values' coarse parts, whole multiples of one step, add up exactly, and their small rests
    nearly so.  Where the rounding is too close to call, they are added one by one.

    Args:
        values: the items.
        one_by_one: a `sum` that is compensated.

    Returns:
        None for values that are not finite, or so great or small that this does not hold.
    """
    import numpy as np

    n, greatest = len(values), float(np.max(np.abs(values)))
    if not SAFE[0] < greatest < SAFE[1] or n > MOST:
        return None
    step = 2.0 ** (math.ceil(math.log2(greatest)) + math.ceil(math.log2(n)) - 51)
    parts = np.empty(n, np.complex128)  # both parts side by side: found and added in one go
    parts.real = np.round(values / step) * step  # n of them are less than 2^53 steps
    parts.imag = values - parts.real
    doubt = n**2 * 2.0**-53 * step + n**3 * 2.0**-105 * greatest  # rests' sum's, Neumaier's

    def sums(drawn: NDArray[np.intp]) -> NDArray[np.float64]:
        both = parts.take(drawn, mode="clip").sum(axis=0)
        whole, small = both.real, both.imag
        found: NDArray[np.float64] = whole + small
        kept = found - whole
        lost = (whole - (found - kept)) + (small - kept)  # exact (Knuth): found + lost is the sum
        half = (np.abs(found) - np.nextafter(np.abs(found), 0)) / 2
        for column in np.flatnonzero(np.abs(lost) + doubt >= half):
            found[column] = one_by_one(values[drawn[:, column]].tolist())
        return found

    return sums
