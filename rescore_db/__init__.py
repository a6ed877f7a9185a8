"""rescore_db: where lm-eval results live after the GPU is gone.

    store = rescore_db.open("sqlite:///rescore.db")     the store, with the CLI's verbs
    rescore_db.rescore_file("samples_….jsonl")          scores of one file, with no store

Nothing heavy is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rescore_db.api import Store
    from rescore_db.api import open_store as open  # noqa: A004 - reads well: rescore_db.open
    from rescore_db.compare import CompareOptions
    from rescore_db.database import (
        db_check,
        db_current,
        db_info,
        db_init,
        db_upgrade,
        db_vacuum,
    )
    from rescore_db.errors import RescoreError
    from rescore_db.export import ExportRequest
    from rescore_db.records import IngestOptions
    from rescore_db.rescoring.files import LineScore, rescore_file
    from rescore_db.rescoring.request import RecipeEntry, ScoreRequest, VerifyRequest

__version__ = "0.1.0"

__all__ = [
    "CompareOptions",
    "ExportRequest",
    "IngestOptions",
    "LineScore",
    "RecipeEntry",
    "RescoreError",
    "ScoreRequest",
    "Store",
    "VerifyRequest",
    "__version__",
    "db_check",
    "db_current",
    "db_info",
    "db_init",
    "db_upgrade",
    "db_vacuum",
    "open",
    "rescore_file",
]

_HOMES = {
    "CompareOptions": ("rescore_db.compare", "CompareOptions"),
    "ExportRequest": ("rescore_db.export", "ExportRequest"),
    "IngestOptions": ("rescore_db.records", "IngestOptions"),
    "LineScore": ("rescore_db.rescoring.files", "LineScore"),
    "RecipeEntry": ("rescore_db.rescoring.request", "RecipeEntry"),
    "RescoreError": ("rescore_db.errors", "RescoreError"),
    "ScoreRequest": ("rescore_db.rescoring.request", "ScoreRequest"),
    "Store": ("rescore_db.api", "Store"),
    "VerifyRequest": ("rescore_db.rescoring.request", "VerifyRequest"),
    "db_check": ("rescore_db.database", "db_check"),
    "db_current": ("rescore_db.database", "db_current"),
    "db_info": ("rescore_db.database", "db_info"),
    "db_init": ("rescore_db.database", "db_init"),
    "db_upgrade": ("rescore_db.database", "db_upgrade"),
    "db_vacuum": ("rescore_db.database", "db_vacuum"),
    "open": ("rescore_db.api", "open_store"),
    "rescore_file": ("rescore_db.rescoring.files", "rescore_file"),
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever stands under the name
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        msg = f"module 'rescore_db' has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib

    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
