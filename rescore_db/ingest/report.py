"""What an ingest did, as it comes to be known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescore_db.records import FileError, IngestReport, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from rescore_db.errors import LogFormatError
    from rescore_db.harness_log.discovery import Discovery
    from rescore_db.records import Progress, Taken


class Tally:
    """Collects what is to be reported, and tells the progress.

    Attributes:
        filled: ids of the evaluations that got samples.
        summed: ids of the evaluations that got aggregates from a results file.
        bare: those of them that had no samples then.
        samples: how many were added.
        quarantined: how many lines were left out.
    """

    def __init__(
        self,
        found: Discovery,
        total: int,
        progress: Progress | None,
        told: Callable[[Taken], None] | None = None,
    ) -> None:
        """Begin with what discovery passed over or could not read.

        Args:
            found: what was found.
            total: bytes on disk of all files to come.
            progress: is told how far it is, None for nobody.
            told: is told of each evaluation that has gone in, None for nobody.
        """
        self.filled: set[int] = set()
        self.summed: set[int] = set()
        self.bare: set[int] = set()
        self.samples = 0
        self.quarantined = 0
        self._runs: dict[int, None] = {}
        self._skipped: dict[Skipped, None] = {}
        self._errors: dict[FileError, None] = {}
        self._notes: dict[str, None] = {}
        self._total = total
        self._done = 0
        self._progress = progress
        self._told = told
        self.pass_over(found)

    def pass_over(self, found: Discovery) -> None:
        """Note what discovery passed over or could not read; what is noted already stays once."""
        self._skipped.update(dict.fromkeys(found.skipped))
        self._errors.update(dict.fromkeys(found.errors))

    @property
    def runs(self) -> tuple[int, ...]:
        """Ids of the runs that are concerned, in the order they were read."""
        return tuple(self._runs)

    def touch(self, run_id: int) -> None:
        """Note a run that is concerned."""
        self._runs[run_id] = None

    def take(self, evaluation_id: int, taken: Taken, notes: tuple[str, ...]) -> None:
        """Note an evaluation that has gone in."""
        self.touch(taken.run)
        self.filled.add(evaluation_id)
        self.samples += taken.samples
        self.quarantined += taken.quarantined
        for text in notes:
            self.note(f"{taken.file}: {text}")
        if self._told is not None:
            self._told(taken)

    def skip(self, file: str, reason: str) -> None:
        """Note a file that adds nothing."""
        self._skipped[Skipped(file, reason)] = None

    def fail(self, error: LogFormatError) -> None:
        """Note a file that cannot be taken in."""
        self._errors[FileError(error.file, error.line, error.message)] = None

    def note(self, text: str) -> None:
        """Note what users should know."""
        self._notes[text] = None

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
            runs=self.runs,
            evaluations=len(self.filled | self.summed),
            filled=len(self.filled),
            aggregates_only=len(self.bare - self.filled),
            samples=self.samples,
            skipped=tuple(self._skipped),
            errors=tuple(self._errors),
            notes=tuple(self._notes),
            quarantined=self.quarantined,
        )
