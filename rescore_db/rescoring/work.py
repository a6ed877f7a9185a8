"""What a scoring child does: resolve, score, aggregate, verify.

Every operation takes and returns what JSON can carry.  `request` is a `harness.TaskRequest` as a
dictionary.  The task is built with the doc at position 0 of the evaluation, also for a shard or a
subset: that doc decides how lm-eval reads the task's targets.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rescore_db.harness.interface import Sample, TaskRequest
from rescore_db.harness.overrides import refuse_unused
from rescore_db.harness.whereabouts import here
from rescore_db.rescoring import drift
from rescore_db.rescoring.shard import ScoredShard, as_harness_samples
from rescore_db.rescoring.verdict import cannot_score
from rescore_db.store import selection
from rescore_db.typed_values import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from rescore_db.harness.interface import SampleScores
    from rescore_db.harness.offline import OfflineTask
    from rescore_db.store.samples import StoredSample
    from rescore_db.store.scorings import Standing


@lru_cache(maxsize=4)
def _task(request_json: str, first_doc_json: str) -> OfflineTask:
    """Build a task, or take it from the last few."""
    from rescore_db.harness.offline import load_task

    return load_task(TaskRequest.from_json(request_json), json.loads(first_doc_json))


@lru_cache(maxsize=2)
def _engine(url: str, write: bool) -> Engine:  # noqa: FBT001 - part of the cache's key
    from rescore_db.store.engine import open_engine

    return open_engine(url, write=write)


def _stored_task(conn: Connection, request: str, evaluation_id: int) -> OfflineTask:
    """Build the task of an evaluation, from the config that was logged if that is asked for."""
    from rescore_db.store.evaluations import stored_config
    from rescore_db.store.samples import first_doc

    asked = TaskRequest.from_json(request)
    if asked.as_logged:
        logged = stored_config(conn, evaluation_id) or "null"
        request = replace(asked, config_json=logged).to_json()
    return _task(request, first_doc(conn, evaluation_id))


def _read_samples(
    conn: Connection, evaluation_id: int, chosen: str, start: int, stop: int
) -> list[StoredSample]:
    """Read the samples of one range of a selection."""
    from rescore_db.store.samples import count_samples, iter_samples

    total = count_samples(conn, evaluation_id)
    positions = list(selection.to_positions(chosen, total)[start:stop])
    return list(iter_samples(conn, evaluation_id, positions=positions))


# ------------------------------------------------------------------------------------ operations


def resolve(url: str, request: str, evaluation_id: int) -> dict[str, Any]:
    """Say what a task's definition is for one evaluation, and in which environment."""
    from rescore_db.harness.environment import environment
    from rescore_db.store.engine import reading
    from rescore_db.store.evaluations import stored_config

    with reading(_engine(url, write=False)) as conn:
        task = _stored_task(conn, request, evaluation_id)
        logged = stored_config(conn, evaluation_id)
    return {
        "definition": asdict(task.definition),
        "environment": environment(),
        "differences": _config_differences(logged, task),
    }


def score_shard(
    url: str, request: str, scored_evaluation_id: int, start: int, stop: int, *, strict: bool
) -> dict[str, Any]:
    """Score one range of a selection and store what came out, in one transaction.

    Repeating it changes nothing: what someone else has written meanwhile is left as it is.
    """
    from rescore_db.store import scorings
    from rescore_db.store.engine import atomic, reading

    engine = _engine(url, write=True)
    with reading(engine) as conn:
        standing = scorings.find_standing(conn, scored_evaluation_id)
        task = _stored_task(conn, request, standing.evaluation_id)
        stored = _read_samples(conn, standing.evaluation_id, standing.selection, start, stop)
        logged = _comparable(conn, request, task, standing, stored)
    here.count_by("position", [one.position for one in stored])
    results = task.score(as_harness_samples(stored))
    refuse_unused(TaskRequest.from_json(request), task.definition, results)
    shard = ScoredShard.of(stored, results, task.definition)
    chances = () if task.nondeterministic is None else (task.nondeterministic,)
    signs = drift.target_signs(task, stored)
    if not chances:
        signs += drift.filter_signs(logged, stored, results)
    drift.refuse_drift(drift.drift_warnings(signs), strict=strict)
    report = scorings.ShardReport(tuple(signs), shard.errors, chances)
    with atomic(engine) as conn:
        if scorings.may_add_shard(conn, standing, (start, stop)):
            shard.write(conn, scored_evaluation_id)
            scorings.add_shard(conn, scored_evaluation_id, (start, stop), report)
    return {"samples": stop - start}


def _comparable(
    conn: Connection,
    request: str,
    task: OfflineTask,
    standing: Standing,
    stored: list[StoredSample],
) -> dict[str, drift.LoggedResponses]:
    """Return the logged responses that filters of now can be held against.

    A filter that sees all documents at once gives something else for some of them.
    """
    if standing.selection and not task.definition.per_doc_filters:
        return {}
    asked = TaskRequest.from_json(request)
    defined = task.definition.filters
    return drift.read_unchanged(conn, standing.evaluation_id, asked, defined, stored)


def aggregate(
    url: str, request: str, scored_evaluation_id: int, bootstrap_iters: int, *, strict: bool
) -> dict[str, Any]:
    """Aggregate the stored scores of an evaluation whose shards are all done.

    An evaluation with samples that can't be scored has no aggregates: a mean over the others
    would look like the task's.
    """
    from rescore_db.harness.aggregation import aggregate as aggregate_task
    from rescore_db.rescoring.shard import read_values, set_results
    from rescore_db.store import scorings
    from rescore_db.store.engine import atomic, reading

    engine = _engine(url, write=True)
    with reading(engine) as conn:
        standing = scorings.find_standing(conn, scored_evaluation_id)
        report = scorings.shard_reports(conn, scored_evaluation_id)
        task = _stored_task(conn, request, standing.evaluation_id)
        values = {} if report.errors else read_values(conn, scored_evaluation_id)
    warnings = drift.drift_warnings(report.signs)
    drift.refuse_drift(warnings, strict=strict)
    results = aggregate_task(task, values, bootstrap_iters)
    chance = "; ".join(report.chances) or task.nondeterministic
    status = "nondeterministic" if chance else "complete"
    status = "unsupported" if report.errors else status
    reason = cannot_score(report.errors) or chance
    counted = {key: (*found, len(values[key])) for key, found in results.items()}
    with atomic(engine) as conn:
        if scorings.may_finish(conn, standing):
            set_results(conn, scored_evaluation_id, counted, task.higher_is_better)
            told = (*warnings, *standing.warnings)
            scorings.set_status(conn, scored_evaluation_id, status, reason, told)
    return {"status": status}


def verify(
    url: str, request: str, evaluation_id: int, bootstrap_iters: int, keep: int
) -> dict[str, Any]:
    """Recompute one evaluation and compare it with what lm-eval logged; write nothing."""
    from rescore_db.rescoring.recomputed import compare_with_log, read_logged, recompute
    from rescore_db.store.engine import reading
    from rescore_db.store.evaluations import announced_samples, stored_config

    with reading(_engine(url, write=False)) as conn:
        task = _stored_task(conn, request, evaluation_id)
        config = stored_config(conn, evaluation_id)
        announced = announced_samples(conn, evaluation_id)
        logged = read_logged(conn, evaluation_id)
        stored = _read_samples(conn, evaluation_id, "", 0, 2**62)
    here.count_by("position", [one.position for one in stored])
    found = recompute(task, stored, bootstrap_iters)
    is_cut = announced is not None and announced != len(stored)
    found = replace(found, is_cut=is_cut)
    return {
        "filters": compare_with_log(logged, stored, found, keep),
        "metrics": [
            [filter_, metric, plain(value), plain(stderr)]
            for (filter_, metric), (value, stderr) in found.aggregates.items()
        ],
        "n": len(stored),
        "announced": announced if is_cut else None,
        "errors": found.errors,
        "nondeterministic": task.nondeterministic,
        "targets": list(map(drift.drift_text, drift.target_signs(task, stored))),
        "differences": _config_differences(config, task),
    }


def _config_differences(logged: str | None, task: OfflineTask) -> list[str]:
    """Name the fields in which a definition is not the logged one; none where it is from there."""
    from rescore_db.harness.drift import config_differences

    if logged is None or task.definition.source == "as-logged":
        return []
    return config_differences(logged, task.definition)


def score_lines(
    request: str,
    first_doc: str,
    samples: list[dict[str, Any]],
    lines: list[int],
    filters: list[str] | None,
) -> list[Any]:
    """Score samples that came down the pipe, of these lines.

    Args:
        request: the task.
        first_doc: the first document of the evaluation, as JSON.
        samples: fields of `Sample`.
        lines: their numbers in the file.
        filters: the filter of each, which alone is applied to it; None for all filters.

    Returns:
        One answer a filter and sample, in no order.
    """
    task = _task(request, first_doc)
    given = [Sample(**one) for one in samples]
    results: list[SampleScores] = []
    names: list[str | None] = [None] if filters is None else list(dict.fromkeys(filters))
    for name in names:
        at = [index for index in range(len(given)) if filters is None or filters[index] == name]
        here.count_by("line", [lines[index] for index in at])
        found = task.score([given[index] for index in at], name)
        results += [replace(one, index=at[one.index]) for one in found]
    refuse_unused(TaskRequest.from_json(request), task.definition, results)
    return [
        {
            "index": one.index,
            "filter": one.filter,
            "filtered": one.filtered,
            "metrics": {name: plain(value) for name, value in one.metrics.items()},
            "error": one.error,
        }
        for one in results
    ]


def check_overrides(request: str) -> None:
    """Look whether lm-eval has a request's filters and metrics.

    Raises:
        TaskError: it has not, or a function of the user's cannot be loaded.
    """
    from rescore_db.harness.overrides import check_overrides as check

    check(TaskRequest.from_json(request))


def define(request: str, first_doc: str) -> dict[str, Any]:
    """Say what a task's definition is, for a doc that came down the pipe."""
    return asdict(_task(request, first_doc).definition)


def groups(
    include_paths: list[str],
    members: dict[str, list[str]],
    metrics: dict[str, dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Aggregate groups from their tasks' metrics, with lm-eval's own code."""
    from rescore_db.harness.aggregation import aggregate_groups

    return aggregate_groups(members, tuple(include_paths), metrics)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "resolve": resolve,
    "score_shard": score_shard,
    "aggregate": aggregate,
    "verify": verify,
    "score_lines": score_lines,
    "define": define,
    "check_overrides": check_overrides,
    "groups": groups,
}
