"""Chance in scoring code, held still.

Scores must not depend on which documents were scored before, in which process or shard.
"""

from __future__ import annotations

import random
import sys
from typing import Any, Final

SEED: Final = 1234  # lm-eval's own default for numpy


def seed_everything() -> None:
    """Set every source of chance that scoring code uses to the same start."""
    random.seed(SEED)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(SEED)
    detector = sys.modules.get("langdetect.detector_factory")
    if detector is not None:
        detector.DetectorFactory.seed = SEED


def drawn_so_far() -> tuple[Any, ...]:
    """Return a value that changes when Python's or numpy's common generator is drawn from."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return (random.getstate(),)
    _, keys, position, *_ = numpy.random.get_state()
    return (random.getstate(), keys.tobytes(), position)
