"""What an ingest did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not taken in, and why that is fine."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileError:
    """A file or folder that could not be taken in."""

    file: str
    line: int | None
    message: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one ingest did.

    Attributes:
        runs: ids of the runs that were touched, new or known, in the order they were read.
        evaluations: how many got samples or aggregates that the store did not hold; one whose
            aggregates came first counts again when its samples come.
        filled: how many of them got samples.
        aggregates_only: how many of them are aggregates of a task without samples in the store.
        samples: how many were added.
        skipped: files that added nothing, each with its reason.
        errors: files and folders that could not be read.
        notes: what users should know: new versions, flagged hashes, incomplete filters.
    """

    runs: tuple[int, ...]
    evaluations: int
    filled: int
    aggregates_only: int
    samples: int
    skipped: tuple[Skipped, ...]
    errors: tuple[FileError, ...]
    notes: tuple[str, ...]
