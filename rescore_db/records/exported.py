"""What an export wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FileKind = Literal["results", "samples", "responses"]
FileStatus = Literal["written", "unchanged", "kept"]
"""What became of a file: "kept" is one that was there, differs, and was not to be replaced."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export.

    Attributes:
        file: its path.
        kind: what is in it.
        run: primary key of the run.
        task: the evaluation's, None for a results file.
        lines: records in it, 0 for a results file.
        bytes: its size.
        status: what became of it.
    """

    file: str
    kind: FileKind
    run: int
    task: str | None
    lines: int
    bytes: int
    status: FileStatus


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What one export did.

    Attributes:
        format: what was asked for.
        out: the folder.
        runs: ids of the runs with a file in it.
        files: every file, those that were there already included.
        lines: records in all files.
        bytes: size of all files.
        notes: what users should know: left out lines, changed names, runs without files.
    """

    format: str
    out: str
    runs: tuple[int, ...]
    files: tuple[ExportedFile, ...]
    lines: int
    bytes: int
    notes: tuple[str, ...]

    @property
    def kept(self) -> tuple[ExportedFile, ...]:
        """The files that were there with other content and stayed."""
        return tuple(one for one in self.files if one.status == "kept")
