"""From a request to work: which evaluations, under which recipe, over which samples."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import AlreadyExistsError, NotFoundError, UsageError
from rescore_db.rescoring import groups, overrides, selection
from rescore_db.store import scorings
from rescore_db.store.engine import atomic, reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from rescore_db.harness.interface import TaskRequest
    from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
    from rescore_db.store.scorings import Standing, StoredEvaluation

DEFAULT_BOOTSTRAP_ITERS: Final = 100_000  # lm-eval's own
FINAL: Final = frozenset({"complete", "nondeterministic", "unsupported"})


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run's results file says beyond its tasks.

    Attributes:
        bootstrap_iters: how often lm-eval resampled for standard errors.
        members: group → direct members, plain tasks left out.
    """

    bootstrap_iters: int
    members: dict[str, list[str]]

    @classmethod
    def read(cls, conn: Connection, run_id: int) -> RunFacts:
        """Read a run's results file, if there was one."""
        text = scorings.results_json(conn, run_id)
        results = json.loads(text) if text else {}
        config = results.get("config")
        iters = config.get("bootstrap_iters") if isinstance(config, dict) else None
        return cls(
            iters if isinstance(iters, int) else DEFAULT_BOOTSTRAP_ITERS,
            groups.group_members(results),
        )

    def groups_of(self, task: str) -> tuple[str, ...]:
        """Return the groups above a task: what they override applies to it."""
        return tuple(g for g in self.members if task in groups.leaves(g, self.members))


@dataclass(frozen=True, slots=True)
class How:
    """One way of scoring, the same for every run: what the request says, files read.

    Attributes:
        template: the task request, but for the task's name.
        how_json: what identifies a scoring of this kind.
        name: what to call it when the user does not say.
        subset: `NAME@VERSION` of the subset, or None.
    """

    template: TaskRequest
    how_json: str
    name: str
    subset: str | None

    def request_for(self, task: str, facts: RunFacts) -> str:
        """Return the task request for one task of a run, as JSON."""
        return replace(self.template, name=task, groups=facts.groups_of(task)).to_json()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a child said of one evaluation's task."""

    evaluation: StoredEvaluation
    recipe_json: str
    environment_json: str
    per_doc_filters: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation under one scoring, and the ranges of it that are still to be scored."""

    evaluation: StoredEvaluation
    scoring_id: int
    standing: Standing
    shards: tuple[tuple[int, int], ...]
    is_known: bool


def read_how(request: ScoreRequest, subset: str | None) -> How:
    """Read a request's files and give it its identity.

    Raises:
        NotFoundError: a file does not exist.
        UsageError: a file is malformed, or a limit is not positive.
    """
    if request.limit is not None and request.limit < 1:
        msg = f"--limit {request.limit}: at least 1 sample is needed"
        raise UsageError(msg)
    filters = overrides.read_filters(request.filters) if request.filters else None
    metrics = overrides.read_metrics(request.metrics) if request.metrics else None
    chosen = {"where": request.where, "subset": subset, "limit": request.limit}
    how = {
        "source": _source(request),
        "filters": filters,
        "metrics": metrics,
        "selection": {key: value for key, value in chosen.items() if value is not None},
    }
    template = replace(
        task_request(request),
        filters_json=None if filters is None else json.dumps(filters),
        metrics_json=None if metrics is None else json.dumps(metrics),
    )
    return How(template, json.dumps(how, sort_keys=True), _default_name(request), subset)


def task_request(request: ScoreRequest | VerifyRequest) -> TaskRequest:
    """Return where definitions are looked for, with absolute paths, for any task.

    Raises:
        NotFoundError: an include path or YAML file does not exist.
    """
    from rescore_db.harness.interface import TaskRequest

    named = [("--include-path", path) for path in request.include_paths]
    if request.task_yaml:
        named.append(("--task-yaml", request.task_yaml))
    for option, path in named:
        if not Path(path).exists():
            msg = f"{option} {path}: there is no such {'file' if 'yaml' in option else 'folder'}"
            raise NotFoundError(msg)
    return TaskRequest(
        name="",
        include_paths=tuple(str(Path(path).resolve()) for path in request.include_paths),
        task_yaml=str(Path(request.task_yaml).resolve()) if request.task_yaml else None,
        allow_unsafe=request.allow_unsafe,
    )


def _source(request: ScoreRequest) -> str:
    """Name where definitions come from; what they say is part of each recipe."""
    if request.task_yaml is None:
        return "include-path" if request.include_paths else "registry"
    try:
        digest = hashlib.sha256(Path(request.task_yaml).read_bytes()).hexdigest()
    except OSError as error:
        msg = f"--task-yaml {request.task_yaml}: {error.strerror or error}"
        raise NotFoundError(msg) from None
    return f"task-yaml {digest}"


def _default_name(request: ScoreRequest) -> str:
    """Make a name of what is special about a request."""
    named = [Path(path).stem for path in (request.filters, request.metrics) if path]
    if request.subset:
        named.append(request.subset)
    elif request.where:
        named.append("where")
    if request.limit:
        named.append(f"first-{request.limit}")
    return "-".join(named) or "rescored"


def recipe_json(evaluation: StoredEvaluation, resolved: dict[str, Any], how: How) -> str:
    """Return what is applied to one task, as the text whose hash identifies it.

    No path, address or environment is in it: two machines that apply the same thing agree.
    """
    from rescore_db.harness_log.definition import definition_hash

    definition = resolved["definition"]
    content = {
        "task": evaluation.task,
        "version": definition["version"],
        "definition": definition_hash(definition["config_json"]).hex(),
        "code": definition["code"],
        "source": json.loads(how.how_json)["source"],
        "filters": json.loads(how.template.filters_json or "null"),
        "metrics": json.loads(how.template.metrics_json or "null"),
        "bootstrap_iters": resolved["bootstrap_iters"],
    }
    return json.dumps(content, sort_keys=True)


def choose(
    conn: Connection, evaluation: StoredEvaluation, request: ScoreRequest, subset: str | None
) -> str | None:
    """Return the selection of one evaluation as text, None when no sample is chosen."""
    from rescore_db.store.predicates import matching_positions
    from rescore_db.subsets import subset_positions

    positions: Sequence[int] = range(evaluation.n_samples)
    if subset is not None:
        members = set(subset_positions(conn, subset, evaluation.id))
        positions = [position for position in positions if position in members]
    if request.where is not None:
        matching = set(matching_positions(conn, evaluation.id, request.where))
        positions = [position for position in positions if position in matching]
    positions = positions[: request.limit]
    return selection.to_text(positions, evaluation.n_samples) if positions else None


def make_jobs(
    engine: Engine, how: How, request: ScoreRequest, resolved: Sequence[Resolved], size: int
) -> list[Job]:
    """Store what is to be done and return it, what is already done included.

    Args:
        engine: the store.
        how: the way of scoring.
        request: for the selection, the name and `force`.
        resolved: the evaluations whose tasks could be built.
        size: samples a shard.

    Raises:
        AlreadyExistsError: the wanted name belongs to another way of scoring of the run.
        NotFoundError: no sample is chosen at all.
    """
    with reading(engine) as conn:
        chosen = {
            one.evaluation.id: choose(conn, one.evaluation, request, how.subset) for one in resolved
        }
    wanted = [one for one in resolved if chosen[one.evaluation.id] is not None]
    if resolved and not wanted:
        msg = "no sample is chosen: the condition or subset matches none of these runs' samples"
        raise NotFoundError(msg)
    jobs = []
    for run_id in dict.fromkeys(one.evaluation.run_id for one in wanted):
        mine = [one for one in wanted if one.evaluation.run_id == run_id]
        with atomic(engine) as conn:
            jobs += _jobs_of_run(
                conn, how, request, [(one, chosen[one.evaluation.id] or "") for one in mine], size
            )
    return jobs


def _jobs_of_run(
    conn: Connection,
    how: How,
    request: ScoreRequest,
    wanted: Sequence[tuple[Resolved, str]],
    size: int,
) -> list[Job]:
    scoring_id = _scoring(conn, how, request, [one for one, _ in wanted])
    known = scorings.standings(conn, scoring_id)
    jobs = []
    for one, chosen in wanted:
        standing = known.get(one.evaluation.id)
        was_final = standing is not None and standing.status in FINAL
        if standing is not None and standing.status == "failed":
            scorings.reset(conn, standing.id)
            standing = replace(standing, status="pending", shards=frozenset())
        if standing is None:
            standing = _begin(conn, how, scoring_id, one, chosen)
        step = size if one.per_doc_filters else one.evaluation.n_samples
        count = len(selection.to_positions(standing.selection, one.evaluation.n_samples))
        left = [shard for shard in selection.shards(count, step) if shard not in standing.shards]
        jobs.append(
            Job(one.evaluation, scoring_id, standing, () if was_final else tuple(left), was_final)
        )
    return jobs


def _begin(conn: Connection, how: How, scoring_id: int, one: Resolved, chosen: str) -> Standing:
    from rescore_db.store.scores import NewScoredEvaluation, add_scored_evaluation
    from rescore_db.store.scorings import Standing

    new = NewScoredEvaluation(
        scoring_id=scoring_id,
        evaluation_id=one.evaluation.id,
        n=len(selection.to_positions(chosen, one.evaluation.n_samples)),
        status="pending",
        recipe_id=scorings.add_recipe(conn, one.recipe_json),
        environment_id=scorings.add_environment(conn, one.environment_json),
        selection=chosen,
        subset=how.subset,
        warnings=one.warnings,
    )
    key = add_scored_evaluation(conn, new)
    return Standing(key, one.evaluation.id, "pending", chosen, frozenset())


def _scoring(conn: Connection, how: How, request: ScoreRequest, wanted: Sequence[Resolved]) -> int:
    """Return the scoring of a run that this request fills, made if there is none.

    A new attempt is made when the user forces it, or when a definition changed since: then the
    scoring of the same *how* holds scores under another recipe, which stay what they are.
    """
    run_id = wanted[0].evaluation.run_id
    found = None if request.force else scorings.find_scoring_of(conn, run_id, how.how_json)
    if found is not None:
        held = scorings.recipes_of(conn, found[0])
        if all(held.get(one.evaluation.id, one.recipe_json) == one.recipe_json for one in wanted):
            return found[0]
    from rescore_db.store.scores import add_scoring

    taken = scorings.scoring_names(conn, run_id)
    if request.name is not None and request.name in taken:
        msg = (
            f"run {run_id} has a scoring named {request.name!r} that was made in another way; "
            "choose another --name"
        )
        raise AlreadyExistsError(msg)
    name = request.name or _free_name(how.name, taken)
    return add_scoring(conn, run_id=run_id, kind="rescored", name=name, how_json=how.how_json)


def _free_name(wanted: str, taken: set[str]) -> str:
    if wanted not in taken:
        return wanted
    return next(name for n in range(2, len(taken) + 3) if (name := f"{wanted}-{n}") not in taken)
