"""The store as a database, named by its URL: `rescore db` in Python.

Unlike the verbs of a `Store`, these also work where there is no store yet, or an older one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore_db.settings import Settings

if TYPE_CHECKING:
    from rescore_db.records import Check, Current, Migration, StoreInfo, Vacuumed


def db_init(url: str | None = None) -> Migration:
    """Make a store at a URL; one that is at head already is left as it is."""
    from rescore_db.store import lifecycle

    return lifecycle.init(_url(url))


def db_upgrade(url: str | None = None) -> Migration:
    """Bring a store's schema to the newest revision."""
    from rescore_db.store import lifecycle

    return lifecycle.upgrade(_url(url))


def db_current(url: str | None = None) -> Current:
    """Say which revision a store is at."""
    from rescore_db.store import lifecycle

    return lifecycle.current(_url(url))


def db_check(url: str | None = None) -> Check:
    """Compare a store with what it should be: schema, integrity, content hashes."""
    from rescore_db.store import lifecycle

    return lifecycle.check(_url(url))


def db_info(url: str | None = None) -> StoreInfo:
    """Say where a store's bytes are: rows and bytes of each table and its indexes."""
    from rescore_db.store import space

    return space.store_info(_url(url))


def db_vacuum(url: str | None = None) -> Vacuumed:
    """Give back the room of deleted rows, and refresh what the database knows of its tables.

    Raises:
        StoreUnusableError: somebody else uses the store, or the disk is full.
    """
    from rescore_db.store import space

    return space.vacuum(_url(url))


def _url(given: str | None) -> str:
    return given or Settings.from_environment().url
