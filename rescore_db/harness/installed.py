"""Which lm-eval is installed, found out without importing it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rescore_db.errors import TaskError


@dataclass(frozen=True, slots=True)
class InstalledLmEval:
    """The lm-eval that scores.

    Attributes:
        version: its version.
        tasks: its folder of task definitions.
        stamp: changes when it is installed again; None for a checkout, whose files may change
            at any time.
    """

    version: str
    tasks: Path
    stamp: int | None


@lru_cache(maxsize=1)
def installed_lm_eval() -> InstalledLmEval:
    """Find the installed lm-eval, in about a millisecond.

    Raises:
        TaskError: there is none.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        msg = "lm-eval is not installed: pip install 'lm-eval>=0.4.12,<0.5'"
        raise TaskError(msg)
    package = Path(next(iter(spec.submodule_search_locations)))
    records = sorted(package.parent.glob("lm_eval-*.dist-info"))
    if len(records) == 1:
        version = records[0].name.removesuffix(".dist-info").removeprefix("lm_eval-")
        return InstalledLmEval(version, package / "tasks", records[0].stat().st_mtime_ns)
    from importlib.metadata import version as metadata_version

    return InstalledLmEval(metadata_version("lm_eval"), package / "tasks", None)
