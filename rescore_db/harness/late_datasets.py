"""`datasets` imported when something is asked of it, for lm-eval imports it and we need none.

With pandas and pyarrow under it, it is most of what importing lm-eval costs.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Final

NAME: Final = "datasets"


class _LateModule(ModuleType):
    """Stands for the module until an attribute is asked for, and forwards to it from then on."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module holds
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)


def import_datasets_late() -> None:
    """Put the stand-in where `import datasets` looks, unless that is imported or not installed."""
    if NAME in sys.modules or (spec := find_spec(NAME)) is None:
        return
    stand_in = _LateModule(NAME)
    stand_in.__spec__ = spec  # `import` and `find_spec` ask for it
    sys.modules[NAME] = stand_in
