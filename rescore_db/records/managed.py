"""Managing a store: what a deletion takes along, where the bytes are, what a vacuum gave back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting runs or scorings takes along, or would.

    Attributes:
        dry_run: nothing was deleted.
        runs: ids of the runs.
        scorings: ids of the scorings, those of the runs included.
        names: what was asked to be deleted, in words: "run 3 (MODEL@DATE)".
        evaluations: how many evaluations.
        samples: how many samples.
        scores: how many per-sample scores.
        docs: documents that no other run asked.
        prompts: prompts that no other run used.
        kept_docs: documents that no run asks any more and that stay, for a subset holds them.
        rows: table → rows, for every table that loses some.
        notes: what users should know.
    """

    dry_run: bool
    runs: tuple[int, ...]
    scorings: tuple[int, ...]
    names: tuple[str, ...] = ()
    evaluations: int = 0
    samples: int = 0
    scores: int = 0
    docs: int = 0
    prompts: int = 0
    kept_docs: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSpace:
    """One table: rows, and bytes of the rows and of the indexes on them.

    `bytes` and `index_bytes` are None where the database can't tell.
    """

    name: str
    rows: int
    bytes: int | None
    index_bytes: int | None


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Where a store's bytes are.

    Attributes:
        url: the store, without a password.
        database: which database, with its version.
        revision: the schema's.
        bytes: the whole store on disk; SQLite: the file, without `log_bytes`.
        log_bytes: SQLite's write-ahead log beside the file, None in PostgreSQL.
        free_bytes: inside the file, free for new rows, given back by `vacuum`; None in PostgreSQL.
        page_bytes: size of a page.
        tables: one row a table, the largest first.
    """

    url: str
    database: str
    revision: str
    bytes: int
    log_bytes: int | None
    free_bytes: int | None
    page_bytes: int
    tables: tuple[TableSpace, ...]


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """What a vacuum gave back: bytes on disk before and after, SQLite's log included."""

    url: str
    before: int
    after: int
    notes: tuple[str, ...] = ()
