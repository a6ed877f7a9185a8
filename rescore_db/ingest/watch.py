"""Following folders where runs are being written.

lm-eval writes a run's results file at its end, then the samples files one after the other.  An
evaluation is complete when a results file of its date names its task and the samples file has as
many lines as that announces, or has not changed between two looks.  A file that ends in the
middle of a line is waited for.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rescore_db.errors import LogFormatError, NotFoundError, UsageError
from rescore_db.harness_log import results as results_file
from rescore_db.harness_log.discovery import Discovery, RunFiles, SamplesFile, discover
from rescore_db.harness_log.files import split_compression
from rescore_db.ingest.labels import check_labels, label_run
from rescore_db.ingest.report import Tally
from rescore_db.ingest.requests import Requests
from rescore_db.ingest.run import RunIngest
from rescore_db.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Engine

    from rescore_db.harness_log.results import Results
    from rescore_db.records import IngestOptions, IngestReport, Taken

NAP: Final = 0.2  # seconds between two questions whether to stop
CHUNK: Final = 1 << 20
END_BYTES: Final = 64  # at a file's end, that tell whether it ends in the middle
NO_RESULTS: Final = "no results file of its date names its task"
UNFINISHED: Final = "it is still being written, or was cut in the middle of a line"


class Stamp(NamedTuple):
    """What changes when a file is written to."""

    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Watching:
    """How a folder is followed.

    Attributes:
        interval: seconds between two looks.
        stop: is asked, several times a second, whether to end.
        told: is told of each evaluation that has gone in.
    """

    interval: float = 10.0
    stop: Callable[[], bool] = lambda: False
    told: Callable[[Taken], None] | None = None


class Watch:
    """Looks at folders again and again, and takes in what has become complete."""

    def __init__(
        self,
        engine: Engine,
        folders: Sequence[str],
        options: IngestOptions,
        told: Callable[[Taken], None] | None = None,
    ) -> None:
        """Begin with nothing seen.

        Args:
            engine: the store, open for writing.
            folders: with everything below them.
            options: how files are taken in.
            told: is told of each evaluation that has gone in.
        """
        self.tally = Tally(Discovery((), ()), 0, None, told)
        self._engine = engine
        self._folders = folders
        self._options = options
        self._requests = Requests()
        self._max_bytes = Settings.from_environment().max_line_mb * 1_000_000
        self._seen: dict[str, Stamp] = {}
        self._runs: tuple[RunFiles, ...] = ()
        self._done: dict[str, Stamp] = {}  # how files were that are dealt with
        self._announced: dict[str, tuple[Stamp, Results | None]] = {}
        self._waiting: dict[str, str] = {}

    def look(self) -> None:
        """Look once, and take in what is complete.

        Raises:
            StoreUnusableError: the database failed.
        """
        before, self._seen = self._seen, dict(_stamps(self._folders))
        if self._seen != before:
            self._discover()
        self._waiting.clear()
        for files in self._runs:
            self._look_at(files, before)

    def end(self) -> IngestReport:
        """Return what came of it, with the files that were still waited for."""
        for path, why in self._waiting.items():
            self.tally.note(f"{path}: not taken in: {why}")
        return self.tally.report()

    def _discover(self) -> None:
        try:
            found = discover(self._folders)
        except NotFoundError:  # nothing of lm-eval's yet
            self._runs = ()
        else:
            self.tally.pass_over(found)
            self._runs = found.runs

    def _look_at(self, files: RunFiles, before: dict[str, Stamp]) -> None:
        """Take in what is complete of one run."""
        settled = {path for path, stamp in self._seen.items() if before.get(path) == stamp}
        path = files.results
        results = None if path is None else self._read_results(path)
        ready = [
            one
            for one in files.samples
            if self._is_news(one.path) and self._is_complete(one, results, settled)
        ]
        is_news = path is not None and self._is_news(path)
        if is_news and results is None and path not in settled:
            return  # it is being written
        if not ready and not is_news:
            return
        run = RunIngest(
            self._engine,
            replace(files, samples=tuple(ready)),
            self.tally,
            self._max_bytes,
            self._options,
            self._requests,
        )
        if path is not None and not is_news:
            run.done.add(path)
        taken = {one: self._seen[one] for one in (path, *(one.path for one in ready)) if one}
        run.ingest()
        label_run(self._engine, run.run_id, self._options)
        self._done |= taken

    def _is_news(self, path: str) -> bool:
        return path in self._seen and self._done.get(path) != self._seen[path]

    def _read_results(self, path: str) -> Results | None:
        """Return what a results file says; None while it is being written, or is damaged."""
        stamp = self._seen.get(path)
        if stamp is None:
            return None
        if path not in self._announced or self._announced[path][0] != stamp:
            try:
                found = results_file.read_results(path)
            except LogFormatError:
                found = None
            self._announced[path] = stamp, found
        return self._announced[path][1]

    def _is_complete(self, source: SamplesFile, results: Results | None, settled: set[str]) -> bool:
        """Answer whether nothing more comes; if not, note what is waited for."""
        if results is None or source.task not in results.tasks:
            self._waiting[source.path] = NO_RESULTS
            return False
        if source.path in settled:
            is_complete = ends_whole(source.path)
        else:
            expected = announced_lines(results, source.task)
            is_complete = expected is not None and has_lines(source.path, expected)
        if not is_complete:
            self._waiting[source.path] = UNFINISHED
        return is_complete


def watch_folders(
    engine: Engine,
    folders: Sequence[str],
    *,
    options: IngestOptions,
    watching: Watching,
) -> IngestReport:
    """Take in evaluations as they are completed, until told to stop or interrupted by Ctrl-C.

    Args:
        engine: the store, open for writing.
        folders: with everything below them.
        options: how files are taken in.
        watching: how often to look, and when to end.

    Raises:
        NotFoundError: a folder does not exist.
        StoreUnusableError: the database failed; whole evaluations that were written stay.
        UsageError: a name, which is for one run; a step or tag that a run cannot have.
    """
    check_labels(options)
    if options.name is not None:
        msg = "a name is for one run, and many may come: give --tag"
        raise UsageError(msg)
    for folder in folders:
        if not Path(folder).is_dir():
            msg = f"no such folder: {folder}; make it first, then watch it"
            raise NotFoundError(msg)
    watch = Watch(engine, folders, options, watching.told)
    try:
        while not watching.stop():
            watch.look()
            _wait(watching)
    except KeyboardInterrupt:  # the way to end it: what was begun is undone by its transaction
        pass
    return watch.end()


def announced_lines(results: Results, task: str) -> int | None:
    """Return how many lines a samples file will have, None where the results do not tell."""
    found = results.tasks[task]
    if not found.n_effective or found.config_json is None:
        return None
    config = json.loads(found.config_json)
    filters = config.get("filter_list") if isinstance(config, dict) else None
    n_filters = len(filters) if isinstance(filters, list) and filters else 1
    return found.n_effective * n_filters


def has_lines(path: str, expected: int) -> bool:
    """Answer whether a file that is not compressed has just so many lines, each with its end."""
    if split_compression(path)[1]:
        return False
    n, last = 0, b""
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK):
                n += chunk.count(b"\n")
                last = chunk
    except OSError:
        return False
    return n == expected and last.endswith(b"\n")


def ends_whole(path: str) -> bool:
    """Answer whether a file does not end in the middle of a line; a compressed one may."""
    if split_compression(path)[1]:
        return True
    try:
        with Path(path).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES))
            end = file.read()
    except OSError:
        return False
    return end.endswith(b"\n") or end.rstrip().endswith((b"}", b"]"))


def _stamps(folders: Sequence[str]) -> Iterator[tuple[str, Stamp]]:
    """Yield every file under some folders with its size and time; no folder is entered twice.

    What cannot be looked into is passed over: it may come back, and discovery reports it.
    """
    entered: set[str] = set()
    left = list(folders)
    while left:
        folder = left.pop()
        real = os.path.realpath(folder)
        if real in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir():
                        left.append(entry.path)
                    elif entry.is_file():
                        found = entry.stat()
                        yield entry.path, Stamp(found.st_size, found.st_mtime_ns)
        except OSError:
            continue


def _wait(watching: Watching) -> None:
    """Wait for the next look, or for the word to stop."""
    end = time.monotonic() + watching.interval
    while (left := end - time.monotonic()) > 0 and not watching.stop():
        time.sleep(min(NAP, left))
