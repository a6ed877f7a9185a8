"""Our side of the comparison, in a process of its own: `python -m tests.conformance.checking`.

Takes {"folders": […], "store": file} on stdin: folders that `evaluating` wrote.  Ingests all of
their logs into a new store, rescores each evaluation from there alone (the first and the last run
also with the whole of `rescore score`), and compares with what lm-eval held in memory; prints
{name: [differences]} as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from rescore_db.errors import RescoreError
from rescore_db.harness.aggregation import aggregate_groups
from rescore_db.harness.drift import config_differences
from rescore_db.harness.interface import TaskRequest
from rescore_db.harness.offline import load_task
from rescore_db.ingest import ingest_paths
from rescore_db.rescoring.how import RunFacts
from rescore_db.rescoring.recomputed import Recomputed, recompute
from rescore_db.rescoring.shard import as_harness_samples
from rescore_db.store import lifecycle, schema
from rescore_db.store.engine import open_engine, reading
from rescore_db.store.evaluations import StoredEvaluation, stored_config, stored_evaluations
from rescore_db.store.samples import first_doc, iter_samples
from tests.conformance.exact import exact
from tests.conformance.network import REACHED, cut_network
from tests.conformance.whole import differences_of_score

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

SHOWN = 3  # differences of one name that are told

Truth = dict[str, Any]


def check(folders: Sequence[Path], store: Path) -> dict[str, list[str]]:
    """Ingest, rescore and compare; name → what differs.

    Raises:
        RescoreError: the logs cannot be ingested.
    """
    truths = {
        folder.name: json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        for folder in folders
    }
    url = f"sqlite:///{store}"
    lifecycle.init(url)
    engine = open_engine(url)
    report = ingest_paths(engine, [str(folder) for folder in folders])
    differences: dict[str, list[str]] = {truth["name"]: [] for truth in truths.values()}
    by_model = {f"made-up/{folder}": truth for folder, truth in truths.items()}
    with reading(engine) as conn:
        runs = {one.run_id: one.model for one in _evaluations(conn)}
        for run_id, model in runs.items():
            truth = by_model[model]
            found = differences[truth["name"]]
            before = len(REACHED)
            found += list(_differences_of_run(conn, run_id, truth))[:SHOWN]
            found += [f"reached for the network: {one}" for one in REACHED[before:]]
    for run_id in {min(runs, default=0), max(runs, default=0)} & runs.keys():
        truth = by_model[runs[run_id]]
        differences[truth["name"]] += differences_of_score(engine, run_id, truth)
    for model in set(by_model) - set(runs.values()):
        differences[by_model[model]["name"]] += [f"not in the store: {report.errors[:1]}"]
    engine.dispose()
    return differences


def _evaluations(conn: Connection, *runs: int) -> list[StoredEvaluation]:
    ids = runs or tuple(conn.scalars(select(schema.run.c.id)))
    return stored_evaluations(conn, ids, ())


def _differences_of_run(conn: Connection, run_id: int, truth: Truth) -> Iterator[str]:
    """Compare one run's evaluations and groups."""
    facts = RunFacts.read(conn, run_id)
    tasks: dict[str, dict[str, Any]] = {}
    for evaluation in _evaluations(conn, run_id):
        try:
            for one in _differences(conn, evaluation, facts, truth, tasks):
                yield f"{evaluation.task}: {one}"
        except RescoreError as error:
            yield f"{evaluation.task}: {error}"
    missing = set(truth["samples"]) - set(tasks)
    if missing:
        yield f"not rescored: {', '.join(sorted(missing))}"
    elif facts.members:
        found = aggregate_groups(facts.members, (), tasks)
        ours = {group: _exact(found[group]) for group in truth["groups"]}
        yield from _unequal("group", truth["groups"], ours)


def _differences(
    conn: Connection,
    evaluation: StoredEvaluation,
    facts: RunFacts,
    truth: Truth,
    tasks: dict[str, dict[str, Any]],
) -> Iterator[str]:
    """Rescore one evaluation from what is stored of it, and compare it with the truth."""
    name = evaluation.task
    request = TaskRequest(name, allow_unsafe=True, groups=facts.groups_of(name))
    task = load_task(request, json.loads(first_doc(conn, evaluation.id)))
    stored = list(iter_samples(conn, evaluation.id))
    found = recompute(task, stored, facts.bootstrap_iters)
    tasks[name] = _as_results(name, len(stored), found)
    chance = f" ({task.nondeterministic})" if task.nondeterministic else ""
    yield from (f"{one}{chance}" for one in found.errors)
    lines = truth["samples"][name]
    ours = _lines(found, task.target_texts(as_harness_samples(stored)))
    for number, (was, now) in enumerate(zip(lines, ours, strict=True)):
        if was != now:
            yield f"line {number}: {was} became {now}{chance}"
    aggregates = {key: exact(value) for key, value in tasks[name].items() if "," in key}
    for one in _unequal("aggregate", truth["results"][name], aggregates):
        yield f"{one}{chance}"
    config = stored_config(conn, evaluation.id)
    yield from config_differences(config, task.definition) if config else ["no config is stored"]


def _as_results(name: str, count: int, found: Recomputed) -> dict[str, Any]:
    """Return aggregates in the shape of lm-eval's results, as groups are computed from."""
    results: dict[str, Any] = {"name": name, "alias": name, "sample_len": count}
    for (filter_, metric), (value, stderr) in found.aggregates.items():
        results[f"{metric},{filter_}"] = value
        results[f"{metric}_stderr,{filter_}"] = stderr
    return results


def _lines(found: Recomputed, targets: list[str]) -> list[dict[str, Any]]:
    """Return what was recomputed as lines, in lm-eval's order."""
    return [
        {
            "filter": name,
            "filtered": one.filtered,
            "metrics": _exact(one.metrics),
            "target": target,
        }
        for name, by_position in found.filters.items()
        for one, target in zip(by_position.values(), targets, strict=True)
    ]


def _exact(found: dict[str, Any]) -> dict[str, str]:
    return {key: exact(value) for key, value in found.items()}


def _unequal(what: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*was, *now)):
        if was.get(key) != now.get(key):
            yield f"{what} {key}: {was.get(key)} became {now.get(key)}"


def main() -> None:
    """Check the folders on stdin."""
    work = json.load(sys.stdin)
    cut_network()
    folders = [Path(folder) for folder in work["folders"]]
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        print(json.dumps(check(folders, Path(work["store"]))), file=answer)


if __name__ == "__main__":
    main()
