"""What an ingest did, as it comes to be known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rescore_db.records import FileError, IngestReport, Skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rescore_db.errors import LogFormatError


class Progress(Protocol):
    """What an ingest calls as it goes on."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Take note of `done` of `total` bytes on disk, now at the file `what`."""


class Tally:
    """Collects what is to be reported, and tells the progress.

    Attributes:
        evaluations: ids of those that were added.
        samples: how many were added.
    """

    def __init__(self, skipped: Sequence[Skipped], total: int, progress: Progress | None) -> None:
        """Begin with the files that discovery passed over.

        Args:
            skipped: those files.
            total: bytes on disk of all files to come.
            progress: is told how far it is, None for nobody.
        """
        self.evaluations: set[int] = set()
        self.samples = 0
        self._runs: dict[int, None] = {}
        self._skipped = list(skipped)
        self._errors: list[FileError] = []
        self._notes: list[str] = []
        self._total = total
        self._done = 0
        self._progress = progress

    def touch(self, run_id: int) -> None:
        """Note a run that is concerned."""
        self._runs[run_id] = None

    def skip(self, file: str, reason: str) -> None:
        """Note a file that adds nothing."""
        self._skipped.append(Skipped(file, reason))

    def fail(self, error: LogFormatError) -> None:
        """Note a file that cannot be taken in."""
        self._errors.append(FileError(error.file, error.line, error.message))

    def note(self, text: str) -> None:
        """Note what users should know."""
        self._notes.append(text)

    def advance(self, file: str, within: int) -> None:
        """Tell that `within` bytes of a file are done."""
        if self._progress is not None:
            self._progress(min(self._done + within, self._total), self._total, file)

    def finish(self, file: str, size: int) -> None:
        """Tell that a file of `size` bytes on disk is done with, one way or another."""
        self._done += size
        self.advance(file, 0)

    def report(self) -> IngestReport:
        """Return what came of it all."""
        return IngestReport(
            runs=tuple(self._runs),
            evaluations=len(self.evaluations),
            samples=self.samples,
            skipped=tuple(self._skipped),
            errors=tuple(self._errors),
            notes=tuple(self._notes),
        )
