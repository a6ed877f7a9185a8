"""`verify`: recompute what lm-eval logged, and say where and why it differs.  Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import TaskError
from rescore_db.records import Difference, Rows, VerifyRow
from rescore_db.rescoring import groups
from rescore_db.rescoring.how import RunFacts, task_request
from rescore_db.rescoring.pool import Pool, workers_for
from rescore_db.rescoring.slot import ChildDiedError
from rescore_db.rescoring.verdict import Verdict, judge, judge_group
from rescore_db.settings import Settings
from rescore_db.store.engine import reading
from rescore_db.store.evaluations import stored_evaluations
from rescore_db.store.results import logged_groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine

    from rescore_db.records import Progress
    from rescore_db.rescoring.request import VerifyRequest
    from rescore_db.rescoring.slot import Slot
    from rescore_db.store.evaluations import StoredEvaluation

UNSUPPORTED: Final = "unsupported"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a child said of one evaluation: its reply, or why it could not reply."""

    evaluation: StoredEvaluation
    reply: dict[str, Any] | None
    trouble: str | None


def verify_runs(
    engine: Engine,
    runs: Sequence[str],
    request: VerifyRequest,
    *,
    progress: Progress | None = None,
) -> Rows[VerifyRow]:
    """Recompute the evaluations of some runs and compare them with what lm-eval logged.

    Args:
        engine: the store; it may be read-only.
        runs: references of runs; none means the newest version of each.
        request: which tasks, and where their definitions are.
        progress: called with samples done and to do.

    Raises:
        RescoreError: the request makes no sense.  A task that can't be resolved or scored gives
            rows of status "unsupported" with the reason.
    """
    from rescore_db.store.references import find_runs

    with reading(engine) as conn:
        evaluations = stored_evaluations(conn, find_runs(conn, runs), request.tasks)
        facts = {run: RunFacts.read(conn, run) for run in {one.run_id for one in evaluations}}
    verifier = Verifier(engine, request, facts)
    total = sum(one.n_samples for one in evaluations)
    workers = workers_for(total, request.workers)
    with Pool(verifier.settings, workers) as pool:
        checked = verifier.check(pool, evaluations, progress)
        rows = verifier.judge(checked)
        for run_id in dict.fromkeys(one.run_id for one in evaluations):
            mine = [one for one in checked if one.evaluation.run_id == run_id]
            rows += verifier.groups(pool, run_id, mine, rows)
    return Rows(rows)


class Verifier:
    """Runs verifications in scoring children and turns their replies into verdicts."""

    def __init__(
        self, engine: Engine, request: VerifyRequest, facts: Mapping[int, RunFacts]
    ) -> None:
        """Prepare to verify; `facts` are what each run's results file says."""
        self._engine = engine
        self._url = engine.url.render_as_string(hide_password=False)
        self._request = request
        self._facts = facts
        self._template = task_request(request)
        self.settings = Settings.from_environment(
            child_seconds=request.timeout, child_mb=request.memory
        )

    def check(
        self,
        pool: Pool,
        evaluations: Sequence[StoredEvaluation],
        progress: Progress | None = None,
    ) -> list[Checked]:
        """Recompute evaluations; those off by no more than last digits, on the other CPU setting.

        The second answer counts where it is the logged one: then the CPU is the cause.
        """
        first = self._run(pool, evaluations, progress)
        off = [one.evaluation for one in first if one.reply and _only_rounding(one.reply)]
        if not off:
            return first
        with Pool(self.settings, 1, wide=True) as wide:
            second = {one.evaluation.id: one for one in self._run(wide, off, None)}
        for one in first:
            other = second.get(one.evaluation.id)
            if one.reply is not None and other is not None and other.reply is not None:
                agrees = {f["filter"] for f in other.reply["filters"] if not f["total"]}
                one.reply["agrees_wide"] = sorted(agrees)
        return first

    def judge(self, checked: Sequence[Checked]) -> list[VerifyRow]:
        """Turn replies into rows, one an evaluation and filter."""
        rows = []
        for one in checked:
            if one.reply is None:
                rows += self._unsupported(one)
                continue
            rows += [
                _row(one.evaluation, found, judge(found, one.reply))
                for found in one.reply["filters"]
            ]
        return rows

    def groups(
        self,
        pool: Pool,
        run_id: int,
        checked: Sequence[Checked],
        rows: Sequence[VerifyRow],
    ) -> list[VerifyRow]:
        """Recompute a run's groups whose tasks were all verified, and compare them."""
        members = self._facts[run_id].members
        tasks = [
            groups.TaskAggregates(
                one.evaluation.task, one.reply["n"], tuple(map(tuple, one.reply["metrics"]))
            )
            for one in checked
            if one.reply is not None and not one.reply["errors"]
        ]
        whole = groups.whole_groups(members, {one.evaluation.task for one in checked})
        with reading(self._engine) as conn:
            logged = logged_groups(conn, run_id)
        logged = [row for row in logged if row.task in whole]
        if not logged:
            return []
        usable = groups.whole_groups(whole, [one.task for one in tasks])
        found: dict[str, dict[str, Any]] | str = {}
        if usable:
            paths = self._template.include_paths
            (found,) = pool.run([partial(groups.aggregate_groups, usable, paths, tasks)])
        cut = {one.evaluation.task for one in checked if one.reply and one.reply["announced"]}
        statuses = {}
        for group in whole:
            below = groups.leaves(group, members)
            mine = {row.status for row in rows if row.run == run_id and row.task in below}
            statuses[group] = mine | {"unlogged"} if below & cut else mine
        return judge_group(logged, found, statuses)

    def _run(
        self, pool: Pool, evaluations: Sequence[StoredEvaluation], progress: Progress | None
    ) -> list[Checked]:
        total = sum(one.n_samples for one in evaluations)
        done, checked = 0, []
        for one in pool.run(partial(self._check, evaluation) for evaluation in evaluations):
            checked.append(one)
            done += one.evaluation.n_samples
            if progress is not None:
                progress(done, total, one.evaluation.task)
        checked.sort(key=lambda one: (one.evaluation.run_id, one.evaluation.id))
        return checked

    def _check(self, evaluation: StoredEvaluation, slot: Slot) -> Checked:
        facts = self._facts[evaluation.run_id]
        request = replace(
            self._template, name=evaluation.task, groups=facts.groups_of(evaluation.task)
        )
        try:
            reply = slot.call(
                "verify",
                url=self._url,
                request=request.to_json(),
                evaluation_id=evaluation.id,
                bootstrap_iters=facts.bootstrap_iters,
                keep=self._request.max_differences,
            )
        except ChildDiedError as death:
            return Checked(evaluation, None, death.of(evaluation.id))
        except TaskError as error:
            return Checked(evaluation, None, str(error))
        return Checked(evaluation, reply, None)

    def _unsupported(self, one: Checked) -> list[VerifyRow]:
        """Return a row for every logged filter of an evaluation that can't be recomputed."""
        from rescore_db.store import scored

        with reading(self._engine) as conn:
            key = scored.logged_evaluation(conn, one.evaluation.id)
            filters = [] if key is None else scored.read_filters(conn, key)
        verdict = Verdict(UNSUPPORTED, one.trouble)
        blank = {"total": 0, "shown": []}
        named = [(found.name, found.n) for found in filters] or [("", 0)]  # made elsewhere: no log
        return [
            _row(one.evaluation, blank | {"filter": name, "n": n}, verdict) for name, n in named
        ]


def _only_rounding(reply: Mapping[str, Any]) -> bool:
    """Tell whether an evaluation differs, and nowhere by more than last digits."""
    filters = [one for one in reply["filters"] if one["is_logged"] and one["is_defined"]]
    return any(one["total"] for one in filters) and not any(
        one["beyond_rounding"] for one in filters
    )


def _row(evaluation: StoredEvaluation, found: Mapping[str, Any], verdict: Verdict) -> VerifyRow:
    return VerifyRow(
        run=evaluation.run_id,
        model=evaluation.model,
        task=evaluation.task,
        filter=found["filter"],
        status=verdict.status,
        reason="; ".join(filter(None, (verdict.reason, evaluation.note))) or None,
        n=found["n"],
        differences=tuple(Difference(**one) for one in found["shown"]),
        n_differences=found["total"],
    )
