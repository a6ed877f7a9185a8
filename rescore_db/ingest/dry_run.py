"""What an ingest would do: files, formats, runs, growth and time, and no samples file is read.

Results files are read, for they name the model; what the store has of a run tells what is new.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from rescore_db.errors import LogFormatError
from rescore_db.harness_log import results as results_file
from rescore_db.harness_log.compression import split_compression
from rescore_db.harness_log.discovery import discover
from rescore_db.harness_log.files import size_on_disk
from rescore_db.harness_log.locations import base_name
from rescore_db.records.ingested import FileError
from rescore_db.records.planned import DryRun, PlannedFile
from rescore_db.store import runs
from rescore_db.store.engine import reading
from rescore_db.store.metrics import known_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from rescore_db.harness_log.discovery import RunFiles, SamplesFile
    from rescore_db.harness_log.results import Results

State = Literal["new", "known", "unsure"]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a byte of samples, uncompressed, comes to.

    Attributes:
        first_growth: bytes of database for a task that the store does not have.
        next_growth: the same once another run's documents and prompts are there.
        first_seconds: to take in, as for `first_growth`.
        next_seconds: the same once documents and prompts are there.
        file_seconds: for each file beside that.
        expansion: ending of a compressed file → bytes uncompressed for one compressed.
        basis: where the figures come from.
    """

    first_growth: float
    next_growth: float
    first_seconds: float
    next_seconds: float
    file_seconds: float
    expansion: dict[str, float]
    basis: str


# Growth and CPU time: benchmarks/ingest.py, three made-up models of 95 MB in ten tasks, SQLite; the
# cost a file, from 100 tasks of 59 KB, is taken off.  Models that write at length grow the store by
# more than these, whose responses are a twentieth of their logs.  Compression: real logs of 12 MB
# gave 5.7, 31 and 9.0 together, single files less.
RATES: Final = Rates(
    first_growth=0.42,
    next_growth=0.04,
    first_seconds=1.7e-8,
    next_seconds=0.5e-8,
    file_seconds=0.018,
    expansion={".gz": 5, ".xz": 10, ".zst": 8},
    basis="a rough estimate for SQLite",
)


@dataclass(slots=True)
class _Planning:
    """What is known while the files are gone through.

    Attributes:
        engine: the store, None where there is none yet.
        errors: results files that cannot be read.
        tasks: those whose documents and prompts are stored, or come before.
        seen: run's key → the digests of its results files, and the tasks with samples.
        growth: expected bytes of database.
        seconds: expected time.
    """

    engine: Engine | None
    errors: list[FileError] = field(default_factory=list)
    tasks: set[str] = field(default_factory=set)
    seen: dict[tuple[str, str, str], _Seen] = field(default_factory=dict)
    growth: float = 0.0
    seconds: float = 0.0

    def files_of(self, files: RunFiles) -> list[PlannedFile]:
        """Return one row a file of a run."""
        results = self._read(files.results)
        model = None if results is None else results.model
        first = files.results or files.samples[0].path
        model = model or results_file.model_from_folder(first)
        key = (model, files.date, files.origin)
        seen = self._seen_of(key)
        states = [_results_state(results, seen)] if files.results is not None else []
        states += [_samples_state(one.task, results, seen) for one in files.samples]
        seen.take(results, files.samples)
        rows = [
            PlannedFile(
                file=path,
                kind="results" if path == files.results else "samples",
                model=model,
                date=files.date,
                origin=files.origin,
                task=task,
                release=_release(files, results, path),
                bytes=size_on_disk(path),
                state=state,
            )
            for (path, task), state in zip(_paths(files), states, strict=True)
        ]
        for row in rows:
            self._expect(row)
        return rows

    def _read(self, path: str | None) -> Results | None:
        if path is None:
            return None
        try:
            return results_file.read_results(path)
        except LogFormatError as error:
            self.errors.append(FileError(error.file, error.line, error.message))
            return None

    def _seen_of(self, key: tuple[str, str, str]) -> _Seen:
        """Return what the store has of a run, and the files before."""
        if key not in self.seen:
            self.seen[key] = _Seen()
            if self.engine is not None:
                with reading(self.engine) as conn:
                    versions = runs.find_versions(conn, *key)
                self.seen[key].take_versions(versions)
        return self.seen[key]

    def _expect(self, row: PlannedFile) -> None:
        """Add up growth and time.  What is unsure is counted as new: that is the worse case."""
        size = row.bytes * RATES.expansion.get(split_compression(base_name(row.file))[1], 1)
        self.seconds += RATES.file_seconds
        if row.kind == "results":
            self.growth += size if row.state == "new" else 0
            self.seconds += size * RATES.next_seconds
            return
        if row.state == "known":
            self.seconds += size * RATES.next_seconds
            return
        is_first = row.task not in self.tasks
        self.tasks.add(row.task)
        self.growth += size * (RATES.first_growth if is_first else RATES.next_growth)
        self.seconds += size * (RATES.first_seconds if is_first else RATES.next_seconds)


@dataclass(slots=True)
class _Seen:
    """What of a run is stored, or comes before.

    Attributes:
        digests: of its results files.
        tasks: those with samples.
    """

    digests: set[bytes] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)

    def take_versions(self, versions: Sequence[runs.RunVersion]) -> None:
        """Take note of the stored versions of a run."""
        for version in versions:
            self.digests |= {version.results_digest} - {None}  # type: ignore[arg-type]
            self.tasks |= {
                task for task, one in version.evaluations.items() if one.digest is not None
            }

    def take(self, results: Results | None, samples: Sequence[SamplesFile]) -> None:
        """Take note of files that are to be read."""
        self.digests |= set() if results is None else {results.digest}
        self.tasks |= {one.task for one in samples}


def plan_ingest(engine: Engine | None, paths: Sequence[str]) -> DryRun:
    """Say what an ingest of some paths would do.

    Args:
        engine: the store, open for reading; None where there is none yet.
        paths: as for `ingest_paths`.

    Raises:
        NotFoundError: as `ingest_paths`.
        UsageError: a URL that cannot be read without another package.
        StoreUnusableError: the database failed.
    """
    found = discover(paths)
    planning = _Planning(engine)
    if engine is not None:
        with reading(engine) as conn:
            planning.tasks = known_tasks(conn)
    rows = tuple(row for files in found.runs for row in planning.files_of(files))
    return DryRun(
        files=rows,
        runs=len({(row.model, row.date, row.origin) for row in rows}),
        bytes=sum(row.bytes for row in rows),
        expected_growth=round(planning.growth),
        expected_seconds=planning.seconds,
        basis=RATES.basis,
        skipped=found.skipped,
        errors=(*found.errors, *planning.errors),
    )


def _paths(files: RunFiles) -> list[tuple[str, str]]:
    """Return path and task of a run's files, the results first, with no task."""
    results = [] if files.results is None else [(files.results, "")]
    return results + [(one.path, one.task) for one in files.samples]


def _results_state(results: Results | None, seen: _Seen) -> State:
    return "known" if results is not None and results.digest in seen.digests else "new"


def _samples_state(task: str, results: Results | None, seen: _Seen) -> State:
    """Tell what is known of a samples file that is not read."""
    if task not in seen.tasks:
        return "new"
    return "known" if _results_state(results, seen) == "known" else "unsure"


def _release(files: RunFiles, results: Results | None, path: str) -> str:
    """Say which lm-eval wrote a file, as far as it can be told without reading samples."""
    if results is not None and results.lm_eval_version is not None:
        return results.lm_eval_version
    is_dated = base_name(path).rpartition("_")[2][:4].isdigit() and not files.origin
    if is_dated and any(one.path == path and one.form == "array" for one in files.samples):
        return "between 0.4.2 and 0.4.3"
    if results is None:
        return "0.4.3 or newer" if is_dated else ""
    if is_dated:
        return "0.4.3 to 0.4.8"
    has_configs = any(task.config_json is not None for task in results.tasks.values())
    return "0.4.0 to 0.4.2" if has_configs else "0.3 or older"
