"""A second store, for what comes out of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rescore_db.store import lifecycle
from rescore_db.store.engine import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def empty(sqlite_url: str, engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """Another store, empty."""
    url = sqlite_url
    if engine.dialect.name == "sqlite":
        url = f"sqlite:///{tmp_path / 'other.db'}"
        lifecycle.init(url)
    opened = open_engine(url)
    yield opened
    opened.dispose()
