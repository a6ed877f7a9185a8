"""What an ingest is to do, and what it did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How files are to be taken in.

    Attributes:
        skip_bad_lines: store the lines that can be read, keep the others in the quarantine.
        name: of the run, unique in the store; only where all files are of one run.
        step: of training, for every run.
        tags: for every run, new or known.
    """

    skip_bad_lines: bool = False
    name: str | None = None
    step: int | None = None
    tags: tuple[str, ...] = ()


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
class QuarantineRow:
    """A line that was left out, as `rescore ingest --errors` lists it.

    Attributes:
        file: where it was read.
        line: its 1-based number there.
        task: the evaluation's.
        run: primary key of the run.
        evaluation: primary key of the evaluation.
        reason: why it could not be stored.
        size: its length in bytes.
    """

    file: str
    line: int
    task: str
    run: int
    evaluation: int
    reason: str
    size: int


@dataclass(frozen=True, slots=True)
class Taken:
    """An evaluation that has just gone in.

    Attributes:
        file: the samples file.
        run: primary key of the run.
        model: the run's.
        date: the run's, "" where unknown.
        task: the evaluation's.
        samples: how many it has.
        quarantined: how many of its lines were left out.
    """

    file: str
    run: int
    model: str
    date: str
    task: str
    samples: int
    quarantined: int


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
        quarantined: how many lines were left out, with `skip_bad_lines`.
    """

    runs: tuple[int, ...]
    evaluations: int
    filled: int
    aggregates_only: int
    samples: int
    skipped: tuple[Skipped, ...]
    errors: tuple[FileError, ...]
    notes: tuple[str, ...]
    quarantined: int = 0
