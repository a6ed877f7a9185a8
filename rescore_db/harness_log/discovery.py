"""Finding lm-eval's files among others, and which of them make one run.

Only names and the first bytes of files are looked at; `lm_eval` names a results file
`results_<date>.json` (`<name>_<date>.json` if `--output_path` is `<name>.json`) and a samples file
`samples_<task>_<date>.jsonl`, all of one run with the same date in one folder.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rescore_db.errors import LogFormatError, NotFoundError
from rescore_db.harness_log.files import UNREADABLE, read_start, split_compression
from rescore_db.records import FileError, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DATED: Final = re.compile(
    r"(?P<stem>.+)_(?P<date>\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?)(?P<ending>\.jsonl?)"
)
DATA_ENDINGS: Final = frozenset({".json", ".jsonl", ".csv"})
MOST_NAMED: Final = 10  # files for each reason, in a message
START: Final = 4096  # bytes of a file that tell what it is
RESULTS_START: Final = re.compile(rb'\s*\{\s*"results"\s*:\s*\{')
HOW_TO_LOG: Final = (
    "looked for results_<date>.json and samples_<task>_<date>.jsonl, as written by "
    "lm_eval … --log_samples --output_path FOLDER"
)


@dataclass(frozen=True, slots=True)
class SamplesFile:
    """A samples file and the task that its name tells."""

    path: str
    task: str


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The files of one run.

    Attributes:
        folder: where they lie.
        date: ISO 8601, from the files' names.
        results: path of the results file, None where there is none.
        samples: the samples files, by task.
    """

    folder: str
    date: str
    results: str | None
    samples: tuple[SamplesFile, ...]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes:
        runs: by folder and date.
        skipped: files that are passed over.
        errors: folders, and places in them, that cannot be looked into.
    """

    runs: tuple[RunFiles, ...]
    skipped: tuple[Skipped, ...]
    errors: tuple[FileError, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """A file whose name lm-eval would give; `task` is None for a results file."""

    path: str
    date: str
    task: str | None
    ending: str  # of its compression, "" for none

    @property
    def identity(self) -> tuple[str, str, str | None]:
        """Return what two copies of one file share, compressed or not."""
        return str(Path(self.path).parent), self.date, self.task


def discover(paths: Sequence[str]) -> Discovery:
    """Find the runs under some folders, globs and files.

    Folders are searched with everything below them.  A samples file that is named by itself
    brings the results file that lies beside it.  What cannot be looked into is among the errors.

    Raises:
        NotFoundError: a path does not exist or a glob matches nothing, or nowhere is a file
            that lm-eval wrote.
    """
    named: dict[tuple[str, str, str | None], list[Named]] = {}
    skipped: list[Skipped] = []
    errors: list[FileError] = []
    for path in _files(paths, errors):
        found = parse_name(path)
        if found is not None:
            named.setdefault(found.identity, []).append(found)
        elif (reason := _why_not(path)) is not None:
            skipped.append(Skipped(path, reason))
    runs = _runs(named, skipped)
    if not runs and not errors:
        raise NotFoundError(_nothing(paths, skipped))
    return Discovery(runs, tuple(skipped), tuple(errors))


def parse_name(path: str) -> Named | None:
    """Take the name of a dated lm-eval file apart; None if it is not named like one.

    A task's name may hold anything, parts like dates included: the date is the last part.
    """
    plain, ending = split_compression(Path(path).name)
    found = DATED.fullmatch(plain)
    if found is None:
        return None
    day, _, time = found["date"].partition("T")
    date = f"{day}T{time.replace('-', ':')}"
    if found["ending"] == ".json":
        return Named(path, date, None, ending)
    if not found["stem"].startswith("samples_"):
        return None
    return Named(path, date, found["stem"].removeprefix("samples_"), ending)


def _files(paths: Iterable[str], errors: list[FileError]) -> Iterator[str]:
    """Yield every file under the paths, each once however many paths lead to it."""
    seen: set[str] = set()
    for path in paths:
        for start in _expanded(path):
            for file in _found_at(start, errors):
                real = os.path.realpath(file)
                if real not in seen:
                    seen.add(real)
                    yield file


def _found_at(start: str, errors: list[FileError]) -> Iterator[str]:
    """Yield what a folder holds, or a file with what belongs to it."""
    try:
        is_folder = stat.S_ISDIR(Path(start).stat().st_mode)
    except OSError as error:
        errors.append(unreadable(error, start))
        return
    yield from _walk(start, errors) if is_folder else _with_results(start, errors)


def _expanded(path: str) -> list[str]:
    if _is_there(path):
        return [path]
    matches = sorted(glob(path, recursive=True)) if has_magic(path) else []  # noqa: PTH207 - any root
    if not matches:
        what = "nothing matches" if has_magic(path) else "no such file or folder:"
        msg = f"{what} {path}"
        raise NotFoundError(msg)
    return matches


def _is_there(path: str) -> bool:
    """Answer whether a path leads to something, if only to what may not be looked into."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _walk(folder: str, errors: list[FileError]) -> Iterator[str]:
    """Yield the files below a folder; links are followed, but no folder is entered twice."""

    def note(error: OSError) -> None:
        errors.append(unreadable(error, folder))

    entered: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True, onerror=note):
        entered.add(os.path.realpath(root))
        folders[:] = sorted(
            name for name in folders if os.path.realpath(Path(root, name)) not in entered
        )
        for name in sorted(files):
            try:
                if Path(root, name).is_file():
                    yield str(Path(root, name))
            except OSError as error:
                note(error)


def unreadable(error: OSError, place: str) -> FileError:
    """Return what is told of a place that cannot be looked into."""
    return FileError(str(error.filename or place), None, f"cannot be read: {error.strerror}")


def _with_results(path: str, errors: list[FileError]) -> Iterator[str]:
    """Yield a file named by itself, and for samples the results files of the same date."""
    yield path
    found = parse_name(path)
    if found is None or found.task is None:
        return
    try:
        others = sorted(Path(path).parent.iterdir())
    except OSError as error:
        errors.append(unreadable(error, path))
        return
    for beside in others:
        other = parse_name(str(beside))
        if other is not None and other.task is None and other.date == found.date:
            yield str(beside)


def _runs(
    named: dict[tuple[str, str, str | None], list[Named]], skipped: list[Skipped]
) -> tuple[RunFiles, ...]:
    """Put the files of one folder and date together."""
    runs: dict[tuple[str, str], list[Named]] = {}
    for (folder, date, _), copies in sorted(named.items(), key=lambda item: item[1][0].path):
        one = _best_copy(copies, skipped)
        if one is not None:
            runs.setdefault((folder, date), []).append(one)
    return tuple(
        RunFiles(
            folder=folder,
            date=date,
            results=next((one.path for one in files if one.task is None), None),
            samples=tuple(SamplesFile(one.path, one.task) for one in files if one.task is not None),
        )
        for (folder, date), files in sorted(runs.items())
    )


def _best_copy(copies: list[Named], skipped: list[Skipped]) -> Named | None:
    """Choose among a file and its compressed copies: the plainest that can be read."""
    readable = [one for one in copies if one.ending not in UNREADABLE]
    best = min(readable, key=lambda one: (len(one.ending), one.path)) if readable else None
    for one in copies:
        if best is None:
            skipped.append(Skipped(one.path, UNREADABLE[one.ending]))
        elif one is not best:
            reason = f"a second copy of {Path(best.path).name}, which is read"
            skipped.append(Skipped(one.path, reason))
    return best


OLD_RESULTS: Final = (
    "a results file without a date in its name, as lm-eval wrote before 0.4.3: not read yet"
)
OLD_SAMPLES: Final = "samples as one JSON array, as lm-eval wrote before 0.4.3: not read yet"


def _why_not(path: str) -> str | None:
    """Say why a file is passed over; None for files that nobody expects to be read."""
    plain, ending = split_compression(Path(path).name)
    if Path(plain).suffix not in DATA_ENDINGS:
        return None
    if ending in UNREADABLE:
        return UNREADABLE[ending]
    try:
        start = read_start(path, START)
    except LogFormatError as error:
        return error.message
    if RESULTS_START.match(start):
        return OLD_RESULTS
    if start.lstrip().startswith(b"[") and b'"doc_id"' in start:
        return OLD_SAMPLES
    return "not a file of lm-eval, by its name and its content"


def _nothing(paths: Sequence[str], skipped: list[Skipped]) -> str:
    """Say that nowhere is anything to read, and which files were passed over for what reason."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.file)
    which = "here that can be read" if skipped else "here"
    told = [f"no lm-eval files {which}: {', '.join(paths)}; {HOW_TO_LOG}"]
    for reason, files in by_reason.items():
        more = len(files) - MOST_NAMED
        names = [*files[:MOST_NAMED], *([f"{more:,} more"] if more > 0 else [])]
        told.append(f"skipped: {reason}: {', '.join(names)}")
    return "\n".join(told)
