"""From a request to work: which evaluations, under which recipe, over which samples."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import AlreadyExistsError, NotFoundError, UsageError
from rescore_db.rescoring import groups, overrides
from rescore_db.store import recipes, runs, scorings, selection
from rescore_db.store.bulk import lock_content
from rescore_db.store.deletion import require_evaluations
from rescore_db.store.engine import atomic, reading
from rescore_db.store.scores import NewScoredEvaluation, add_scored_evaluation, add_scoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from rescore_db.harness.interface import TaskRequest
    from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
    from rescore_db.store.evaluations import StoredEvaluation
    from rescore_db.store.scorings import Standing

NAME: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
"""What a scoring may be called: `RUN:SCORING/FILTER` must stay readable, also by programs."""

SHARD_SAMPLES: Final = 2000  # bounds a child's memory; a tenth of a second to a minute of work
DEFAULT_BOOTSTRAP_ITERS: Final = 100_000  # lm-eval's own


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
        text = runs.get_results_json(conn, run_id)
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
    config_json: str
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
    note: str | None


def read_how(request: ScoreRequest, subset: str | None) -> How:
    """Read a request's files and give it its identity.

    Raises:
        NotFoundError: a file does not exist.
        UsageError: a file is malformed, or a limit is not positive.
    """
    if request.name is not None and NAME.fullmatch(request.name) is None:
        msg = f"--name {request.name!r}: use letters, digits, '.', '_' and '-', at most 100"
        raise UsageError(msg)
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
        UsageError: two definitions are asked for.
    """
    from rescore_db.harness.interface import TaskRequest

    if request.as_logged and request.task_yaml:
        msg = "--as-logged and --task-yaml exclude each other: each is a whole definition"
        raise UsageError(msg)
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
        as_logged=request.as_logged,
        allow_unsafe=request.allow_unsafe,
    )


def _source(request: ScoreRequest) -> str:
    """Name where definitions come from; what they say is part of each recipe."""
    if request.as_logged:
        return "as-logged"
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
        named.append(request.subset.replace("@", "."))
    elif request.where:
        named.append("where")
    if request.limit:
        named.append(f"first-{request.limit}")
    return re.sub(r"[^\w.-]", "-", "-".join(named), flags=re.ASCII)[:80] or "rescored"


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


def choose_all(
    engine: Engine,
    evaluations: Sequence[StoredEvaluation],
    request: ScoreRequest,
    subset: str | None,
) -> dict[int, str]:
    """Return evaluation id → its selection as text, for those of which a sample is chosen.

    Raises:
        BadSqlError: the condition cannot be run.
        NotFoundError: no sample is chosen at all.
    """
    with reading(engine) as conn:
        chosen = {one.id: choose(conn, one, request, subset) for one in evaluations}
    found = {key: text for key, text in chosen.items() if text is not None}
    if evaluations and not found:
        msg = "no sample is chosen: the condition or subset matches none of these runs' samples"
        raise NotFoundError(msg)
    return found


def make_jobs(
    engine: Engine, how: How, request: ScoreRequest, wanted: Sequence[tuple[Resolved, str]]
) -> list[Job]:
    """Store what is to be done and return it, what is already done included.

    Args:
        engine: the store.
        how: the way of scoring.
        request: for the name and `force`.
        wanted: the evaluations whose tasks could be built, each with its selection.

    Raises:
        AlreadyExistsError: the wanted name belongs to another way of scoring of a run.
        NotFoundError: a run was deleted meanwhile.
    """
    jobs = []
    evaluations = [(one.evaluation.run_id, one.evaluation.id) for one, _ in wanted]
    with atomic(engine) as conn:
        lock_content(conn)  # two commands that plan at once plan one after the other
        require_evaluations(conn, evaluations)
        for run_id in dict.fromkeys(one.evaluation.run_id for one, _ in wanted):
            mine = [each for each in wanted if each[0].evaluation.run_id == run_id]
            jobs += _jobs_of_run(conn, how, request, mine)
    return jobs


def _jobs_of_run(
    conn: Connection,
    how: How,
    request: ScoreRequest,
    wanted: Sequence[tuple[Resolved, str]],
) -> list[Job]:
    """Return the jobs of one run, inside the transaction that plans them all."""
    scoring_id = _scoring(conn, how, request, [one for one, _ in wanted])
    known = scorings.standings(conn, scoring_id)
    jobs = []
    for one, chosen in wanted:
        recipe_id = recipes.add_recipe(conn, one.recipe_json, one.config_json)
        standing = known.get(one.evaluation.id)
        is_known = standing is not None and standing.status in scorings.FINAL
        if standing is None:
            standing = _begin(conn, how, scoring_id, one, (recipe_id, chosen))
        elif not is_known:
            standing = _resume(conn, standing, one)
        step = SHARD_SAMPLES if one.per_doc_filters else max(1, standing.n)
        left = () if is_known else tuple(selection.missing(standing.n, standing.shards, step))
        jobs.append(Job(one.evaluation, scoring_id, standing, left, is_known, _note(standing, one)))
    return jobs


def _begin(
    conn: Connection, how: How, scoring_id: int, one: Resolved, what: tuple[int, str]
) -> Standing:
    recipe_id, chosen = what
    new = NewScoredEvaluation(
        scoring_id=scoring_id,
        evaluation_id=one.evaluation.id,
        n=len(selection.to_positions(chosen, one.evaluation.n_samples)),
        status="pending",
        recipe_id=recipe_id,
        environment_id=recipes.add_environment(conn, one.environment_json),
        selection=chosen,
        subset=how.subset,
        warnings=one.warnings,
    )
    return scorings.find_standing(conn, add_scored_evaluation(conn, new))


def _resume(conn: Connection, standing: Standing, one: Resolved) -> Standing:
    """Go on with what was interrupted or failed; what another environment scored is dropped."""
    if standing.environment_json != one.environment_json:
        scorings.reset(conn, standing.id)
        environment_id = recipes.add_environment(conn, one.environment_json)
        scorings.set_environment(conn, standing.id, environment_id)
    scorings.set_status(conn, standing.id, "pending", None, one.warnings)
    return scorings.find_standing(conn, standing.id)


def _note(standing: Standing, one: Resolved) -> str | None:
    """Say in what another environment held scores were made; they are comparable all the same."""
    before = json.loads(standing.environment_json or "{}")
    now = json.loads(one.environment_json)
    changed = [f"{name} {before.get(name)}" for name in now if before.get(name) != now[name]]
    return f"scored with {', '.join(changed)}" if changed else None


def _scoring(conn: Connection, how: How, request: ScoreRequest, wanted: Sequence[Resolved]) -> int:
    """Return the scoring of a run that this request fills, made if there is none.

    A new attempt is made when the user forces it, or when definitions changed since: the scorings
    of the same *how* then hold scores under other recipes, which stay what they are.
    """
    run_id = wanted[0].evaluation.run_id
    for held in [] if request.force else scorings.find_scorings_of(conn, run_id, how.how_json):
        under = recipes.recipes_of(conn, held)
        if all(under.get(one.evaluation.id, one.recipe_json) == one.recipe_json for one in wanted):
            _refuse_other_name(run_id, scorings.scoring_name(conn, held), request.name)
            return held
    taken = scorings.scoring_names(conn, run_id)
    if request.name is not None and request.name in taken:
        msg = f"run {run_id} has a scoring named {request.name!r} already; choose another --name"
        raise AlreadyExistsError(msg)
    name = request.name or scorings.free_name(how.name, taken)
    return add_scoring(conn, run_id=run_id, kind="rescored", name=name, how_json=how.how_json)


def _refuse_other_name(run_id: int, held: str, wanted: str | None) -> None:
    """One way of scoring a run has one name: say which, instead of filing under another one."""
    if wanted in (None, held):
        return
    msg = (
        f"run {run_id} is scored in this way as {held!r} already: leave out --name to add to it, "
        f"or make another attempt named {wanted!r} with --force"
    )
    raise AlreadyExistsError(msg)
