"""lm-eval's bootstrap with the same draws and the same bits, in numpy.

lm-eval draws its resamples with `random.Random(i).choices`.  numpy has the same generator and makes
the same doubles of it, so resamples are drawn by the dozen, and `replicates` computes the
statistic of each.  What can't be done so is left to lm-eval.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any, Final

from rescore_db.harness.replicates import Statistic, statistic_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

CHUNK: Final = 1000  # resamples that lm-eval draws from one seed
CHECKED: Final = 20  # of the resamples, which lm-eval's own code draws and judges as well


@contextlib.contextmanager
def fast_bootstrap() -> Iterator[None]:
    """Let lm-eval's standard errors take their replicates from here.

    Only in this process: where lm-eval starts others for it, they use its own code.
    """
    from lm_eval.api import metrics

    own = metrics._bootstrap_internal_no_mp  # noqa: SLF001 - what is replaced

    def replicates(f: Any, xs: Sequence[Any], iters: int) -> list[Any]:  # noqa: ANN401
        statistic = statistic_of(f, xs)
        found = None if statistic is None else _replicates(statistic, own, f, xs, iters)
        return own(f, xs, iters) if found is None else found

    metrics._bootstrap_internal_no_mp = replicates  # noqa: SLF001
    try:
        yield
    finally:
        metrics._bootstrap_internal_no_mp = own  # noqa: SLF001


def _replicates(
    statistic: Statistic,
    own: Any,  # noqa: ANN401 - lm-eval's function
    f: Any,  # noqa: ANN401
    xs: Sequence[Any],
    iters: int,
) -> list[Any] | None:
    """Return the statistic of each resample, None if lm-eval's own code gives others.

    A release of numpy or scikit-learn that computes otherwise is found out, not trusted.
    """
    expected = _bits(own(f, xs, min(iters, CHECKED)))
    found: list[Any] = []
    for drawn in iter_draws(len(xs), iters):
        before = len(found)
        found += statistic(drawn)
        if before < CHECKED:
            known = _bits(found[:CHECKED])
            if known != expected[: len(known)]:
                return None
    return found


def _bits(values: Sequence[Any]) -> list[tuple[type, str]]:
    """Return values so that equal means the same type and bits."""
    return [(type(value), float(value).hex()) for value in values]


def iter_draws(n: int, iters: int) -> Iterator[NDArray[np.intp]]:
    """Draw what `random.Random(i).choices` draws of n items, for lm-eval's seeds.

    Args:
        n: number of items, at least 1.
        iters: number of resamples; what a last chunk would lack is left out, as in lm-eval.

    Yields:
        Indexes of items, shape (n, resamples), valid until the next: together all resamples, in
        lm-eval's order.
    """
    import numpy as np

    chunk = min(CHUNK, iters)
    rows = min(chunk, _rows_at_once(n))
    bits = np.random.MT19937()
    generator = np.random.Generator(bits)
    doubles, drawn = np.empty((rows, n)), np.empty(rows * n, np.intp)
    for seed in range(iters // chunk):
        *key, position = random.Random(seed).getstate()[1]  # noqa: S311 - as lm-eval seeds it
        bits.state = {
            "bit_generator": "MT19937",
            "state": {"key": np.array(key, np.uint32), "pos": position},
        }
        for start in range(0, chunk, rows):
            some = doubles[: chunk - start]
            generator.random(out=some)
            np.multiply(some, n, out=some)
            indexes = drawn[: some.size].reshape(n, len(some))
            np.copyto(indexes, some.T, casting="unsafe")  # the floor: none is negative
            yield indexes


def _rows_at_once(n: int) -> int:
    """Return how many resamples to draw at once: few fit the cache, many make loops long."""
    return max(2**14 // n, min(16, 2**20 // n), 1)
