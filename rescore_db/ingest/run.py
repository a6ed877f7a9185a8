"""One run's files into the store: first what the results file says, then file by file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from rescore_db.errors import LogFormatError
from rescore_db.harness_log import results as results_file
from rescore_db.harness_log.files import size_on_disk
from rescore_db.harness_log.locations import base_name
from rescore_db.harness_log.older import filter_names
from rescore_db.ingest.digests import FileDigests
from rescore_db.ingest.filling import OvertakenError, SamplesIngest
from rescore_db.ingest.requests import Requests
from rescore_db.ingest.tasks import add_task, definition, facts
from rescore_db.ingest.versions import Decision, Incoming, decide, has_samples
from rescore_db.records import IngestOptions
from rescore_db.store import logged, runs
from rescore_db.store.bulk import lock_content
from rescore_db.store.engine import atomic, reading
from rescore_db.store.filter_names import name_filters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from rescore_db.harness_log.discovery import RunFiles, SamplesFile
    from rescore_db.harness_log.results import Results, TaskResults
    from rescore_db.ingest.report import Tally

NO_RESULTS: Final = (
    "no results file that can be read: the model is what the folder is named for, the date is the "
    "file names', and configurations, aggregates and the lm-eval version are unknown"
)
NO_MODEL: Final = "no model name in the results file: it is what the folder is named for"


@dataclass(slots=True)
class RunIngest:
    """One run on its way into the store.

    Attributes:
        engine: the store.
        files: the run's files.
        tally: takes note of what happens.
        max_bytes: the longest line that is read.
        options: how.
        requests: what is known of the store's requests, also from runs before.
        results: the results file as read, None where there is none that can be.
        run_id: of the version that is written or known, None until there is one.
        done: paths of files that are dealt with.
        versions: of the run, as they were found when it was decided what to do.
        digests: of the samples files.
    """

    engine: Engine
    files: RunFiles
    tally: Tally
    max_bytes: int
    options: IngestOptions = field(default_factory=IngestOptions)
    requests: Requests = field(default_factory=Requests)
    results: Results | None = None
    run_id: int | None = None
    done: set[str] = field(default_factory=set)
    versions: list[runs.RunVersion] = field(default_factory=list)
    digests: FileDigests = field(init=False)

    def __post_init__(self) -> None:
        """Prepare to compare files with what is stored."""
        self.digests = FileDigests(self.max_bytes, skip_bad=self.options.skip_bad_lines)

    def ingest(self) -> None:
        """Store what is new; bad files are noted, the others go in.

        Raises:
            StoreUnusableError: the database failed.
        """
        self._read_results()
        while True:
            try:
                self._ingest_rest()
            except OvertakenError:  # what is there now decides, as if they had come first
                continue
            return

    def _ingest_rest(self) -> None:
        """Store what is new among the files that are not done with."""
        samples = [one for one in self.files.samples if one.path not in self.done]
        decision = self._decide(samples)
        if decision.kind == "new" and decision.version is not None:
            samples = self._without_damaged(samples)
            decision = self._decide(samples)
        if not samples and self.results is None:
            return
        if decision.kind == "known" and decision.version is not None:
            self._skip_all(samples, decision.version.id)
            return
        if decision.kind == "new" and decision.version is not None:
            self.tally.note(
                f"{self.label}: its content differs from version {decision.version.version} "
                f"(run {decision.version.id}), "
                "it is stored as another version of the run"
            )
        self._write(samples, decision)

    @property
    def model(self) -> str:
        """The model: from the results file, else from the folder's name."""
        if self.results is not None and self.results.model is not None:
            return self.results.model
        path = self.files.results or self.files.samples[0].path
        return results_file.model_from_folder(path)

    @property
    def label(self) -> str:
        """The run as messages name it."""
        return f"{self.model}@{self.files.date or self.files.origin}"

    # ------------------------------------------------------------------------------ decisions

    def _read_results(self) -> None:
        path = self.files.results
        if path is None:
            return
        try:
            self.results = self.digests.results = results_file.read_results(path)
        except LogFormatError as error:
            self.tally.fail(error)
        self.tally.finish(path, size_on_disk(path))

    def _find_versions(self, conn: Connection) -> list[runs.RunVersion]:
        return runs.find_versions(conn, self.model, self.files.date, self.files.origin)

    def _decide(self, samples: list[SamplesFile]) -> Decision:
        """Compare the files with what the store has of the run; new runs need no digests."""
        with reading(self.engine) as conn:
            self.versions = self._find_versions(conn)
        if not self.versions:
            return Decision("new", None)
        digest = None if self.results is None else self.results.digest
        known = {one.task: self.digests.of(one, self.versions) for one in samples}
        return decide(self.versions, Incoming(digest, known))

    def _without_damaged(self, samples: list[SamplesFile]) -> list[SamplesFile]:
        """Leave out what only seems to be another version of the run because it is damaged."""
        good = []
        for one in samples:
            found = self.digests.of(one, self.versions)
            try:
                if not any(has_samples(version, one.task, found) for version in self.versions):
                    SamplesIngest(self, one).check()
                good.append(one)
            except LogFormatError as error:
                self.fail(one, error)
        return good

    def _skip_all(self, samples: list[SamplesFile], run_id: int) -> None:
        self.run_id = run_id
        self.tally.touch(run_id)
        self._skip_results(run_id)
        for one in samples:
            self.skip(one, run_id)

    def _skip_results(self, run_id: int) -> None:
        path = self.files.results
        if self.results is not None and path is not None and path not in self.done:
            self.tally.skip(path, f"already in the store as run {run_id}")

    # ---------------------------------------------------------------------------------- writes

    def _write(self, samples: list[SamplesFile], decision: Decision) -> None:
        version = decision.version if decision.kind == "add" else None
        self.run_id = version.id if version is not None else None
        if self.results is not None and (
            version is None or version.results_digest != self.results.digest
        ):
            with atomic(self.engine) as conn:
                lock_content(conn)
                self.require_unchanged(conn)
                is_new = self.run_id is None
                run_id, summed, bare = self._write_results(conn, self.results)
            self.run_id = run_id
            self.tally.summed.update(summed)
            self.tally.bare.update(bare)
            if is_new:
                self.tell_unknown()
        elif version is not None:
            self._skip_results(version.id)
        if self.files.results is not None:
            self.done.add(self.files.results)
        for one in samples:
            SamplesIngest(self, one).ingest(version)
        if self.run_id is not None:
            self.tally.touch(self.run_id)

    def require_unchanged(self, conn: Connection) -> None:
        """Make sure that the decision still holds, now that no other ingest can write.

        Raises:
            OvertakenError: it does not.
        """
        if self._find_versions(conn) != self.versions:
            raise OvertakenError

    def tell_unknown(self) -> None:
        """Report what the new run's own notes say."""
        for text in self.new_run().notes:
            self.tally.note(f"{self.label}: {text}")

    def new_run(self) -> runs.NewRun:
        """Return the run's row."""
        found, step = self.results, self.options.step
        new = runs.NewRun(
            self.model, self.files.date, self.files.origin, step=step, notes=(NO_RESULTS,)
        )
        if found is None:
            return new
        return replace(
            new,
            step=self._logged_step(found) if step is None else step,
            lm_eval_version=found.lm_eval_version,
            results_json=found.text,
            results_digest=found.digest,
            notes=(*found.strange, *(() if found.model else (NO_MODEL,))),
        )

    def _logged_step(self, results: Results) -> int | None:
        return results_file.training_step(results, base_name(self.files.results or ""))

    def _write_results(
        self, conn: Connection, results: Results
    ) -> tuple[int, list[int], list[int]]:
        """Store the run with all aggregates.

        Returns:
            its id, the evaluations that got aggregates, and those of them without samples.
        """
        if self.run_id is None:
            version = runs.add_run(conn, self.new_run())
        else:
            runs.set_results(conn, self.run_id, self.new_run())
            version = next(one for one in self._find_versions(conn) if one.id == self.run_id)
        scoring_id = logged.find_or_add_scoring(conn, version.id)
        logged.add_groups(
            conn, scoring_id, [(group.name, group.metrics, group.n) for group in results.groups]
        )
        summed: list[int] = []
        alone = []
        for task in results.tasks.values():
            known = version.evaluations.get(task.name)
            if known is not None:
                runs.set_facts(conn, known.id, add_task(conn, task.name, task), facts(task))
                name_filters(conn, known.id, filter_names(task))
                logged.add_aggregates(conn, known.id, task.metrics, task.higher_is_better)
                summed += [known.id] if task.metrics else []
            elif task.metrics:
                alone.append(task)
        bare = _add_aggregates_only(conn, version.id, scoring_id, alone)
        return version.id, [*summed, *bare], bare

    # ------------------------------------------------------------------------------ one by one

    def skip(self, source: SamplesFile, run_id: int) -> None:
        """Note a samples file that is known."""
        self.tally.skip(source.path, f"already in the store as run {run_id}")
        self.finish(source)

    def fail(self, source: SamplesFile, error: LogFormatError) -> None:
        """Note a samples file that cannot be taken in."""
        self.tally.fail(error)
        self.finish(source)

    def finish(self, source: SamplesFile) -> None:
        """Note that a samples file is done with."""
        self.done.add(source.path)
        self.tally.finish(source.path, size_on_disk(source.path))


def _add_aggregates_only(
    conn: Connection, run_id: int, scoring_id: int, tasks: Sequence[TaskResults]
) -> list[int]:
    """Store tasks' aggregates; return the evaluations, which have no samples."""
    task_ids = runs.add_tasks(conn, [definition(one.name, one) for one in tasks])
    new = zip(task_ids, map(facts, tasks), strict=True)
    keys = runs.add_evaluations(conn, run_id, list(new))
    aggregates = [(one.metrics, one.higher_is_better) for one in tasks]
    logged.add_bare_evaluations(conn, scoring_id, keys, aggregates)
    return keys


def run_size(files: RunFiles) -> int:
    """Return how many bytes on disk a run's files take."""
    return sum(map(size_on_disk, files.paths()))
