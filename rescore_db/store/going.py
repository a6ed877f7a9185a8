"""What goes with runs or scorings: their rows, and all that nothing else refers to then.

It is found by queries over whole sets, each building on the ones before it: a plan holds them in
one statement, a deletion in temporary tables.  Nothing is ever asked row by row.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, select, union

from rescore_db.store import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import ColumnElement, CompoundSelect, FromClause, Select, Table

    Ids = Select[Any] | CompoundSelect[Any]
    Keep = Callable[[str, Ids], FromClause]

# Table → the column that says which rows go, and whose ids it holds: in the order of deletion.
OF_SCORINGS: Final = (
    (schema.score, "aggregate_id", "aggregate"),
    (schema.filtered_response, "scored_filter_id", "scored_filter"),
    (schema.aggregate, "id", "aggregate"),
    (schema.scored_filter, "id", "scored_filter"),
    (schema.scored_shard, "scored_evaluation_id", "scored_evaluation"),
    (schema.scored_evaluation, "id", "scored_evaluation"),
    (schema.group_metric, "scoring_id", "scoring"),
    (schema.scoring, "id", "scoring"),
    (schema.recipe_config, "recipe_id", "recipe"),
    (schema.recipe, "id", "recipe"),
    (schema.environment, "id", "environment"),
)
OF_RUNS: Final = (
    (schema.sample, "evaluation_id", "evaluation"),
    (schema.line, "evaluation_id", "evaluation"),
    (schema.quarantine, "evaluation_id", "evaluation"),
    (schema.evaluation, "id", "evaluation"),
    (schema.run_tag, "run_id", "run"),
    (schema.run, "id", "run"),
    (schema.request_part, "request_id", "request"),
    (schema.request, "id", "request"),
    (schema.context, "id", "context"),
    (schema.target, "id", "target"),
    (schema.doc, "id", "doc"),
    (schema.task, "id", "task"),
    (schema.source_file, "id", "source_file"),
)


class Going:
    """The ids of all that goes, by table.

    Attributes:
        steps: table, column and whose ids it holds, for every table in the order of deletion.
    """

    def __init__(self, keep: Keep) -> None:
        """Begin with nothing; `keep` takes each query, and tells where its ids are."""
        self._keep = keep
        self._ids: dict[str, FromClause] = {}
        self.steps: list[tuple[Table, str, str]] = []

    def __getitem__(self, name: str) -> Select[Any]:
        """Return the query for the ids of one table's rows that go."""
        return select(self._ids[name].c.id)

    def _add(self, name: str, ids: Ids) -> None:
        self._ids[name] = self._keep(name, ids)

    def add_runs(self, run_ids: Collection[int]) -> None:
        """Find what goes with runs."""
        run, evaluation = schema.run, schema.evaluation
        self.add_scorings(schema.scoring.c.run_id.in_(run_ids))
        self._add("run", select(run.c.id).where(run.c.id.in_(run_ids)))
        self._add("evaluation", select(evaluation.c.id).where(evaluation.c.run_id.in_(run_ids)))
        for table, column in ((schema.task, "task_id"), (schema.source_file, "source_file_id")):
            self._add(table.name, self._only_of(evaluation, column))
        self._add_docs()
        self._add_prompts()
        self.steps += OF_RUNS

    def add_scorings(self, condition: ColumnElement[bool]) -> None:
        """Find what goes with the scorings that satisfy a condition."""
        self._add("scoring", select(schema.scoring.c.id).where(condition))
        parents = ("scoring", "scored_evaluation", "scored_filter", "aggregate")
        for parent, name in pairwise(parents):
            table = schema.metadata.tables[name]
            query = select(table.c.id).where(table.c[f"{parent}_id"].in_(self[parent]))
            self._add(name, query)
        for table, column in ((schema.recipe, "recipe_id"), (schema.environment, "environment_id")):
            self._add(table.name, self._only_of(schema.scored_evaluation, column))
        self.steps += OF_SCORINGS

    def _only_of(self, table: Table, column: str) -> Select[Any]:
        """Find what a column of a small table names in rows that go, and in no other."""
        other = table.alias()
        stays = exists().where(
            other.c[column] == table.c[column], other.c.id.not_in(self[table.name])
        )
        return (
            select(table.c[column].label("id"))
            .where(table.c.id.in_(self[table.name]), table.c[column].is_not(None), ~stays)
            .distinct()
        )

    def _add_docs(self) -> None:
        """Find the requests and docs that no other evaluation asks."""
        sample, request, member = schema.sample, schema.request, schema.subset_doc
        going = sample.c.evaluation_id.in_(self["evaluation"])
        self._add("asked", select(sample.c.doc_id.label("id")).where(going).distinct())
        asked = self._ids["asked"]
        query = select(request.c.id).where(request.c.doc_id.in_(self["asked"]))
        self._add("request", query.where(~self._stays(request)))
        other = sample.alias()
        elsewhere = exists().where(
            other.c.doc_id == asked.c.id, other.c.evaluation_id.not_in(self["evaluation"])
        )
        self._add("unasked", select(asked.c.id).where(~elsewhere))
        unasked = self._ids["unasked"]
        frozen = exists().where(member.c.doc_id == unasked.c.id)
        self._add("doc", select(unasked.c.id).where(~frozen))

    def _stays(self, request: FromClause) -> ColumnElement[bool]:
        """Answer whether a request is some other evaluation's: found through its doc's index."""
        other = schema.sample.alias()
        return exists().where(
            other.c.doc_id == request.c.doc_id,
            other.c.request_id == request.c.id,
            other.c.evaluation_id.not_in(self["evaluation"]),
        )

    def _add_prompts(self) -> None:
        """Find the contexts and targets of requests that go and of no others."""
        request, part = schema.request, schema.request_part
        every = union(
            select(request.c.context_id.label("id")).where(
                request.c.id.in_(self["request"]), request.c.context_id.is_not(None)
            ),
            select(part.c.context_id).where(part.c.request_id.in_(self["request"])),
        )
        self._add("used", every)
        used, other = self._ids["used"], request.alias()
        first = exists().where(other.c.context_id == used.c.id, self._stays(other))
        later = exists().where(
            part.c.context_id == used.c.id, part.c.request_id == other.c.id, self._stays(other)
        )
        self._add("context", select(used.c.id).where(~first, ~later))
        # No index leads from a target to its requests: one pass over all of them.
        going = self._ids["request"]
        own = select(request.c.target_id.label("id")).join(going, going.c.id == request.c.id)
        others = request.outerjoin(going, going.c.id == request.c.id)
        left = select(request.c.target_id).select_from(others).where(going.c.id.is_(None))
        self._add("target", own.except_(left))
