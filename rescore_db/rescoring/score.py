"""`score`: from stored responses to a new scoring, doing only what is missing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from rescore_db.errors import DriftError, TaskError
from rescore_db.json_exact import escaped
from rescore_db.records import Rows, ScoreRow
from rescore_db.rescoring import groups
from rescore_db.rescoring.drift import refusal
from rescore_db.rescoring.filter_names import learn_filter_names
from rescore_db.rescoring.how import How, RunFacts, Way, read_how, recipe_json
from rescore_db.rescoring.overrides import check_with_lm_eval
from rescore_db.rescoring.plan import Job, Resolved, choose_all, make_jobs
from rescore_db.rescoring.pool import Pool, workers_for
from rescore_db.rescoring.recipes import covered, named_how
from rescore_db.rescoring.slot import ChildDiedError
from rescore_db.settings import Settings
from rescore_db.store import results, scorings
from rescore_db.store.engine import atomic, reading
from rescore_db.store.evaluations import stored_evaluations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Engine

    from rescore_db.records import Progress
    from rescore_db.rescoring.request import ScoreRequest
    from rescore_db.rescoring.slot import Slot
    from rescore_db.store.evaluations import StoredEvaluation


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request's work is: the store and its raw URL, which only children see.

    `strict` refuses definitions that drifted.
    """

    engine: Engine
    url: str = field(repr=False)
    strict: bool


def score_runs(
    engine: Engine,
    runs: Sequence[str],
    request: ScoreRequest,
    *,
    progress: Progress | None = None,
) -> Rows[ScoreRow]:
    """Score stored responses again and return what stands under the scorings afterwards.

    Args:
        engine: the store.
        runs: references of runs; none means the newest version of each.
        request: what to score and how.
        progress: called with samples done and to do.

    Raises:
        RescoreError: the request makes no sense.  A task that can't be resolved or scored is
            not an error: it gives a row of status "failed" or "unsupported" with its reason.
    """
    from rescore_db.store.references import find_runs

    target = Target(engine, engine.url.render_as_string(hide_password=False), request.strict)
    subset = _subset_version(engine, request.subset)
    how = named_how(engine, request, subset) if request.recipe else read_how(request, subset)
    with reading(engine) as conn:
        evaluations = stored_evaluations(conn, find_runs(conn, runs), request.tasks)
        evaluations = covered(evaluations, how, request.recipe)
        facts = {run: RunFacts.read(conn, run) for run in {one.run_id for one in evaluations}}
    chosen = choose_all(engine, evaluations, request, how.subset)
    evaluations = [one for one in evaluations if one.id in chosen]
    total = sum(one.n_samples for one in evaluations)
    settings = Settings.from_environment(child_seconds=request.timeout, child_mb=request.memory)
    with Pool(settings, workers_for(total, request.workers)) as pool:
        check = partial(_check_overrides, request, how)
        resolved, failed = _resolve(pool, target, how, evaluations, facts, check)
        wanted = [(one, chosen[one.evaluation.id]) for one in resolved]
        jobs = make_jobs(engine, how, request, wanted)
        _run_jobs(pool, target, jobs, facts, progress)
        ungrouped = _aggregate_groups(pool, target, how, jobs, facts)
    rows = [*_rows(engine, jobs), *failed, *ungrouped]
    return Rows(without_drifted(rows, facts) if request.strict else rows)


def _subset_version(engine: Engine, name: str | None) -> str | None:
    """Return `NAME@VERSION` of a subset, so that a refreshed one is another way of scoring."""
    if name is None:
        return None
    from rescore_db.subsets import get_subset

    found = get_subset(engine, name)
    return f"{found.name}@{found.version}"


def _check_overrides(request: ScoreRequest, how: How, slot: Slot) -> None:
    """Refuse filters and metrics that lm-eval does not have; a recipe's were looked at before."""
    if request.filters or request.metrics:
        (way,) = how.ways
        check_with_lm_eval(str(request.filters), str(request.metrics), way.template, slot)


def _resolve(
    pool: Pool,
    target: Target,
    how: How,
    evaluations: Sequence[StoredEvaluation],
    facts: dict[int, RunFacts],
    check: Callable[[Slot], None],
) -> tuple[list[Resolved], list[ScoreRow]]:
    """Build every task once, in children; those that can't be built become rows.

    `check` runs beside, and what it raises ends all.
    """

    def unit(evaluation: StoredEvaluation, way: Way, slot: Slot) -> Resolved | ScoreRow:
        mine = facts[evaluation.run_id]
        request = way.request_for(evaluation.task, mine)
        try:
            reply = slot.call(
                "resolve", url=target.url, request=request, evaluation_id=evaluation.id
            )
        except TaskError as error:
            return _failed(evaluation, str(error))
        learn_filter_names(target.engine, evaluation.id, way, reply["definition"])
        return Resolved(
            evaluation,
            way,
            recipe_json(evaluation, reply["definition"], way, mine),
            reply["definition"]["config_json"],
            escaped(reply["environment"]),
            reply["definition"]["per_doc_filters"],
            _differing(way, reply["differences"]),
        )

    ways = ((one, how.way_for(one.task)) for one in evaluations)
    units = (partial(unit, one, way) for one, way in ways if way is not None)
    found = list(pool.run(chain((check,), units)))
    resolved = [one for one in found if isinstance(one, Resolved)]
    resolved.sort(key=lambda one: (one.evaluation.run_id, one.evaluation.id))
    return resolved, [one for one in found if isinstance(one, ScoreRow)]


def _differing(way: Way, fields: Sequence[str]) -> tuple[str, ...]:
    """Return the warning for fields in which a definition is not the logged one.

    What the user replaced is no news.
    """
    replaced = {
        "filter_list": way.template.filters_json is not None,
        "metric_list": way.template.metrics_json is not None,
    }
    fields = [field for field in fields if not replaced.get(field)]
    return (f"the definition differs from the logged one: {', '.join(fields)}",) if fields else ()


def _failed(evaluation: StoredEvaluation, reason: str) -> ScoreRow:
    return ScoreRow(
        scoring="",
        run=evaluation.run_id,
        model=evaluation.model,
        task=evaluation.task,
        filter="",
        metric="",
        value=None,
        stderr=None,
        n=evaluation.n_samples,
        status="failed",
        reason=reason,
    )


def _run_jobs(
    pool: Pool,
    target: Target,
    jobs: Sequence[Job],
    facts: dict[int, RunFacts],
    progress: Progress | None,
) -> None:
    """Score every missing shard; whoever scores the last one of an evaluation aggregates it."""
    runners = [
        Runner(
            target,
            job.way.request_for(job.evaluation.task, facts[job.evaluation.run_id]),
            job,
            job.way.iters_for(facts[job.evaluation.run_id]),
        )
        for job in jobs
        if not job.is_known
    ]
    total = sum(stop - start for one in runners for start, stop in one.job.shards)
    done = 0
    for samples, task in pool.run(unit for one in runners for unit in one.units()):
        done += samples
        if progress is not None:
            progress(done, total, task)


class Runner:
    """Scores one evaluation shard by shard, on whichever slots are free."""

    def __init__(self, target: Target, request: str, job: Job, iters: int) -> None:
        """Prepare the shards of one job."""
        self.job = job
        self._target = target
        self._request = request
        self._iters = iters
        self._lock = threading.Lock()
        self._left = len(job.shards)
        self._trouble: TaskError | None = None

    def units(self) -> Iterable[Callable[[Slot], tuple[int, str]]]:
        """Yield the work; an evaluation whose shards are all done only has to be aggregated."""
        if not self.job.shards:
            return [self._finish_only]
        return [partial(self._score, start, stop) for start, stop in self.job.shards]

    def _finish_only(self, slot: Slot) -> tuple[int, str]:
        self._aggregate(slot)
        return 0, self.job.evaluation.task

    def _score(self, start: int, stop: int, slot: Slot) -> tuple[int, str]:
        try:
            if self._trouble is None:
                self._score_shard(slot, start, stop)
        except ChildDiedError as death:
            self._trouble = TaskError(death.of(self.job.evaluation.id))
        except TaskError as error:
            self._trouble = error
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._aggregate(slot)
        return stop - start, self.job.evaluation.task

    def _score_shard(self, slot: Slot, start: int, stop: int) -> None:
        """Score one shard; a child that something else killed gets a second try."""
        arguments: dict[str, Any] = {
            "url": self._target.url,
            "request": self._request,
            "scored_evaluation_id": self.job.standing.id,
            "start": start,
            "stop": stop,
            "strict": self._target.strict,
        }
        try:
            slot.call("score_shard", **arguments)
        except ChildDiedError as death:
            if not death.was_killed:
                raise
            if not self._is_done(start, stop):
                slot.call("score_shard", **arguments)

    def _is_done(self, start: int, stop: int) -> bool:
        """Tell whether a killed child had committed before it died."""
        with reading(self._target.engine) as conn:
            return (start, stop) in scorings.find_standing(conn, self.job.standing.id).shards

    def _aggregate(self, slot: Slot) -> None:
        if self._trouble is None:
            try:
                slot.call(
                    "aggregate",
                    url=self._target.url,
                    request=self._request,
                    scored_evaluation_id=self.job.standing.id,
                    bootstrap_iters=self._iters,
                    strict=self._target.strict,
                )
            except TaskError as error:
                self._trouble = error
        if self._trouble is not None:
            keep = not isinstance(self._trouble, DriftError)
            with atomic(self._target.engine) as conn:
                scorings.fail(conn, self.job.standing.id, str(self._trouble), keep_scores=keep)


def _aggregate_groups(
    pool: Pool, target: Target, how: How, jobs: Sequence[Job], facts: dict[int, RunFacts]
) -> list[ScoreRow]:
    """Aggregate groups whose tasks are in; return a row for each run where that failed."""
    rows = []
    for first in {job.scoring_id: job for job in reversed(jobs)}.values():
        reason = groups.aggregate_missing(
            pool,
            target.engine,
            first.scoring_id,
            facts[first.evaluation.run_id].members,
            how.include_paths,
        )
        if reason is not None:
            row = _failed(first.evaluation, reason)
            rows.append(replace(row, task="(groups)", n=0, is_group=True))
    return rows


def _rows(engine: Engine, jobs: Sequence[Job]) -> list[ScoreRow]:
    """Return what stands under the jobs' scorings now, tasks first, then groups."""
    rows: list[ScoreRow] = []
    with reading(engine) as conn:
        for scoring_id in dict.fromkeys(job.scoring_id for job in jobs):
            mine = {job.evaluation.task: job for job in jobs if job.scoring_id == scoring_id}
            keys = [job.evaluation.id for job in mine.values()]
            for row in results.scoring_results(conn, scoring_id, keys):
                job = mine[row.task]
                told = (row.reason or job.note, job.evaluation.note)
                reason = "; ".join(filter(None, told)) or None
                rows.append(replace(row, known=job.is_known, reason=reason))
            all_known = all(job.is_known for job in mine.values())
            rows += [
                replace(row, known=all_known) for row in results.group_results(conn, scoring_id)
            ]
    return rows


def without_drifted(rows: Sequence[ScoreRow], facts: Mapping[int, RunFacts]) -> list[ScoreRow]:
    """Return rows without what a request that was not strict scored under drifted definitions.

    One row of status "failed" stands for such an evaluation; the groups above it have none.
    """
    drifted = {(row.run, row.task): row for row in rows if refusal(row.warnings)}
    failed = [
        replace(row, filter="", metric="", value=None, stderr=None, status="failed", reason=reason)
        for row in drifted.values()
        if (reason := refusal(row.warnings))
    ]
    kept = [
        row
        for row in rows
        if not any(
            run == row.run and task in groups.leaves(row.task, facts[run].members)
            for run, task in drifted
        )
    ]
    return [*kept, *failed]
