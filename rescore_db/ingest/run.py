"""One run's files into the store: first what the results file says, then file by file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rescore_db.errors import LogFormatError
from rescore_db.harness_log import results as results_file
from rescore_db.harness_log.definition import definition_hash, definition_json
from rescore_db.harness_log.files import open_log, size_on_disk
from rescore_db.harness_log.lines import OlderFormatError
from rescore_db.ingest.evaluation import SamplesReader, fill_evaluation
from rescore_db.ingest.versions import Decision, Incoming, decide, has_samples
from rescore_db.json_exact import loads
from rescore_db.store import logged, runs
from rescore_db.store.bulk import lock_content
from rescore_db.store.engine import atomic, reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from rescore_db.harness_log.discovery import RunFiles, SamplesFile
    from rescore_db.harness_log.results import Results, TaskResults
    from rescore_db.ingest.report import Tally

CHUNK: Final = 1 << 20
NO_RESULTS: Final = (
    "no results file that can be read: the model is what the folder is named for, the date is the "
    "file names', and configurations, aggregates and the lm-eval version are unknown"
)
NO_MODEL: Final = "no model name in the results file: it is what the folder is named for"


class OvertakenError(Exception):
    """Another ingest stored some of the same run since it was looked for."""


@dataclass(slots=True)
class RunIngest:
    """One run on its way into the store.

    Attributes:
        engine: the store.
        files: the run's files.
        tally: takes note of what happens.
        max_bytes: the longest line that is read.
        results: the results file as read, None where there is none that can be.
        run_id: of the version that is written, None until there is one.
    """

    engine: Engine
    files: RunFiles
    tally: Tally
    max_bytes: int
    results: Results | None = None
    run_id: int | None = None
    _digests: dict[str, bytes] = field(default_factory=dict)
    _versions: list[runs.RunVersion] = field(default_factory=list)
    _done: set[str] = field(default_factory=set)

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
        samples = [one for one in self.files.samples if one.path not in self._done]
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
                f"{self.model}@{self.files.date}: its content differs from version "
                f"{decision.version.version}, it is stored as another version of the run"
            )
        self._write(samples, decision)

    @property
    def model(self) -> str:
        """The model: from the results file, else from the folder's name."""
        if self.results is not None and self.results.model is not None:
            return self.results.model
        path = self.files.results or self.files.samples[0].path
        return results_file.model_from_folder(path)

    # ------------------------------------------------------------------------------ decisions

    def _read_results(self) -> None:
        path = self.files.results
        if path is None:
            return
        try:
            self.results = results_file.read_results(path)
        except LogFormatError as error:
            self.tally.fail(error)
        self.tally.finish(path, size_on_disk(path))

    def _decide(self, samples: list[SamplesFile]) -> Decision:
        """Compare the files with what the store has of the run; new runs need no digests."""
        with reading(self.engine) as conn:
            self._versions = runs.find_versions(conn, self.model, self.files.date)
        if not self._versions:
            return Decision("new", None)
        digest = None if self.results is None else self.results.digest
        known = {one.task: self._digest(one.path) for one in samples}
        return decide(self._versions, Incoming(digest, known))

    def _digest(self, path: str) -> bytes:
        """Return the SHA-256 of a file's content; b"" if it cannot be read, which is told later."""
        if path not in self._digests:
            digest = hashlib.sha256()
            try:
                with open_log(path) as file:
                    while chunk := file.stream.read(CHUNK):
                        digest.update(chunk)
                self._digests[path] = digest.digest()
            except LogFormatError:
                self._digests[path] = b""
        return self._digests[path]

    def _without_damaged(self, samples: list[SamplesFile]) -> list[SamplesFile]:
        """Leave out what only seems to be another version of the run because it is damaged."""
        good = []
        for one in samples:
            digest = self._digest(one.path)
            try:
                if not any(has_samples(version, one.task, digest) for version in self._versions):
                    announced = None if self.results is None else self.results.tasks.get(one.task)
                    self._reader(one.path).check(announced)
                good.append(one)
            except LogFormatError as error:
                self._fail(one, error)
        return good

    def _skip_all(self, samples: list[SamplesFile], run_id: int) -> None:
        self.tally.touch(run_id)
        self._skip_results(run_id)
        for one in samples:
            self._skip(one, run_id)

    def _skip_results(self, run_id: int) -> None:
        path = self.files.results
        if self.results is not None and path is not None and path not in self._done:
            self.tally.skip(path, f"already in the store as run {run_id}")

    def _skip(self, source: SamplesFile, run_id: int) -> None:
        self.tally.skip(source.path, f"already in the store as run {run_id}")
        self._finish(source)

    # ---------------------------------------------------------------------------------- writes

    def _write(self, samples: list[SamplesFile], decision: Decision) -> None:
        version = decision.version if decision.kind == "add" else None
        self.run_id = version.id if version is not None else None
        if self.results is not None and (
            version is None or version.results_digest != self.results.digest
        ):
            with atomic(self.engine) as conn:
                lock_content(conn)
                self._require_unchanged(conn)
                is_new = self.run_id is None
                run_id, summed, bare = self._write_results(conn, self.results)
            self.run_id = run_id
            self.tally.summed.update(summed)
            self.tally.bare.update(bare)
            if is_new:
                self._tell_unknown()
        elif version is not None:
            self._skip_results(version.id)
        if self.files.results is not None:
            self._done.add(self.files.results)
        for one in samples:
            self._write_samples(one, version)
        if self.run_id is not None:
            self.tally.touch(self.run_id)

    def _require_unchanged(self, conn: Connection) -> None:
        """Make sure that the decision still holds, now that no other ingest can write."""
        if runs.find_versions(conn, self.model, self.files.date) != self._versions:
            raise OvertakenError

    def _tell_unknown(self) -> None:
        """Report what the new run's own notes say."""
        for text in self._new_run().notes:
            self.tally.note(f"{self.model}@{self.files.date}: {text}")

    def _new_run(self) -> runs.NewRun:
        found = self.results
        if found is None:
            return runs.NewRun(self.model, self.files.date, notes=(NO_RESULTS,))
        notes = () if found.model else (NO_MODEL,)
        return runs.NewRun(
            model=self.model,
            date=self.files.date,
            lm_eval_version=found.lm_eval_version,
            results_json=found.text,
            results_digest=found.digest,
            notes=notes,
        )

    def _write_results(
        self, conn: Connection, results: Results
    ) -> tuple[int, list[int], list[int]]:
        """Store the run with all aggregates.

        Returns:
            its id, the evaluations that got aggregates, and those of them without samples.
        """
        if self.run_id is None:
            version = runs.add_run(conn, self._new_run())
        else:
            runs.set_results(conn, self.run_id, self._new_run())
            versions = runs.find_versions(conn, self.model, self.files.date)
            version = next(one for one in versions if one.id == self.run_id)
        scoring_id = logged.find_or_add_scoring(conn, version.id)
        logged.add_groups(
            conn, scoring_id, [(group.name, group.metrics, group.n) for group in results.groups]
        )
        summed: list[int] = []
        bare: list[int] = []
        for task in results.tasks.values():
            known = version.evaluations.get(task.name)
            if known is not None:
                runs.set_facts(conn, known.id, add_task(conn, task.name, task), facts(task))
                logged.add_aggregates(conn, known.id, task.metrics, task.higher_is_better)
                summed += [known.id] if task.metrics else []
            elif task.metrics:
                bare.append(self._add_aggregates_only(conn, version.id, scoring_id, task))
        return version.id, [*summed, *bare], bare

    def _add_aggregates_only(
        self, conn: Connection, run_id: int, scoring_id: int, task: TaskResults
    ) -> int:
        task_id = add_task(conn, task.name, task)
        key = runs.add_evaluation(conn, run_id, task_id, facts(task))
        scored_id = logged.open_evaluation(conn, scoring_id, key)
        logged.set_aggregates(conn, scored_id, task.metrics, task.higher_is_better)
        logged.close_evaluation(conn, scored_id, 0)
        return key

    def _write_samples(self, source: SamplesFile, version: runs.RunVersion | None) -> None:
        """Store one samples file in one transaction; what is wrong with it is noted."""
        if version is not None and self._digest(source.path) == _stored(version, source.task):
            self._skip(source, version.id)
            return
        try:
            with atomic(self.engine) as conn:
                lock_content(conn)
                run_id, evaluation_id, scoring_id, task = self._open(conn, source)
                reader = self._reader(source.path)
                filled = fill_evaluation(conn, (evaluation_id, scoring_id), source, task, reader)
        except LogFormatError as error:
            self._fail(source, error)
            return
        if self.run_id is None:
            self._tell_unknown()
        self.run_id = run_id
        self.tally.filled.add(evaluation_id)
        self.tally.samples += filled.samples
        for text in filled.notes:
            self.tally.note(f"{source.path}: {text}")
        self._finish(source)

    def _open(
        self, conn: Connection, source: SamplesFile
    ) -> tuple[int, int, int, TaskResults | None]:
        """Return run, evaluation and logged scoring to fill, made where there are none."""
        if self.run_id is None:
            self._require_unchanged(conn)
        run_id = self.run_id or runs.add_run(conn, self._new_run()).id
        task = self._task_results(conn, run_id, source.task)
        known = runs.find_evaluation(conn, run_id, source.task)
        if known is not None and known.digest is not None:
            raise OvertakenError
        if known is not None:
            key = known.id
        else:
            task_id = add_task(conn, source.task, task)
            key = runs.add_evaluation(conn, run_id, task_id, facts(task))
        return run_id, key, logged.find_or_add_scoring(conn, run_id), task

    def _task_results(self, conn: Connection, run_id: int, task: str) -> TaskResults | None:
        """Return what is known of a task: from the results file at hand, else the stored one."""
        found = self.results
        if found is None and (text := runs.get_results_json(conn, run_id)) is not None:
            found = results_file.parse_results(text.encode(), f"results of run {run_id}")
        return None if found is None else found.tasks.get(task)

    def _reader(self, path: str) -> SamplesReader:
        return SamplesReader(path, self.max_bytes, lambda within: self.tally.advance(path, within))

    def _fail(self, source: SamplesFile, error: LogFormatError) -> None:
        if isinstance(error, OlderFormatError):
            self.tally.skip(source.path, error.message)
        else:
            self.tally.fail(error)
        self._finish(source)

    def _finish(self, source: SamplesFile) -> None:
        self._done.add(source.path)
        self.tally.finish(source.path, size_on_disk(source.path))


def _stored(version: runs.RunVersion, task: str) -> bytes | None:
    known = version.evaluations.get(task)
    return None if known is None else known.digest


def add_task(conn: Connection, name: str, task: TaskResults | None) -> int:
    """Store a task's definition as far as it is known; return its id."""
    config_json = None if task is None else task.config_json
    config = None if config_json is None else loads(config_json)
    output_type = config.get("output_type") if isinstance(config, dict) else None
    new = runs.NewTask(
        name=name,
        version="null" if task is None else task.version_json,
        hash=definition_hash(config_json),
        output_type=output_type if isinstance(output_type, str) else None,
        definition_json=None if config_json is None else definition_json(config_json),
    )
    return runs.add_task(conn, new)


def facts(task: TaskResults | None) -> runs.EvaluationFacts:
    """Return what a results file says of an evaluation."""
    if task is None:
        return runs.EvaluationFacts()
    return runs.EvaluationFacts(
        config_json=task.config_json,
        n_original=task.n_original,
        n_effective=task.n_effective,
        num_fewshot=task.num_fewshot,
    )


def run_size(files: RunFiles) -> int:
    """Return how many bytes on disk a run's files take."""
    paths = [one.path for one in files.samples] + ([files.results] if files.results else [])
    return sum(size_on_disk(str(Path(path))) for path in paths)
