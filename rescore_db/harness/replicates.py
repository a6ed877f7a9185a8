"""lm-eval's corpus metrics of many resamples at once, for items of which equality is proven.

Each way here gives the bits of lm-eval's function because it does the same arithmetic in the same
order, or arithmetic that is exact in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from rescore_db.harness.sums import compensated, from_left_to_right, sum_is_compensated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

Statistic = Callable[["NDArray[np.intp]"], list[Any]]
"""From indexes of items, shape (items, resamples), to the statistic of each resample."""

FIELD: Final = 21  # bits of a counter; three share an integer
LABELS: Final = (0, 1)


def statistic_of(f: Any, xs: Sequence[Any]) -> Statistic | None:  # noqa: ANN401 - lm-eval's function
    """Return how to compute one of lm-eval's statistics for many resamples of items.

    Args:
        f: lm-eval's aggregation function.
        xs: the items.

    Returns:
        None if that is not proven to give the same bits for this function or these items.
    """
    from lm_eval.api import metrics

    ways = {
        metrics.perplexity: _perplexity,
        metrics.median: _median,
        metrics.nanmean: _nanmean,
        metrics.f1_score: _f1,
        metrics.matthews_corrcoef: _matthews,
    }
    way = ways.get(f)
    return None if way is None else way(xs)


def _floats(xs: Sequence[Any], *types: type) -> NDArray[np.float64] | None:
    """Return items as an array, None unless all have one and the same of these types."""
    import numpy as np

    kinds = {type(x) for x in xs}
    return np.array(xs, np.float64) if len(kinds) == 1 and kinds <= set(types) else None


def _perplexity(xs: Sequence[Any]) -> Statistic | None:
    """`math.exp` of the mean's negative; numpy's `exp` has other last digits."""
    import numpy as np

    values = _floats(xs, float, np.float64)
    if values is None:
        return None
    in_the_new_way = type(xs[0]) is float and sum_is_compensated()
    sums = compensated(values) if in_the_new_way else from_left_to_right(values)
    if sums is None:
        return None

    def replicates(drawn: NDArray[np.intp]) -> list[Any]:
        return [math.exp(-mean) for mean in (sums(drawn) / len(xs)).tolist()]

    return replicates


def _median(xs: Sequence[Any]) -> Statistic | None:
    """The upper median.  NaN and -0.0 have no place of their own in Python's order."""
    import numpy as np

    values = _floats(xs, float)
    if values is None or np.isnan(values).any() or (np.signbit(values) & (values == 0)).any():
        return None
    middle = len(xs) // 2

    def replicates(drawn: NDArray[np.intp]) -> list[Any]:
        rows = values.take(drawn.T)
        rows.partition(middle, axis=1)
        return list(rows[:, middle].tolist())

    return replicates


def _nanmean(xs: Sequence[Any]) -> Statistic | None:
    """`np.nanmean` itself, which adds up a table's row as it does a list."""
    import numpy as np

    values = _floats(xs, float, np.float64)
    if values is None or np.isnan(values).all():
        return None

    def replicates(drawn: NDArray[np.intp]) -> list[Any]:
        return list(np.nanmean(values.take(drawn.T), axis=1))

    return replicates


def _f1(xs: Sequence[Any]) -> Statistic | None:
    """2 TP / (gold + predicted): one division of whole numbers, 0 where nothing is positive."""
    import numpy as np

    counts = _counts(xs)
    if counts is None:
        return None

    def replicates(drawn: NDArray[np.intp]) -> list[Any]:
        both, gold, predicted = counts(drawn)
        return list(2.0 * both / np.maximum(gold + predicted, 1))

    return replicates


def _matthews(xs: Sequence[Any]) -> Statistic | None:
    """scikit-learn's covariances, which are whole numbers here; 0 where one of them is 0."""
    import numpy as np

    counts = _counts(xs)
    if counts is None:
        return None
    n = len(xs)

    def replicates(drawn: NDArray[np.intp]) -> list[Any]:
        both, gold, predicted = counts(drawn)
        right = n - gold - predicted + 2 * both
        shared = right * n - gold * predicted - (n - gold) * (n - predicted)
        of_predicted = n**2 - predicted**2 - (n - predicted) ** 2
        of_gold = n**2 - gold**2 - (n - gold) ** 2
        product = of_predicted.astype(np.float64) * of_gold
        scores = shared / np.sqrt(np.where(product == 0, 1.0, product))
        return list(np.where(product == 0, 0.0, scores).tolist())

    return replicates


def _counts(xs: Sequence[Any]) -> Callable[[NDArray[np.intp]], tuple[Any, Any, Any]] | None:
    """Return how to count, for each resample, pairs of gold and predicted labels.

    The counts are how often both are 1, gold is 1, predicted is 1.

    Returns:
        None unless all labels are the integers 0 and 1: scikit-learn takes others otherwise.
    """
    import numpy as np

    if len(xs) >= 2**FIELD or not all(_is_pair(x) for x in xs):
        return None
    gold, predicted = np.array(xs, np.int64).T
    packed = (gold & predicted) + (gold << FIELD) + (predicted << 2 * FIELD)
    mask = 2**FIELD - 1

    def count(drawn: NDArray[np.intp]) -> tuple[Any, Any, Any]:
        total = packed.take(drawn, mode="clip").sum(axis=0)
        return total & mask, (total >> FIELD) & mask, total >> 2 * FIELD

    return count


def _is_pair(x: Any) -> bool:  # noqa: ANN401 - what `process_results` gave
    """Tell whether an item is a pair of labels 0 or 1; True and False are others."""
    import numpy as np

    return (
        type(x) in (tuple, list)
        and len(x) == len(LABELS)
        and all(type(label) in (int, np.int64) and label in LABELS for label in x)
    )
