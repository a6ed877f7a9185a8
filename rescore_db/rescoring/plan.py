"""From a request to work: which evaluations, under which recipe, over which samples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rescore_db.errors import AlreadyExistsError, NotFoundError
from rescore_db.store import recipes, scorings, selection
from rescore_db.store.bulk import lock_content
from rescore_db.store.deletion import require_evaluations
from rescore_db.store.engine import atomic, reading
from rescore_db.store.scores import NewScoredEvaluation, add_scored_evaluation, add_scoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from rescore_db.rescoring.how import How, Way
    from rescore_db.rescoring.request import ScoreRequest
    from rescore_db.store.evaluations import StoredEvaluation
    from rescore_db.store.scorings import Standing

SHARD_SAMPLES: Final = 2000  # bounds a child's memory; a tenth of a second to a minute of work


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a child said of one evaluation's task."""

    evaluation: StoredEvaluation
    way: Way
    recipe_json: str
    config_json: str
    environment_json: str
    per_doc_filters: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation under one scoring, and the ranges of it that are still to be scored."""

    evaluation: StoredEvaluation
    way: Way
    scoring_id: int
    standing: Standing
    shards: tuple[tuple[int, int], ...]
    is_known: bool
    note: str | None


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
        note = _note(standing, one)
        jobs.append(Job(one.evaluation, one.way, scoring_id, standing, left, is_known, note))
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
