"""Nothing of the harness touches the user's own cache folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let indexes and data go to a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
