"""What stands under a scoring of a run, as far as an export needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from rescore_db import json_exact
from rescore_db.errors import NotFoundError
from rescore_db.store import schema, scorings
from rescore_db.store.logged import LOGGED
from rescore_db.store.references import find_runs, find_scoring, resolve
from rescore_db.store.results import group_results
from rescore_db.store.scored import read_aggregates, read_filters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from rescore_db.records import ScoreRow
    from rescore_db.store.scored import StoredAggregate, StoredFilter
    from rescore_db.store.scorings import Standing

MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ScoringFacts:
    """One scoring of one run.

    Attributes:
        id: primary key of `scoring`.
        run_id: primary key of `run`.
        name: unique within the run.
        is_logged: it is what lm-eval logged.
        created_at: UTC, ISO 8601.
    """

    id: int
    run_id: int
    name: str
    is_logged: bool
    created_at: str

    @property
    def date(self) -> str:
        """When it was made, as lm-eval dates files.

        No other scoring has the same, but for one that a newer version of its run took over.
        Scorings that are older than this property know no fractions of a second: their id takes
        that place.
        """
        made = datetime.fromisoformat(self.created_at).astimezone(UTC).replace(tzinfo=None)
        if "." not in self.created_at:
            made = made.replace(microsecond=self.id % MICROSECONDS)
        return made.isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class ScoredTask:
    """One evaluation under a scoring.

    Attributes:
        task: the task's name.
        standing: how far it is, and over which samples.
        reason: why it is not complete, or may differ the next time.
        subset: what the user called the selection, or None.
        recipe: what was applied.
        recipe_hash: its identity, hex.
        config_json: the config of the definition that scored, as lm-eval logs it; None where it
            was not kept.
        logged_config_json: the config that the run logged, None where it is unknown.
        n_original: documents of the task's split, None where it is unknown.
        num_fewshot: examples in the prompts, None where it is unknown.
        filters: with their metrics, in lm-eval's order.
    """

    task: str
    standing: Standing
    reason: str | None
    subset: str | None
    recipe: dict[str, Any]
    recipe_hash: str
    config_json: str | None
    logged_config_json: str | None
    n_original: int | None
    num_fewshot: int | None
    filters: tuple[tuple[StoredFilter, tuple[StoredAggregate, ...]], ...]

    @property
    def is_whole(self) -> bool:
        """Every selected sample is scored."""
        return self.standing.status in {"complete", "nondeterministic"}

    @property
    def n_lines(self) -> int:
        """How many lines lm-eval would write."""
        return self.standing.n * len(self.filters)


@dataclass(frozen=True, slots=True)
class ScoredGroups:
    """The groups of a scoring: names of those that were aggregated, and their metrics."""

    names: frozenset[str]
    metrics: tuple[ScoreRow, ...]


def chosen_scorings(conn: Connection, reference: str, runs: Sequence[str]) -> list[ScoringFacts]:
    """Return the scorings that a text names, by run.

    Args:
        conn: a connection.
        reference: the name of a scoring, of every run that has one of that name; or the id of
            one, or `RUN:SCORING`.
        runs: references of runs; with any, each must have a scoring of that name or id.

    Raises:
        NotFoundError: it names none, or a run has none of that name.
        UsageError: it can mean several.
    """
    table = schema.scoring
    ids = find_runs(conn, runs)
    if runs:
        return _facts(conn, [resolve(conn, f"{key}:{reference}").scoring_id for key in ids])
    is_id = reference.isdecimal() and reference.isascii()
    named = select(table.c.id).where(table.c.name == reference, table.c.run_id.in_(ids))
    found = [] if is_id else list(conn.scalars(named))
    try:
        return _facts(conn, found or [find_scoring(conn, reference)])
    except NotFoundError:
        if ":" in reference:
            raise
        kind = "scoring"
        names = conn.scalars(select(table.c.name).distinct())
        raise NotFoundError.among(kind, reference, names) from None


def _facts(conn: Connection, ids: Sequence[int]) -> list[ScoringFacts]:
    """Return scorings by run and id."""
    table = schema.scoring
    query = select(table.c.id, table.c.run_id, table.c.name, table.c.kind, table.c.created_at)
    rows = conn.execute(query.where(table.c.id.in_(ids)).order_by(table.c.run_id, table.c.id))
    return [
        ScoringFacts(row.id, row.run_id, row.name, row.kind == LOGGED, row.created_at)
        for row in rows
    ]


def scored_tasks(conn: Connection, scoring_id: int) -> list[ScoredTask]:
    """Return what stands under a rescored scoring, in the order in which evaluations came in."""
    standings = scorings.standings(conn, scoring_id)
    scored, recipe, config = schema.scored_evaluation, schema.recipe, schema.recipe_config
    evaluation, task = schema.evaluation, schema.task
    query = (
        select(
            scored,
            recipe.c.hash.label("recipe_hash"),
            recipe.c.content_json,
            config.c.config_json.label("scored_config_json"),
            evaluation.c.config_json,
            evaluation.c.n_original,
            evaluation.c.num_fewshot,
            task.c.name.label("task"),
        )
        .join(evaluation, evaluation.c.id == scored.c.evaluation_id)
        .join(task, task.c.id == evaluation.c.task_id)
        .join(recipe, recipe.c.id == scored.c.recipe_id)
        .outerjoin(config, config.c.recipe_id == recipe.c.id)
        .where(scored.c.scoring_id == scoring_id)
        .order_by(scored.c.evaluation_id)
    )
    return [_task(conn, row, standings[row.evaluation_id]) for row in conn.execute(query).all()]


def _task(conn: Connection, row: Row[Any], standing: Standing) -> ScoredTask:
    filters = [
        (one, tuple(read_aggregates(conn, one.id))) for one in read_filters(conn, standing.id)
    ]
    return ScoredTask(
        task=row.task,
        standing=standing,
        reason=row.reason,
        subset=row.subset,
        recipe=json_exact.loads(row.content_json),
        recipe_hash=row.recipe_hash.hex(),
        config_json=row.scored_config_json,
        logged_config_json=row.config_json,
        n_original=row.n_original,
        num_fewshot=row.num_fewshot,
        filters=tuple(filters),
    )


def scored_groups(conn: Connection, scoring_id: int) -> ScoredGroups:
    """Return the groups that were aggregated under a rescored scoring."""
    names = scorings.grouped(conn, scoring_id)
    return ScoredGroups(frozenset(names), tuple(group_results(conn, scoring_id)))
