"""Opening the store for a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rescore_db.api import Store


@contextmanager
def opened(url: str | None, *, write: bool = False) -> Iterator[Store]:
    """Open the store for one command, and tell on stderr what users should know of it.

    Raises:
        StoreUnusableError: it cannot be reached, is not ours, or is of another version.
    """
    from rescore_db import api
    from rescore_db.report.render import notice

    with api.open_store(url, write=write) as store:
        for note in store.notes:
            notice(f"note: {note}")
        yield store
