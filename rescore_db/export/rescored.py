"""lm-eval's files for a scoring: what it would have written, had it scored in that way.

They carry the date of the scoring, not of the run: a run is known by its model and date, and what
was scored otherwise is no other version of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from rescore_db import json_exact
from rescore_db.export.files import NewFile
from rescore_db.harness.drift import NOT_COMPARED
from rescore_db.harness_log import written
from rescore_db.harness_log.definition import without_addresses
from rescore_db.harness_log.rescored import (
    RescoredGroup,
    RescoredRun,
    RescoredTask,
    rescored_results,
)
from rescore_db.typed_values import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from rescore_db.export.places import Places
    from rescore_db.store.logged_files import LoggedRun
    from rescore_db.store.scored_runs import ScoredGroups, ScoredTask, ScoringFacts

PROMPTING: Final = ("num_fewshot", "fewshot_config", "generation_kwargs")
"""Fields of a config that say how the responses came about, whoever scores them."""


def files_of(
    conn: Connection, scoring: ScoringFacts, run: LoggedRun, places: Places
) -> list[NewFile]:
    """Return the files of one run under a scoring; what is missing in them is noted.

    Args:
        conn: a connection.
        scoring: which one, of this run, not what lm-eval logged.
        run: the run with the evaluations whose samples are wanted.
        places: gives each file its place.
    """
    from rescore_db.store.scored_runs import scored_tasks

    dated = replace(run, date=scoring.date, origin="")
    tasks = []
    for one in scored_tasks(conn, scoring.id):
        if one.is_whole:
            tasks.append(one)
        else:
            why = f": {one.reason}" if one.reason else ""
            told = f"{one.task} is {one.standing.status} under {scoring.name}{why}; it is left out"
            places.note(run, told)
    if not tasks:
        places.note(run, f"nothing of it is scored under {scoring.name}")
        return []
    for one in tasks:
        if one.config_json is None:
            places.note(run, _no_config(scoring, one))
    named = {one.evaluation_id for one in run.evaluations}
    wanted = [one for one in tasks if one.standing.evaluation_id in named]
    ending = f"_{written.file_date(dated.date)}"
    stems = [(f"results{ending}", ".json")]
    stems += [(f"samples_{one.task}", f"{ending}.jsonl") for one in wanted]
    names = places.names(dated, stems)
    folder = places.claim(dated, names, has_samples=bool(wanted))
    content = partial(_results, scoring, run, tasks)
    files = [NewFile(folder / names[0], "results", run.id, None, 1, content)]
    for name, one in zip(names[1:], wanted, strict=True):
        lines = partial(_lines, one)
        files.append(NewFile(folder / name, "samples", run.id, one.task, one.n_lines, lines))
    return files


def _no_config(scoring: ScoringFacts, one: ScoredTask) -> str:
    return (
        f"{scoring.name} was made by an older version of this program, which did not keep the "
        f"definition that scored {one.task}: `configs` is without it; scoring in the same way "
        "again adds it, and computes nothing"
    )


def _lines(one: ScoredTask, conn: Connection) -> Iterator[bytes]:
    from rescore_db.store.scored_lines import iter_scored_lines

    for line in iter_scored_lines(conn, one.standing):
        yield written.line_bytes(line)


def _results(
    scoring: ScoringFacts, run: LoggedRun, tasks: Sequence[ScoredTask], conn: Connection
) -> Iterator[bytes]:
    from rescore_db.store.runs import get_results_json
    from rescore_db.store.scored_lines import lines_hash
    from rescore_db.store.scored_runs import scored_groups

    own = json_exact.loads(get_results_json(conn, run.id) or "{}")
    environment = _environment(tasks[0])
    content = rescored_results(
        RescoredRun(
            model=run.model,
            lm_eval_version=environment.get("lm_eval"),
            tasks=[_task(one, lines_hash(conn, one.standing)) for one in tasks],
            groups=_groups(scored_groups(conn, scoring.id)),
            origin=_origin(scoring, run, own, tasks),
        ),
        own,
    )
    yield written.encoded(json.dumps(content, indent=2, ensure_ascii=False))


def _environment(one: ScoredTask) -> dict[str, Any]:
    found: dict[str, Any] = json_exact.loads(one.standing.environment_json or "{}")
    return found


def _task(one: ScoredTask, task_hash: str | None) -> RescoredTask:
    config = scored_config(one)
    return RescoredTask(
        name=one.task,
        metrics=tuple(
            (filter_.name, metric.metric, plain(metric.value), plain(metric.stderr))
            for filter_, metrics in one.filters
            for metric in metrics
        ),
        sample_len=max((m.n for _, metrics in one.filters for m in metrics), default=0),
        n_original=one.n_original,
        num_fewshot=one.num_fewshot,
        version=one.recipe["version"],
        config=config,
        higher_is_better=_directions(one, config or {}),
        task_hash=task_hash,
    )


def scored_config(one: ScoredTask) -> dict[str, Any] | None:
    """Return the definition that scored as lm-eval would have logged it in this run.

    What scoring does not depend on is the run's: where documents came from, how they were asked.
    """
    if one.config_json is None:
        return None
    config: dict[str, Any] = json_exact.loads(one.config_json)
    logged = json_exact.loads(one.logged_config_json or "null")
    if not isinstance(logged, dict) or not logged:
        return {key: value for key, value in config.items() if key not in PROMPTING}
    order = list(config)
    for before, key in pairwise(["", *logged]):
        if key in NOT_COMPARED and key not in config:
            order.insert(order.index(before) + 1 if before in order else 0, key)
    return {key: _field(key, logged, config) for key in order}


def _field(key: str, logged: dict[str, Any], scored: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return one field: as logged where it is the run's, or says the same."""
    if key == "metadata":
        return _metadata(logged.get(key), scored.get(key))
    if key not in logged:
        return scored[key]
    is_same = key in NOT_COMPARED or (
        without_addresses(logged[key]) == without_addresses(scored[key])
    )
    return logged[key] if is_same else scored[key]


def _metadata(logged: Any, scored: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a config's metadata: the run's arguments, the version of what scored."""
    if not isinstance(logged, dict) or not isinstance(scored, dict):
        return scored
    version = {"version": scored["version"]} if "version" in scored else {}
    return {key: value for key, value in (logged | version).items() if key != "version" or version}


def _directions(one: ScoredTask, config: dict[str, Any]) -> dict[str, bool | None]:
    """Return of which metrics higher is better, those in the order of the definition first."""
    listed = [each.get("metric") for each in config.get("metric_list") or ()]
    known = {m.metric: m.higher_is_better for _, metrics in one.filters for m in metrics}
    order = [*(name for name in listed if name in known), *known]
    return {
        name: known[name]
        for name in dict.fromkeys(order)
        if known[name] is not None or name in listed
    }


def _groups(found: ScoredGroups) -> list[RescoredGroup]:
    return [
        RescoredGroup(
            name,
            tuple(
                (row.filter, row.metric, row.n, plain(row.value), plain(row.stderr))
                for row in found.metrics
                if row.task == name
            ),
        )
        for name in sorted(found.names)
    ]


def _origin(
    scoring: ScoringFacts, run: LoggedRun, own: dict[str, Any], tasks: Sequence[ScoredTask]
) -> dict[str, Any]:
    """Say where the values come from: which scoring of which run, and what was applied."""
    return {
        "scoring": scoring.name,
        "made": scoring.created_at,
        "of": {
            "model": run.model,
            "date": run.date or None,
            "lm_eval_version": own.get("lm_eval_version"),
        },
        "tasks": {
            one.task: {
                "recipe": one.recipe_hash,
                "source": one.recipe["source"],
                "status": one.standing.status,
                "n": one.standing.n,
                "subset": one.subset,
                "environment": _environment(one),
            }
            for one in tasks
        },
    }
