"""What a scoring's bits depend on besides its recipe, and what a scoring child is started with."""

from __future__ import annotations

import platform
from importlib import import_module
from typing import Any, Final

from rescore_db.harness.installed import installed_lm_eval
from rescore_db.harness.isolation import OFFLINE

DISABLED: Final = "NPY_DISABLE_CPU_FEATURES"

ONE_THREAD: Final = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""Scoring children are many: each keeps to one core."""

WIDE_FEATURES: Final = ("AVX512", "X86_V4")
"""Beginnings of the names of x86 features with which numpy's `exp` rounds differently."""


def environment() -> dict[str, str]:
    """Describe this process: what equal recipes may still differ in.

    Returns:
        `lm_eval`, `python`, `numpy`: versions; `machine`: the architecture; `cpu`: the features
        that numpy uses here beyond its baseline.
    """
    import numpy as np

    return {
        "lm_eval": installed_lm_eval().version,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpu": " ".join(name for name in dispatched_features() if _is_used(name)) or "baseline",
    }


def child_environment(*, wide: bool = False) -> dict[str, str]:
    """Return the variables to start a scoring child with, over those of this process.

    numpy's wider x86 features are off, so that a scoring has the same bits on every x86-64
    machine; the names come from numpy's own list, for it warns about others.

    Args:
        wide: leave them on: the other setting, under which a log may have been made.
    """
    variables = {**OFFLINE, **ONE_THREAD, "PYTHONHASHSEED": "0", DISABLED: ""}
    if not wide:
        off = [name for name in dispatched_features() if name.startswith(WIDE_FEATURES)]
        variables[DISABLED] = " ".join(off)
    return variables


def dispatched_features() -> list[str]:
    """Return the CPU features that the installed numpy can use beyond its baseline."""
    return list(_numpy_core().__cpu_dispatch__)


def _is_used(feature: str) -> bool:
    return bool(_numpy_core().__cpu_features__.get(feature))


def _numpy_core() -> Any:  # noqa: ANN401 - a C module without types
    """Return numpy's compiled core."""
    try:
        return import_module("numpy._core._multiarray_umath")
    except ImportError:  # numpy 1
        return import_module("numpy.core._multiarray_umath")
