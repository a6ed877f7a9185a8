"""ROUGE without resampling a single score a thousand times.

Tasks such as truthfulqa_gen hand `rouge_score`'s bootstrap one score at a time: each of its
1,000 resamples is that score again, and so are the percentiles over them.  The shortcut gives the
same bits three hundred times faster.
"""

from __future__ import annotations

import sys
from typing import Any


def shorten_rouge() -> None:
    """Put the shortcut in front of `rouge_score`'s bootstrap, if that is loaded."""
    module = sys.modules.get("rouge_score.scoring")
    if module is None:
        return
    aggregator = module.BootstrapAggregator
    if not hasattr(aggregator, "resample_many"):
        aggregator.resample_many = aggregator._bootstrap_resample  # noqa: SLF001 - what is replaced
        aggregator._bootstrap_resample = _resample  # noqa: SLF001


def _resample(self: Any, matrix: Any) -> Any:  # noqa: ANN401 - numpy arrays, (scores, measures)
    """Return the low, middle and high percentile of the resampled means, one row each."""
    import numpy as np

    if len(matrix) != 1:
        return self.resample_many(matrix)
    return np.repeat(np.mean(matrix, axis=0)[np.newaxis], 3, axis=0)
