"""Exports, and what is in them, in forms that tests compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rescore_db.export import ExportRequest, export_runs
from tests.ingest.stored import exact

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import ExportReport


def export(engine: Engine, out: Path, **request: Any) -> ExportReport:
    """Export what a request says."""
    return export_runs(engine, out, ExportRequest(**request))


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder: its path there, and its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def lines_in(path: Path) -> list[str]:
    """The lines of a samples file, parsed by Python's `json`."""
    raw = path.read_bytes()
    assert raw.endswith(b"\n")
    return [exact(json.loads(line)) for line in raw.split(b"\n")[:-1]]
