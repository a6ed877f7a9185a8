"""Finding lm-eval's files among others, and which of them make one run.

The files of one run lie in one folder and have the same date in their names (see `naming`); runs
of releases that wrote no dates are told apart by their results files (see `undated`).  Of files
that are named as lm-eval does nothing is read, of others how they begin.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from rescore_db import json_exact
from rescore_db.errors import LogFormatError, NotFoundError
from rescore_db.harness_log.compression import split_compression
from rescore_db.harness_log.listing import Found, files_at, files_beside
from rescore_db.harness_log.locations import base_name, is_data, parent, shown
from rescore_db.harness_log.naming import RESULTS, Form, Named, looked_into, parse_name
from rescore_db.harness_log.undated import (
    NO_TASK,
    UndatedResults,
    UndatedSamples,
    assign,
    read_undated,
)
from rescore_db.records import FileError, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Discovery", "RunFiles", "SamplesFile", "discover", "parse_name"]

MOST_NAMED: Final = 10  # files for each reason, in a message
HOW_TO_LOG: Final = (
    "looked for results_<date>.json and samples_<task>_<date>.jsonl, as written by "
    "lm_eval … --log_samples --output_path FOLDER, and for what older releases wrote"
)
STRANGE_NAME: Final = "its name holds a character that no database holds: rename the file"

_Undated = TypeVar("_Undated", UndatedResults, UndatedSamples)


@dataclass(frozen=True, slots=True)
class SamplesFile:
    """A samples file, its task, and how it holds its records."""

    path: str
    task: str
    form: Form = "lines"


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of one run.

    Attributes:
        folder: where they lie.
        date: ISO 8601, from the files' names or else from the results; "" where nothing tells.
        results: path of the results file, None where there is none.
        samples: the samples files, by task.
        origin: what tells an undated run from others of its model; "" for dated ones.
    """

    folder: str
    date: str
    results: str | None
    samples: tuple[SamplesFile, ...]
    origin: str = ""

    def paths(self) -> tuple[str, ...]:
        """Return the paths of all files, the results first."""
        samples = tuple(one.path for one in self.samples)
        return samples if self.results is None else (self.results, *samples)


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes:
        runs: by folder and date, then those without a date in their names.
        skipped: files that are passed over.
        errors: files, folders, and places in them, that cannot be looked into.
    """

    runs: tuple[RunFiles, ...]
    skipped: tuple[Skipped, ...]
    errors: tuple[FileError, ...] = ()


def discover(paths: Sequence[str]) -> Discovery:
    """Find the runs under some folders, globs, files and URLs of any of them.

    Folders are searched with everything below them.  A samples file that is named by itself
    brings the results file that lies beside it.  What cannot be looked into is among the errors.
    Paths that are URLs come without the credentials they may hold, see `locations`.

    Raises:
        NotFoundError: a path does not exist or a glob matches nothing, or nowhere is a file
            that lm-eval wrote.
        UsageError: a URL that cannot be read without another package.
    """
    search = _Search()
    search.take(files_at(paths, search.errors))
    search.bring_results()
    runs = (*search.dated_runs(), *search.undated_runs())
    if not runs and not search.errors:
        raise NotFoundError(_nothing(paths, search.skipped))
    return Discovery(runs, tuple(search.skipped), tuple(search.errors))


class _Search:
    """What has been found so far.

    Attributes:
        skipped: files that are passed over.
        errors: what cannot be looked into.
    """

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []
        self.errors: list[FileError] = []
        self._seen: set[tuple[str, str]] = set()
        self._named: dict[tuple[str, str, str | None], list[Named]] = {}
        self._dated: dict[str, str] = {}  # `Found.same` of a file with a date → its path
        self._results: list[UndatedResults] = []
        self._samples: list[UndatedSamples] = []
        self._alone: dict[tuple[str, str], str] = {}  # folder, date → a samples file named alone

    def take(self, files: Iterable[Found]) -> None:
        """Take in some files."""
        others = []
        for file in files:
            # One content under two names may be two runs: stores of downloads link equal files.
            key = file.same, base_name(file.path)
            if key not in self._seen:
                self._seen.add(key)
                others += [] if self._take_dated(file) else [file]
        for file in others:
            if is_data(file.path):
                self._take_undated(file)

    def _take_dated(self, file: Found) -> bool:
        """Take in a file that has a date in its name; False if it is none of lm-eval's."""
        found = self._recognised(file.path)
        if found is None:
            return False
        if found.task is not None and json_exact.UNSTORABLE.search(found.task):
            self.errors.append(FileError(file.path, None, STRANGE_NAME))
            return True
        self._named.setdefault(found.identity, []).append(found)
        self._dated[file.same] = file.path
        if file.alone and found.task is not None:
            self._alone.setdefault((parent(file.path), found.date), file.path)
        return True

    def _recognised(self, path: str) -> Named | None:
        found = parse_name(path)
        if found is None or found.surely:
            return found
        try:
            return looked_into(found)
        except LogFormatError as error:
            self._fail(error)
            return None

    def _take_undated(self, file: Found) -> None:
        path = file.path
        if file.same in self._dated:
            reason = f"another name of {base_name(self._dated[file.same])}"
            self.skipped.append(Skipped(path, reason))
            return
        try:
            found = read_undated(path)
        except LogFormatError as error:
            self._fail(error)
            return
        if isinstance(found, UndatedResults):
            self._results.append(found)
        elif isinstance(found, UndatedSamples):
            self._samples.append(found)
            if file.alone:
                self._alone.setdefault((parent(path), ""), path)
        else:
            self.skipped.append(Skipped(path, found))

    def _fail(self, error: LogFormatError) -> None:
        self.errors.append(FileError(error.file, error.line, error.message))

    def bring_results(self) -> None:
        """Take in the results files beside samples files that were named alone."""
        for (_, date), path in self._alone.items():
            found = parse_name(path)
            name = "" if found is None else base_name(path).removeprefix(found.stem)
            guess = f"{RESULTS}{name.partition('.json')[0]}.json"
            for other in files_beside(path, self.errors, [guess]):
                if _may_be_results(other, date):
                    self._take_beside(Found.at(other))

    def _take_beside(self, file: Found) -> None:
        """Take in a file if it is a results file; nobody asked for it, so else nothing is told."""
        if parse_name(file.path) is None:
            with suppress(LogFormatError):
                if not isinstance(read_undated(file.path), UndatedResults):
                    return
        self.take([file])

    def dated_runs(self) -> list[RunFiles]:
        """Put the files of one folder and date together."""
        runs: dict[tuple[str, str], list[Named]] = {}
        by_path = sorted(self._named.items(), key=lambda item: item[1][0].path)
        for (folder, date, _), copies in by_path:
            best = min(copies, key=lambda one: (len(one.ending), one.path))
            runs.setdefault((folder, date), []).append(best)
            self._skip_copies([one.path for one in copies if one is not best], best.path)
        return [_dated_run(folder, date, files) for (folder, date), files in sorted(runs.items())]

    def undated_runs(self) -> list[RunFiles]:
        """Put undated results files and what belongs to each together."""
        results = self._without_copies(self._results)
        for one in assign(results, self._without_copies(self._samples)):
            if one.form == "array":
                self.errors.append(FileError(one.path, None, NO_TASK))
            else:
                self.skipped.append(Skipped(one.path, NO_TASK))
        return [
            RunFiles(
                folder=parent(one.path),
                date=one.date,
                results=one.path,
                samples=tuple(SamplesFile(*samples) for samples in sorted(one.samples)),
                origin=one.origin,
            )
            for one in results
        ]

    def _without_copies(self, files: Sequence[_Undated]) -> list[_Undated]:
        """Leave out compressed copies of files that are there."""
        copies: dict[tuple[str, str], list[_Undated]] = {}
        for one in files:
            name = split_compression(base_name(one.path))[0]
            copies.setdefault((parent(one.path), name), []).append(one)
        kept = []
        for found in copies.values():
            best = min(found, key=lambda one: (len(one.path), one.path))
            kept.append(best)
            self._skip_copies([one.path for one in found if one is not best], best.path)
        return sorted(kept, key=lambda one: one.path)

    def _skip_copies(self, copies: Iterable[str], read: str) -> None:
        reason = f"a second copy of {base_name(read)}, which is read"
        self.skipped += [Skipped(path, reason) for path in copies]


def _may_be_results(path: str, date: str) -> bool:
    """Tell by its name whether a file may be the results file of samples of a date, "" of none."""
    named = parse_name(path)
    if named is not None:
        return named.date == date and (named.task is None or not named.surely)
    return not date and split_compression(base_name(path))[0].endswith(".json")


def _dated_run(folder: str, date: str, files: Sequence[Named]) -> RunFiles:
    return RunFiles(
        folder=folder,
        date=date,
        results=next((one.path for one in files if one.task is None), None),
        samples=tuple(
            SamplesFile(one.path, one.task, one.form) for one in files if one.task is not None
        ),
    )


def _nothing(paths: Sequence[str], skipped: Sequence[Skipped]) -> str:
    """Say that nowhere is anything to read, and which files were passed over for what reason."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.file)
    which = "here that can be read" if skipped else "here"
    told = [f"no lm-eval files {which}: {', '.join(map(shown, paths))}; {HOW_TO_LOG}"]
    for reason, files in by_reason.items():
        more = len(files) - MOST_NAMED
        names = [*files[:MOST_NAMED], *([f"{more:,} more"] if more > 0 else [])]
        told.append(f"skipped: {reason}: {', '.join(names)}")
    archives = [shown(path) for path in paths if path.lower().endswith((".zip", ".tar"))]
    told += [f"to read what is in an archive: {path[-3:]}://::{path}" for path in archives]
    return "\n".join(told)
