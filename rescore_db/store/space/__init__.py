"""Where a store's bytes are, and giving free ones back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from rescore_db.records import StoreInfo, Vacuumed
from rescore_db.store import engine as engines
from rescore_db.store.found import HEAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine


class Space(Protocol):
    """What each database knows of its bytes; `sqlite` and `postgresql` are the implementations."""

    def measured(self, conn: Connection) -> StoreInfo:
        """Return where the bytes are; `url` and `revision` are left empty."""

    def on_disk(self, engine: Engine) -> int:
        """Return how many bytes the store takes."""

    def vacuum(self, engine: Engine) -> Sequence[str]:
        """Give free room back, refresh the statistics; return what users should know of it.

        Raises:
            StoreUnusableError: somebody else uses the store, or it failed.
        """


def store_info(url: str) -> StoreInfo:
    """Return rows and bytes of each table; reads every page once, changes nothing.

    Raises:
        StoreUnusableError: it can't be opened, or breaks off.
    """
    engine = engines.open_engine(url, write=False)
    try:
        with engines.reading(engine) as conn:
            found = engines.backend(conn).space().measured(conn)
    finally:
        engine.dispose()
    by_size = sorted(
        found.tables, key=lambda one: (-(one.bytes or 0) - (one.index_bytes or 0), -one.rows)
    )
    return replace(found, url=engines.safe_url(url), revision=HEAD, tables=tuple(by_size))


def vacuum(url: str) -> Vacuumed:
    """Give back what deleted rows left free, and refresh the planner's statistics.

    Raises:
        StoreUnusableError: it can't be opened, somebody else uses it, or the disk is full.
    """
    engine = engines.open_engine(url)
    try:
        space = engines.backend(engine).space()
        before = space.on_disk(engine)
        with engines.translated(engine.url):
            notes = space.vacuum(engine)
        return Vacuumed(engines.safe_url(url), before, space.on_disk(engine), tuple(notes))
    finally:
        engine.dispose()
