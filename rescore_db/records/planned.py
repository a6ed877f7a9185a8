"""What an ingest would do, as `rescore ingest --dry-run` tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rescore_db.records.ingested import FileError, Skipped


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that an ingest would read.

    Attributes:
        file: its path; a URL comes without credentials.
        kind: what it holds.
        model: the run's.
        date: the run's, "" where nothing tells.
        origin: what tells an undated run from others of its model.
        task: of samples, "" for a results file.
        release: the lm-eval that wrote it, as far as names and the results file tell.
        bytes: as it lies there, compressed or not; 0 where nobody tells.
        state: "new"; "known" where the store has it, or another of the files is the same;
            "unsure" where only its content will tell.
    """

    file: str
    kind: Literal["results", "samples"]
    model: str
    date: str
    origin: str
    task: str
    release: str
    bytes: int
    state: Literal["new", "known", "unsure"]


@dataclass(frozen=True, slots=True)
class DryRun:
    """What an ingest would read, and about what would come of it.

    Attributes:
        files: in the order in which they would be read.
        runs: how many they are of.
        bytes: of all files, as they lie there.
        expected_growth: bytes by which the database would grow.
        expected_seconds: how long it would take.
        basis: what these two are derived from.
        skipped: files that would be passed over.
        errors: what could not be looked into, and results files that cannot be read.
    """

    files: tuple[PlannedFile, ...]
    runs: int
    bytes: int
    expected_growth: int
    expected_seconds: float
    basis: str
    skipped: tuple[Skipped, ...]
    errors: tuple[FileError, ...]
