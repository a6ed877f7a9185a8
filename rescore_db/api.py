"""The Python face: a `Store` with the same verbs as the command line.

Every verb imports what it needs when it is called, so that opening a store and listing runs never
pays for lm-eval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rescore_db.errors import UsageError
from rescore_db.intake import Intake
from rescore_db.recipes import Recipes
from rescore_db.records import Rows
from rescore_db.records.requests import checked
from rescore_db.settings import Settings

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType

    from sqlalchemy import Engine

    from rescore_db.compare import CompareOptions
    from rescore_db.export.request import ExportRequest
    from rescore_db.records import (
        CompareRow,
        Deletion,
        HistoryRow,
        Progress,
        RunDetail,
        RunRow,
        SampleDetail,
        SampleRow,
        ScoreRow,
        ScoringDetail,
        ScoringRow,
        SqlResult,
        SubsetRow,
        TaskRow,
        VerifyRow,
    )
    from rescore_db.records.exported import ExportReport
    from rescore_db.rescoring.request import ScoreRequest, VerifyRequest

    PathLike = str | os.PathLike[str]


class Store(Intake, Recipes):
    """An open store.

    Attributes:
        url: where it is, with any password masked.
    """

    def __init__(self, engine: Engine, url: str) -> None:
        """Wrap an engine; `open_store` makes one."""
        self._engine = engine
        self.url = url

    def __enter__(self) -> Self:
        """Return the store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the store."""
        self.close()

    def close(self) -> None:
        """Give back the database's connections."""
        self._engine.dispose()

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know of how the store was opened, such as a network file system."""
        from rescore_db.store import engine

        return engine.notes(self._engine)

    # ------------------------------------------------------------------------------- what is in

    def export(
        self,
        out: PathLike,
        *,
        request: ExportRequest | None = None,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write runs as files below a folder; None means all runs as lm-eval's own files.

        Raises:
            NotFoundError: there is no such run, task, scoring or format.
            OutputError: a file cannot be written.
        """
        from rescore_db.export import ExportRequest, export_runs

        asked = checked(request or ExportRequest())
        return export_runs(self._engine, out, asked, progress=progress)

    def runs(self, *, tags: Sequence[str] = ()) -> Rows[RunRow]:
        """List the runs, all of them or those with every one of some tags."""
        from rescore_db.store import listings
        from rescore_db.store.engine import reading

        with reading(self._engine) as conn:
            return Rows(listings.list_runs(conn, tags=_several(tags)))

    def run(self, run: str) -> RunDetail:
        """Return one run with its evaluations; `run` is an id, a name or `model@date`."""
        from rescore_db.store import listings
        from rescore_db.store.engine import reading
        from rescore_db.store.references import find_run

        with reading(self._engine) as conn:
            return listings.get_run(conn, find_run(conn, run))

    def set_run(
        self,
        run: str,
        *,
        name: str | None = None,
        step: int | str | None = None,
        tags: Sequence[str] = (),
        untags: Sequence[str] = (),
    ) -> RunRow:
        """Give a run a name, a step of training or tags; a name or step of "" is taken away."""
        from rescore_db.managing import set_run
        from rescore_db.store.labels import RunChanges

        changes = RunChanges(name, step, _several(tags), _several(untags))
        return set_run(self._engine, run, changes)

    def delete_runs(self, *runs: str, dry_run: bool = False) -> Deletion:
        """Delete runs with all that only they refer to; `dry_run` only tells what would go."""
        from rescore_db.managing import delete_runs

        return delete_runs(self._engine, runs, dry_run=dry_run)

    def delete_scorings(self, *scorings: str, dry_run: bool = False) -> Deletion:
        """Delete scorings, never what lm-eval logged; `dry_run` only tells what would go."""
        from rescore_db.managing import delete_scorings

        return delete_scorings(self._engine, scorings, dry_run=dry_run)

    def tasks(self) -> Rows[TaskRow]:
        """List the task definitions."""
        from rescore_db.store import listings
        from rescore_db.store.engine import reading

        with reading(self._engine) as conn:
            return Rows(listings.list_tasks(conn))

    def task(self, task: str) -> Rows[TaskRow]:
        """Return every definition of one task, by its name, or one definition by its id.

        Raises:
            NotFoundError: there is no such task.
        """
        from rescore_db.store import listings
        from rescore_db.store.engine import reading

        with reading(self._engine) as conn:
            return Rows(listings.get_task(conn, task))

    def samples(
        self,
        *,
        run: str | None = None,
        task: str | None = None,
        where: str | None = None,
        limit: int = 50,
    ) -> Rows[SampleRow]:
        """List samples, at most `limit`; `where` as in subsets.

        Raises:
            BadSqlError: the condition cannot be run.
            NotFoundError: there is no such run or task.
            UsageError: the limit is not positive.
        """
        if limit < 1:
            msg = f"limit must be at least 1, not {limit}"
            raise UsageError(msg)
        from rescore_db.store import listings
        from rescore_db.store.engine import reading
        from rescore_db.store.references import find_run

        with reading(self._engine) as conn:
            run_id = None if run is None else find_run(conn, run)
            return Rows(
                listings.list_samples(conn, run_id=run_id, task=task, where=where, limit=limit)
            )

    def sample(self, sample_id: str) -> SampleDetail:
        """Return one sample ("12:5") with its scores under every scoring."""
        from rescore_db.store import listings
        from rescore_db.store.engine import reading

        with reading(self._engine) as conn:
            return listings.get_sample(conn, sample_id)

    def scorings(self, run: str | None = None) -> Rows[ScoringRow]:
        """List the scorings, of one run or of all."""
        from rescore_db.store import listings
        from rescore_db.store.engine import reading
        from rescore_db.store.references import find_run

        with reading(self._engine) as conn:
            run_id = None if run is None else find_run(conn, run)
            return Rows(listings.list_scorings(conn, run_id=run_id))

    def scoring(self, reference: str) -> ScoringDetail:
        """Return one scoring, by id or as `RUN:SCORING`."""
        from rescore_db.store import listings
        from rescore_db.store.engine import reading
        from rescore_db.store.references import find_scoring

        with reading(self._engine) as conn:
            return listings.get_scoring(conn, find_scoring(conn, reference))

    # ----------------------------------------------------------------------------------- subsets

    def create_subset(self, name: str, where: str, *, run: str | None = None) -> SubsetRow:
        """Freeze the docs that a condition selects, in one run's samples or in any.

        Raises:
            AlreadyExistsError: the name is taken.
            BadSqlError: the condition cannot be run.
            NotFoundError: no doc satisfies it.
        """
        from rescore_db import subsets
        from rescore_db.store.engine import reading
        from rescore_db.store.references import find_run

        run_ids = None
        if run is not None:
            with reading(self._engine) as conn:
                run_ids = [find_run(conn, run)]
        return subsets.create_subset(self._engine, name, where, run_ids=run_ids)

    def subsets(self) -> Rows[SubsetRow]:
        """List the subsets."""
        from rescore_db import subsets

        return Rows(subsets.list_subsets(self._engine))

    def subset(self, name: str) -> SubsetRow:
        """Return one subset, `NAME` or `NAME@VERSION`."""
        from rescore_db import subsets

        return subsets.get_subset(self._engine, name)

    # ----------------------------------------------------------------------------------- scoring

    def score(
        self, *runs: str, request: ScoreRequest | None = None, progress: Progress | None = None
    ) -> Rows[ScoreRow]:
        """Score stored responses again, doing only what is missing.

        Args:
            runs: which runs; none means the newest version of each.
            request: what to score and how; None means the tasks' own definitions.
            progress: called as samples are done.

        Raises:
            UsageError: the request makes no sense, or names what does not exist.
        """
        from rescore_db.rescoring.request import ScoreRequest
        from rescore_db.rescoring.score import score_runs

        asked = checked(request or ScoreRequest())
        return score_runs(self._engine, runs, asked, progress=progress)

    def verify(
        self, *runs: str, request: VerifyRequest | None = None, progress: Progress | None = None
    ) -> Rows[VerifyRow]:
        """Recompute what lm-eval logged and say where it differs; writes nothing."""
        from rescore_db.rescoring.request import VerifyRequest
        from rescore_db.rescoring.verify import verify_runs

        asked = checked(request or VerifyRequest())
        return verify_runs(self._engine, runs, asked, progress=progress)

    # ------------------------------------------------------------------------------- comparisons

    def compare(self, *references: str, options: CompareOptions | None = None) -> Rows[CompareRow]:
        """Compare sides (`RUN`, `RUN:SCORING`, `RUN/FILTER` …) over the docs that both answered."""
        from rescore_db.compare import CompareOptions, compare_runs

        return compare_runs(self._engine, references, checked(options or CompareOptions()))

    def history(
        self,
        task: str,
        *,
        scoring: str = "logged",
        filter: str | None = None,  # noqa: A002 - the field's word
        metric: str | None = None,
        model: str | None = None,
    ) -> Rows[HistoryRow]:
        """Return every run's value of a task or group by date, under one scoring."""
        from rescore_db.compare import history

        return history(
            self._engine, task, scoring=scoring, filter=filter, metric=metric, model=model
        )

    def sql(self, query: str, *, max_rows: int = 1000, seconds: float | None = None) -> SqlResult:
        """Run one read-only query in the database's own dialect.

        Raises:
            BadSqlError: it writes, is more than one statement, fails, or takes too long.
        """
        from rescore_db.store.fence.readonly import run_sql

        limit = Settings.from_environment().sql_seconds if seconds is None else seconds
        return run_sql(self._engine, query, max_rows=max_rows, seconds=limit)


def _several(words: Sequence[str]) -> tuple[str, ...]:
    """Return words as a tuple; one alone is not read letter by letter."""
    return (words,) if isinstance(words, str) else tuple(words)


def open_store(url: str | None = None, *, write: bool = True) -> Store:
    """Open the store at a URL: `sqlite:///file.db` or `postgresql://user@host/name`.

    Args:
        url: None means RESCORE_DB, else `sqlite:///rescore.db` here.
        write: False opens without the means to write, and never creates a file.

    Raises:
        StoreUnusableError: it cannot be reached, is not ours, or is of another version.
    """
    from rescore_db.store.engine import open_engine, safe_url

    where = url or Settings.from_environment().url
    return Store(open_engine(where, write=write), safe_url(where))
