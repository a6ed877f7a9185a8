"""Statistics of two sides over the same samples: pure functions on arrays.

Nothing here knows the database or where the numbers come from.  What cannot be computed is None,
never NaN or infinity, so that every result is also valid JSON.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

Verdict = Literal["better", "worse", "same", "unclear"]

CONFIDENCE: Final = 0.95
NO_SPREAD: Final = 1e-12  # of the difference: a standard error below it is rounding
EQUAL: Final = 1e-12  # relative: one score, its terms added in another order or on another CPU
SAME_NUMBER: Final = 1e-9  # relative: the same mean, added in another order


@dataclass(frozen=True, slots=True)
class Flips:
    """How many pairs went which way.

    Values that are equal up to rounding are unchanged, and so are two NaN; NaN against a number is
    none of the three.
    """

    improved: int
    regressed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Two sides of one metric over n pairs.

    Attributes:
        n: pairs.
        a: mean of the first side; None without pairs or where it is not finite.
        b: mean of the second side, likewise.
        diff: b - a, likewise.
        stderr: standard error of `diff` from the pairs' differences; None below two pairs.
        ci_low: lower end of the 95% t interval of `diff`, None where `stderr` is.
        ci_high: its upper end.
        flips: pairs that improved, regressed and stayed; None when they are not numbers.
        not_finite: pairs in which a value is NaN or infinite.
    """

    n: int
    a: float | None
    b: float | None
    diff: float | None
    stderr: float | None
    ci_low: float | None
    ci_high: float | None
    flips: Flips | None
    not_finite: int


def paired_difference(
    a: FloatArray, b: FloatArray, *, higher_is_better: bool | None = None
) -> PairedDifference:
    """Compare two sides over the same samples.

    Args:
        a: the first side's values, shape (n,), in any order.
        b: the second side's, shape (n,), in the same order.
        higher_is_better: the metric's good direction; None counts an increase as better.
    """
    import numpy as np

    n = len(a)
    with np.errstate(all="ignore"):  # overflow and NaN come out as None
        differences = b - a
        mean_a, mean_b, diff = (finite(x.mean()) if n else None for x in (a, b, differences))
        spread = finite(differences.std(ddof=1)) if n > 1 else None
        not_finite = n - int(np.count_nonzero(np.isfinite(a) & np.isfinite(b)))
    stderr = None if spread is None else spread / math.sqrt(n)
    low, high = t_interval(diff, stderr, n)
    flips = count_flips(a, b, higher_is_better=higher_is_better)
    return PairedDifference(n, mean_a, mean_b, diff, stderr, low, high, flips, not_finite)


def count_flips(a: FloatArray, b: FloatArray, *, higher_is_better: bool | None = None) -> Flips:
    """Count the pairs that improved, regressed and stayed from `a` to `b`, both of shape (n,)."""
    import numpy as np

    with np.errstate(all="ignore"):
        near = np.abs(b - a) <= EQUAL * np.maximum(np.abs(a), np.abs(b))
        both = near & np.isfinite(a) & np.isfinite(b)
        unchanged = both | (a == b) | (np.isnan(a) & np.isnan(b))
        up, down = (int(np.count_nonzero(way & ~unchanged)) for way in (b > a, b < a))
    if higher_is_better is False:
        up, down = down, up
    return Flips(improved=up, regressed=down, unchanged=int(np.count_nonzero(unchanged)))


def t_interval(
    mean: float | None, stderr: float | None, n: int, confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """Return the ends of Student's interval around a mean of n values.

    Returns:
        `(None, None)` where the mean or its standard error is unknown.
    """
    if mean is None or stderr is None:
        return None, None
    # What `scipy.stats.t.ppf` calls; `scipy.stats` itself takes a second to import.
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy ships no types

    reach = float(stdtrit(n - 1, (1 + confidence) / 2)) * stderr
    return finite(mean - reach), finite(mean + reach)


def verdict(found: PairedDifference, *, higher_is_better: bool | None = None) -> Verdict | None:
    """Say in one word what the interval of a difference tells about the second side.

    "better" and "worse": the interval leaves out zero.  "same": no pair changed.  "unclear":
    anything else.  None: there is no interval.

    Pairs that all differ by the same amount have an interval of no width, which says nothing about
    chance.  There the sign test decides: n pairs of one sign have p = 2 / 2^n.
    """
    if found.diff is None or found.ci_low is None or found.ci_high is None:
        return None
    if found.flips is not None and found.flips.unchanged == found.n:
        return "same"
    if found.stderr is not None and found.stderr <= NO_SPREAD * abs(found.diff):
        is_clear = 2.0 ** (1 - found.n) <= 1 - CONFIDENCE
    else:
        is_clear = found.ci_low > 0 or found.ci_high < 0
    if not is_clear:
        return "unclear"
    return "better" if (found.diff > 0) != (higher_is_better is False) else "worse"


def is_mean_of(values: FloatArray, aggregate: float | None) -> bool:
    """Answer whether an aggregate is the plain mean of these values, up to rounding.

    Args:
        values: every value that was aggregated, shape (n,).
        aggregate: the number that was stored for them, None if there is none.
    """
    import numpy as np

    if aggregate is None or not len(values):
        return False
    with np.errstate(all="ignore"):
        mean = float(values.mean())
    return math.isfinite(mean) and math.isclose(
        mean, aggregate, rel_tol=SAME_NUMBER, abs_tol=NO_SPREAD
    )


def finite(value: float | np.floating | None) -> float | None:
    """Return a number as a Python float, None where JSON has no such number."""
    return float(value) if value is not None and math.isfinite(value) else None
