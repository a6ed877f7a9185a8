"""Running commands in this process, and the models of the demo's logs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rescore_db.cli.main import main

Captured = pytest.CaptureFixture[str]

HERON = "tern-ai/heron-7b"
WREN = "larch/wren-1b"


def answer(capsys: Captured, *line: str, code: int = 0) -> Any:
    """Run a command with --json; return the one document that it writes."""
    assert main([*line, "--json"]) == code
    return json.loads(capsys.readouterr().out)
