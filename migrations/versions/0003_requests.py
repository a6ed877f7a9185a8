"""A request says all that a model is not part of; views follow.  Rows are brought over.

Revision: 0003, after 0002.
"""

from __future__ import annotations

import hashlib
import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Every table, those before that others refer to.
TABLES = (
    "source_file",
    "run",
    "task",
    "evaluation",
    "doc",
    "context",
    "target",
    "request",
    "request_part",
    "sample",
    "line",
    "recipe",
    "environment",
    "scoring",
    "scored_evaluation",
    "scored_shard",
    "scored_filter",
    "filtered_response",
    "aggregate",
    "score",
    "group_metric",
    "quarantine",
    "deletion",
    "run_tag",
    "subset",
    "subset_version",
    "subset_doc",
)

# Columns that hold long texts; those of tables that are not made anew are compressed already.
LONG = (
    ("run", "results_json"),
    ("request", "rest_json"),
    ("request", "exact"),
    ("sample", "response"),
)

# lz4 where the server was built with it: several times faster than pglz, and as small.
COMPRESS = """
DO $$ BEGIN
  IF 'lz4' = ANY (SELECT unnest(enumvals) FROM pg_settings WHERE name = 'default_toast_compression')
  THEN
    {statements}
  END IF;
END $$
"""

# Tables that are written in bulk and change in nothing but that they lose their foreign keys.
LOOSENED = {
    "line": ("evaluation_id",),
    "filtered_response": ("scored_filter_id",),
    "score": ("aggregate_id",),
}

# How each database says the same thing.
SQLITE = {
    "task_hash": "lower(hex(t.hash))",
    "doc_hash": "lower(hex(d.hash))",
    "recipe_hash": "nullif(lower(hex(re.hash)), '')",
    "doc": "coalesce(d.body, d.text)",
    "whole": "INTEGER",
    "join": "JOIN",
    "tags": "group_concat(g.tag, ',') FROM (SELECT tag FROM run_tag "
    "WHERE run_id = r.id ORDER BY tag) g",
}
POSTGRESQL = {
    "task_hash": "encode(t.hash, 'hex')",
    "doc_hash": "encode(d.hash, 'hex')",
    "recipe_hash": "encode(re.hash, 'hex')",
    "doc": "d.body",
    "whole": "BIGINT",
    "join": "LEFT JOIN",
    "tags": "string_agg(g.tag, ',' ORDER BY g.tag COLLATE \"C\") FROM run_tag g "
    "WHERE g.run_id = r.id",
}

RUNS = """
CREATE VIEW runs AS
SELECT r.id, r.name, r.model, nullif(r.date, '') AS date, r.version, r.step,
  (SELECT {tags}) AS tags, r.lm_eval_version,
  (SELECT count(*) FROM evaluation e WHERE e.run_id = r.id) AS evaluations,
  (SELECT CAST(coalesce(sum(e.n_samples), 0) AS {whole}) FROM evaluation e WHERE e.run_id = r.id)
    AS samples,
  NOT EXISTS (SELECT 1 FROM run n
              WHERE n.model = r.model AND n.date = r.date AND n.origin = r.origin
                AND n.version > r.version) AS is_newest
FROM run r
"""

EVALUATIONS = """
CREATE VIEW evaluations AS
SELECT e.id, e.run_id AS run, r.model, nullif(r.date, '') AS date, t.name AS task, e.task_id,
  e.n_samples AS samples, e.n_original, e.n_effective, e.num_fewshot, e.incomplete,
  e.n_hash_mismatches AS hash_mismatches
FROM evaluation e
{join} run r ON r.id = e.run_id
{join} task t ON t.id = e.task_id
"""

TASKS = """
CREATE VIEW tasks AS
SELECT t.id, t.name, nullif(t.version, 'null') AS version, {task_hash} AS hash, t.output_type,
  (SELECT count(*) FROM evaluation e WHERE e.task_id = t.id) AS evaluations
FROM task t
"""

DOCS = """
CREATE VIEW docs AS
SELECT d.id, {doc_hash} AS hash, {doc} AS doc
FROM doc d
"""

SAMPLES_SQLITE = """
CREATE VIEW samples AS
SELECT s.evaluation_id || ':' || s.position AS id, s.evaluation_id AS evaluation,
  e.run_id AS run, r.model, nullif(r.date, '') AS date, t.name AS task, s.position,
  (SELECT q.logged_doc_id FROM request q WHERE q.id = s.request_id) AS doc_id,
  s.doc_id AS doc_key, s.nth,
  (SELECT coalesce(d.body, d.text) FROM doc d WHERE d.id = s.doc_id) AS doc,
  (SELECT c.text FROM request q JOIN context c ON c.id = q.context_id
   WHERE q.id = s.request_id) AS prompt,
  (SELECT g.text FROM request q JOIN target g ON g.id = q.target_id
   WHERE q.id = s.request_id) AS target,
  s.response
FROM sample s
JOIN evaluation e ON e.id = s.evaluation_id
JOIN run r ON r.id = e.run_id
JOIN task t ON t.id = e.task_id
"""

SAMPLES_POSTGRESQL = """
CREATE VIEW samples AS
SELECT s.evaluation_id || ':' || s.position AS id, s.evaluation_id AS evaluation,
  e.run_id AS run, r.model, nullif(r.date, '') AS date, t.name AS task, s.position,
  q.logged_doc_id AS doc_id, s.doc_id AS doc_key, s.nth, d.body AS doc, c.text AS prompt,
  g.text AS target, s.response
FROM sample s
LEFT JOIN evaluation e ON e.id = s.evaluation_id
LEFT JOIN run r ON r.id = e.run_id
LEFT JOIN task t ON t.id = e.task_id
LEFT JOIN doc d ON d.id = s.doc_id
LEFT JOIN request q ON q.id = s.request_id
LEFT JOIN context c ON c.id = q.context_id
LEFT JOIN target g ON g.id = q.target_id
"""

# `response` is the JSON of a list of requests, each a list of responses; what is no list stands for
# a list of itself.  Text that the database's JSON functions refuse (NaN) counts as one response.
RESPONSES_SQLITE = """
CREATE VIEW responses AS
SELECT s.evaluation_id || ':' || s.position AS sample, s.evaluation_id AS evaluation, s.position,
  0 AS request, 0 AS repeat, s.response
FROM sample s
WHERE NOT s.response_is_json
UNION ALL
SELECT s.evaluation_id || ':' || s.position, s.evaluation_id, s.position, q.key, p.key,
  CASE p.type WHEN 'text' THEN p.value ELSE p.json -> p.fullkey END
FROM sample s,
  json_each(
    CASE WHEN NOT json_valid(s.response) THEN json_array(s.response)
         WHEN json_type(s.response) = 'array' THEN s.response
         ELSE json_array(json(s.response)) END
  ) q,
  json_each(
    CASE q.type WHEN 'array' THEN q.value ELSE json_array(json(q.json -> q.fullkey)) END
  ) p
WHERE s.response_is_json
"""

RESPONSES_POSTGRESQL = """
CREATE VIEW responses AS
SELECT s.evaluation_id || ':' || s.position AS sample, s.evaluation_id AS evaluation, s.position,
  CAST(0 AS BIGINT) AS request, CAST(0 AS BIGINT) AS repeat, s.response
FROM sample s
WHERE NOT s.response_is_json
UNION ALL
SELECT s.evaluation_id || ':' || s.position, s.evaluation_id, s.position, q.n - 1, p.n - 1,
  CASE json_typeof(p.value)
    WHEN 'string' THEN p.value #>> '{}'
    WHEN 'array' THEN (
      SELECT '[' || coalesce(string_agg(CAST(i.value AS TEXT), ',' ORDER BY i.n), '') || ']'
      FROM json_array_elements(p.value) WITH ORDINALITY i (value, n)
    )
    ELSE CAST(p.value AS TEXT)
  END
FROM sample s,
  LATERAL (
    SELECT CASE WHEN s.response ~ '\\\\u|NaN|Infinity' THEN rescore_json(s.response)
                ELSE CAST(s.response AS json) END AS value
  ) v,
  json_array_elements(
    CASE json_typeof(v.value) WHEN 'array' THEN v.value ELSE json_build_array(v.value) END
  ) WITH ORDINALITY q (value, n),
  json_array_elements(
    CASE json_typeof(q.value) WHEN 'array' THEN q.value ELSE json_build_array(q.value) END
  ) WITH ORDINALITY p (value, n)
WHERE s.response_is_json
"""

SCORES = """
CREATE VIEW scores AS
SELECT v.evaluation_id || ':' || o.position AS sample, v.evaluation_id AS evaluation,
  e.run_id AS run, r.model, nullif(r.date, '') AS date, t.name AS task, c.name AS scoring,
  v.scoring_id, f.scored_evaluation_id AS scored_evaluation, f.name AS filter, a.metric,
  o.position,
  (SELECT q.logged_doc_id FROM sample s JOIN request q ON q.id = s.request_id
   WHERE s.evaluation_id = v.evaluation_id AND s.position = o.position) AS doc_id,
  (SELECT s.doc_id FROM sample s
   WHERE s.evaluation_id = v.evaluation_id AND s.position = o.position) AS doc_key,
  o.value, o.exact
FROM score o
{join} aggregate a ON a.id = o.aggregate_id
{join} scored_filter f ON f.id = a.scored_filter_id
{join} scored_evaluation v ON v.id = f.scored_evaluation_id
{join} scoring c ON c.id = v.scoring_id
{join} evaluation e ON e.id = v.evaluation_id
{join} run r ON r.id = e.run_id
{join} task t ON t.id = e.task_id
"""

METRICS = """
CREATE VIEW metrics AS
SELECT v.scoring_id, c.name AS scoring, c.kind, e.run_id AS run, r.model,
  nullif(r.date, '') AS date, t.name AS task, f.name AS filter, a.metric, a.value, a.stderr, a.n,
  v.status, a.higher_is_better
FROM aggregate a
{join} scored_filter f ON f.id = a.scored_filter_id
{join} scored_evaluation v ON v.id = f.scored_evaluation_id
{join} scoring c ON c.id = v.scoring_id
{join} evaluation e ON e.id = v.evaluation_id
{join} run r ON r.id = e.run_id
{join} task t ON t.id = e.task_id
"""

GROUP_METRICS = """
CREATE VIEW group_metrics AS
SELECT g.scoring_id, c.name AS scoring, c.kind, c.run_id AS run, r.model,
  nullif(r.date, '') AS date, g."group" AS task, g.filter, g.metric, g.value, g.stderr, g.n
FROM group_metric g
{join} scoring c ON c.id = g.scoring_id
{join} run r ON r.id = c.run_id
"""

SCORINGS = """
CREATE VIEW scorings AS
SELECT c.id, c.run_id AS run, r.model, nullif(r.date, '') AS date, c.kind, c.name, c.attempt,
  coalesce((
    SELECT v.status FROM scored_evaluation v WHERE v.scoring_id = c.id
    ORDER BY CASE v.status WHEN 'failed' THEN 1 WHEN 'pending' THEN 2 WHEN 'unsupported' THEN 3
                           WHEN 'nondeterministic' THEN 4 ELSE 5 END
    LIMIT 1
  ), 'pending') AS status,
  (SELECT CAST(coalesce(sum(v.n), 0) AS {whole}) FROM scored_evaluation v
   WHERE v.scoring_id = c.id) AS n
FROM scoring c
{join} run r ON r.id = c.run_id
"""

SUBSETS = """
CREATE VIEW subsets AS
SELECT v.id, b.name, v.version, v.predicate, m.task_name AS task, m.doc_id AS doc_key
FROM subset_version v
LEFT JOIN subset b ON b.id = v.subset_id
LEFT JOIN subset_doc m ON m.subset_version_id = v.id
"""

HISTORY = """
CREATE VIEW history AS
SELECT e.run_id AS run, r.model, nullif(r.date, '') AS date, t.name AS task, f.name AS filter,
  a.metric, c.name AS scoring, c.kind, {recipe_hash} AS recipe, a.value, a.stderr, a.n
FROM aggregate a
{join} scored_filter f ON f.id = a.scored_filter_id
{join} scored_evaluation v ON v.id = f.scored_evaluation_id
{join} scoring c ON c.id = v.scoring_id
LEFT JOIN recipe re ON re.id = v.recipe_id
{join} evaluation e ON e.id = v.evaluation_id
{join} run r ON r.id = e.run_id
{join} task t ON t.id = e.task_id
"""

COMMON = (
    RUNS,
    EVALUATIONS,
    TASKS,
    DOCS,
    SCORES,
    METRICS,
    GROUP_METRICS,
    SCORINGS,
    SUBSETS,
    HISTORY,
)
ON_SQLITE = (SAMPLES_SQLITE, RESPONSES_SQLITE)
ON_POSTGRESQL = (SAMPLES_POSTGRESQL, RESPONSES_POSTGRESQL)
NAMES = (
    "runs",
    "evaluations",
    "tasks",
    "docs",
    "samples",
    "responses",
    "scores",
    "metrics",
    "group_metrics",
    "scorings",
    "subsets",
    "history",
)


def upgrade() -> None:
    """Make the tables anew that change, with their rows, and the views."""
    refuse_statements_for_rows()
    is_postgresql = op.get_context().dialect.name == "postgresql"
    drop_views()
    make_runs_anew(is_postgresql=is_postgresql)
    for table in LOOSENED:
        loosen(table, is_postgresql=is_postgresql)
    put_aside(is_postgresql=is_postgresql)
    create_requests()
    create_what_users_do()
    if is_postgresql:
        op.execute(
            COMPRESS.format(
                statements="".join(
                    f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION lz4; "
                    for table, column in LONG
                )
            )
        )
    if not op.get_context().as_sql:
        bring_rows(op.get_bind())
        tell_planner(op.get_bind())
    for table in ("sample", "request_part", "request"):
        op.drop_table(f"{table}_0002")
    op.drop_table("response")
    create_views(is_postgresql=is_postgresql)


def refuse_statements_for_rows() -> None:
    """Refuse to print statements for a store that has rows: they are brought over by Python.

    Raises:
        CommandError: the statements would not begin with an empty database.
    """
    context = op.get_context()
    if context.as_sql and context.opts.get("starting_rev"):
        msg = "0003 computes hashes: run it on the database, its statements alone lose rows"
        raise CommandError(msg)


def drop_views() -> None:
    """Drop the views; they read tables that are made anew."""
    for name in NAMES:
        op.execute(f"DROP VIEW {name}")


def create_views(*, is_postgresql: bool) -> None:
    """Create the views; the function that they use in PostgreSQL is 0002's."""
    words = POSTGRESQL if is_postgresql else SQLITE
    for view in COMMON:
        op.execute(view.format(**words))
    for statement in ON_POSTGRESQL if is_postgresql else ON_SQLITE:
        op.execute(statement)


# ---------------------------------------------------------------------------------------- tables


def make_runs_anew(*, is_postgresql: bool) -> None:
    """Give runs an origin and a step.  Other tables refer to `run`, so it keeps its name."""
    op.execute("CREATE TABLE run_0002 AS SELECT * FROM run")
    if is_postgresql:
        for table in ("evaluation", "scoring"):
            op.drop_constraint(f"fk_{table}_run_id", table)
    op.drop_table("run")
    op.create_table(
        "run",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("date", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("step", ID, nullable=True),
        sa.Column("lm_eval_version", sa.Text(), nullable=True),
        sa.Column("results_json", sa.Text(), nullable=True),
        sa.Column("results_digest", sa.LargeBinary(), nullable=True),
        sa.Column("notes_json", sa.Text(), nullable=False),
        sa.Column("ingested_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint(
            "model", "date", "origin", "version", name=op.f("uq_run_model_date_origin_version")
        ),
        sa.UniqueConstraint("name", name=op.f("uq_run_name")),
    )
    op.execute(
        "INSERT INTO run (id, model, date, origin, version, name, lm_eval_version, results_json, "
        "results_digest, notes_json, ingested_at) "
        "SELECT id, model, date, '', version, name, lm_eval_version, results_json, "
        "results_digest, notes_json, ingested_at FROM run_0002"
    )
    if is_postgresql:
        op.execute(
            "SELECT setval(pg_get_serial_sequence('run', 'id'), max(id)) FROM run "
            "HAVING count(*) > 0"
        )
        for table in ("evaluation", "scoring"):
            op.create_foreign_key(op.f(f"fk_{table}_run_id"), table, "run", ["run_id"], ["id"])
    op.drop_table("run_0002")


def loosen(table: str, *, is_postgresql: bool) -> None:
    """Drop the foreign keys of a table; SQLite can't but by making it anew."""
    if is_postgresql:
        for column in LOOSENED[table]:
            op.drop_constraint(f"fk_{table}_{column}", table)
        return
    op.rename_table(table, f"{table}_0002")
    create = {
        "line": create_line,
        "filtered_response": create_filtered_response,
        "score": create_score,
    }
    create[table]()
    op.execute(f"INSERT INTO {table} SELECT * FROM {table}_0002")  # noqa: S608 - ours
    op.drop_table(f"{table}_0002")


def create_line() -> None:
    """Lines, as in 0001 without foreign keys."""
    op.create_table(
        "line",
        sa.Column("evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("filter_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("number", ID, nullable=False),
        sa.Column("json", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("evaluation_id", "filter_index", "position", name=op.f("pk_line")),
        sqlite_with_rowid=False,
    )


def create_filtered_response() -> None:
    """Filtered responses, as in 0001 without foreign keys."""
    op.create_table(
        "filtered_response",
        sa.Column("scored_filter_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("is_json", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("scored_filter_id", "position", name=op.f("pk_filtered_response")),
        sqlite_with_rowid=False,
    )


def create_score() -> None:
    """Scores, as in 0001 without foreign keys."""
    op.create_table(
        "score",
        sa.Column("aggregate_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("aggregate_id", "position", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )


def put_aside(*, is_postgresql: bool) -> None:
    """Rename the tables that hold samples and requests, and free the names of their indexes."""
    op.drop_index("ix_sample_doc_id", "sample")
    op.drop_index("ix_request_part_context_id", "request_part")
    for table in ("sample", "request_part", "request"):
        op.rename_table(table, f"{table}_0002")
        if is_postgresql:  # where they are objects of the whole schema
            op.execute(f"ALTER INDEX pk_{table} RENAME TO pk_{table}_0002")
    if is_postgresql:
        op.execute("ALTER INDEX uq_request_hash RENAME TO uq_request_hash_0002")


def create_requests() -> None:
    """What was asked, and what was answered."""
    op.create_table(
        "request",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("doc_id", ID, autoincrement=False, nullable=False),
        sa.Column("target_id", ID, autoincrement=False, nullable=False),
        sa.Column("logged_doc_id", ID, nullable=True),
        sa.Column("context_id", ID, autoincrement=False, nullable=True),
        sa.Column("rest_json", sa.Text(), nullable=True),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.Column("prompt_hash", sa.LargeBinary(), nullable=True),
        sa.Column("hashes_fit", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
        sa.UniqueConstraint("hash", name=op.f("uq_request_hash")),
    )
    op.create_index(op.f("ix_request_doc_id"), "request", ["doc_id"], unique=False)
    op.create_index(op.f("ix_request_context_id"), "request", ["context_id"], unique=False)
    op.create_table(
        "request_part",
        sa.Column("request_id", ID, autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("context_id", ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "index", name=op.f("pk_request_part")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_request_part_context_id"), "request_part", ["context_id"], unique=False
    )
    op.create_table(
        "sample",
        sa.Column("evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("doc_id", ID, autoincrement=False, nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("request_id", ID, autoincrement=False, nullable=False),
        sa.Column("response_is_json", sa.Boolean(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("response_exact", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("evaluation_id", "position", name=op.f("pk_sample")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_sample_doc_id"), "sample", ["doc_id"], unique=False)


def create_what_users_do() -> None:
    """Lines that were left out, what was deleted, and what runs are called."""
    op.create_table(
        "quarantine",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("number", ID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("size", ID, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_quarantine_evaluation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
        sa.UniqueConstraint(
            "evaluation_id", "number", name=op.f("uq_quarantine_evaluation_id_number")
        ),
    )
    op.create_table(
        "deletion",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("deleted_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletion")),
    )
    op.create_table(
        "run_tag",
        sa.Column("run_id", ID, autoincrement=False, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_tag_run_id")),
        sa.PrimaryKeyConstraint("run_id", "tag", name=op.f("pk_run_tag")),
        sqlite_with_rowid=False,
    )


# ------------------------------------------------------------------------------------------ rows


def whole(*names: str) -> list[sa.ColumnClause[int]]:
    """Return columns of whole numbers."""
    return [sa.column(name, sa.BigInteger()) for name in names]


def text(*names: str) -> list[sa.ColumnClause[str]]:
    """Return columns of text."""
    return [sa.column(name, sa.Text()) for name in names]


def flag(name: str) -> sa.ColumnClause[bool]:
    """Return a column of truths."""
    return sa.column(name, sa.Boolean())


def digest(name: str) -> sa.ColumnClause[bytes]:
    """Return a column of hashes."""
    return sa.column(name, sa.LargeBinary())


# Only the columns that rows are brought over by.
EVALUATION = sa.table("evaluation", *whole("id"), *text("layout_json"), flag("hashes_logged"))
LINE = sa.table("line", *whole("evaluation_id", "filter_index", "position"), *text("json"))
DOC = sa.table("doc", *whole("id"), digest("hash"), *text("text"))
CONTEXT = sa.table("context", *whole("id"), flag("is_json"), *text("text", "exact"))
TARGET = sa.table("target", *whole("id"), flag("is_json"), *text("text", "exact"))
OLD_RESPONSE = sa.table("response", *whole("id"), flag("is_json"), *text("text", "exact"))
OLD_REQUEST = sa.table("request_0002", *whole("id"), digest("prompt_hash"), *text("exact"))
OLD_PART = sa.table(
    "request_part_0002", *whole("request_id", "index", "context_id"), *text("rest_json")
)
OLD_SAMPLE = sa.table(
    "sample_0002",
    *whole("evaluation_id", "position", "doc_id", "nth"),
    *whole("request_id", "response_id", "target_id", "logged_doc_id"),
)
REQUEST = sa.table(
    "request",
    *whole("id"),
    digest("hash"),
    *whole("doc_id", "target_id", "logged_doc_id", "context_id"),
    *text("rest_json", "exact"),
    digest("prompt_hash"),
    flag("hashes_fit"),
)
PART = sa.table("request_part", *whole("request_id", "index", "context_id"))
SAMPLE = sa.table(
    "sample",
    *whole("evaluation_id", "position", "doc_id", "nth", "request_id"),
    flag("response_is_json"),
    *text("response", "response_exact"),
)

BATCH = 200  # samples at a time
MAX_KNOWN = 100_000  # requests that are remembered; the others are found by their hash
HASHES = ("doc_hash", "prompt_hash", "target_hash")
SURROGATE = re.compile("[\ud800-\udfff]")


class Key(NamedTuple):
    """What a request was and how it was logged; samples that agree in it share the new row."""

    request_id: int
    doc_id: int
    target_id: int
    logged_doc_id: int | None
    doc_id_text: str  # JSON; "" where the line had no such field
    hashes: tuple[str | None, ...]  # of `HASHES`: JSON, "", or None for that of the content


def bring_rows(conn: sa.Connection) -> None:
    """Bring samples and their requests over, in constant memory.

    A request's hash is that of its line's beginning as lm-eval writes it and of the logged
    hashes.  Lines that were kept whole have their own; where a line was written in other ways
    (spaces, escapes), the hash will not be found when the line comes again, and the request is
    then stored a second time: nothing else is lost.

    Raises:
        CommandError: a sample refers to a content that does not exist.
    """
    old = OLD_SAMPLE.c
    extents = sa.select(old.evaluation_id, sa.func.max(old.position), sa.func.count())
    bringer = Bringer(conn)
    by_evaluation = extents.group_by(old.evaluation_id).order_by(old.evaluation_id)
    for evaluation_id, last, count in conn.execute(by_evaluation).all():
        bringer.begin(evaluation_id)
        brought = sum(map(bringer.bring, range(0, last + 1, BATCH)))
        if brought != count:
            msg = (
                f"evaluation {evaluation_id}: {count - brought} samples refer to contents that do "
                "not exist; the store is damaged, and was left as it is"
            )
            raise CommandError(msg)


def tell_planner(conn: sa.Connection) -> None:
    """Let the planner know how large the new tables are; SQLite takes them for huge otherwise."""
    if conn.execute(sa.select(sa.func.max(SAMPLE.c.evaluation_id))).scalar() is None:
        return
    if conn.dialect.name == "sqlite":
        op.execute("PRAGMA analysis_limit = 1000")
    for name in ("run", "request", "sample", "line", "filtered_response", "score"):
        op.execute(f"ANALYZE {name}")


class Bringer:
    """Brings samples over, some of an evaluation at a time."""

    def __init__(self, conn: sa.Connection) -> None:
        """Begin with nothing known."""
        self._conn = conn
        self._next_id = 1
        self._known: dict[Key, int] = {}
        self._evaluation_id = 0
        self._fields: frozenset[str] = frozenset()

    def begin(self, evaluation_id: int) -> None:
        """Go on to an evaluation; learn which fields its lines have."""
        query = sa.select(EVALUATION.c.layout_json, EVALUATION.c.hashes_logged)
        row = self._conn.execute(query.where(EVALUATION.c.id == evaluation_id)).one()
        filters = json.loads(row.layout_json).get("filters")
        default = ("doc_id", *HASHES) if row.hashes_logged else ("doc_id",)
        self._evaluation_id = evaluation_id
        self._fields = frozenset(filters[0]["keys"] if filters else default)

    def bring(self, start: int) -> int:
        """Bring the samples from one position on; return how many."""
        samples = self._samples(start)
        lines = self._lines(start)
        keys = [self._key(one, lines.get(one.position)) for one in samples]
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._add_requests([key for key in dict.fromkeys(keys) if key not in self._known])
        insert(
            self._conn,
            SAMPLE,
            [
                {
                    "evaluation_id": self._evaluation_id,
                    "position": one.position,
                    "doc_id": one.doc_id,
                    "nth": one.nth,
                    "request_id": self._known[key],
                    "response_is_json": one.is_json,
                    "response": one.text,
                    "response_exact": one.exact,
                }
                for one, key in zip(samples, keys, strict=True)
            ],
        )
        return len(samples)

    def _samples(self, start: int) -> Sequence[Any]:
        """Return rows of those samples whose contents all exist."""
        old, response = OLD_SAMPLE.c, OLD_RESPONSE.c
        query = (
            sa.select(
                old.position,
                old.doc_id,
                old.nth,
                old.request_id,
                old.target_id,
                old.logged_doc_id,
                response.is_json,
                response.text,
                response.exact,
            )
            .join(OLD_RESPONSE, response.id == old.response_id)
            .join(OLD_REQUEST, OLD_REQUEST.c.id == old.request_id)
            .join(DOC, DOC.c.id == old.doc_id)
            .join(TARGET, TARGET.c.id == old.target_id)
            .where(
                old.evaluation_id == self._evaluation_id,
                old.position.between(start, start + BATCH - 1),
            )
            .order_by(old.position)
        )
        return self._conn.execute(query).all()

    def _lines(self, start: int) -> dict[int, dict[str, Any]]:
        """Return the lines of the first filter that were kept whole, by position."""
        query = sa.select(LINE.c.position, LINE.c.json).where(
            LINE.c.evaluation_id == self._evaluation_id,
            LINE.c.filter_index == 0,
            LINE.c.position.between(start, start + BATCH - 1),
            LINE.c.json.is_not(None),
        )
        return {at: json.loads(line) for at, line in self._conn.execute(query)}

    def _key(self, sample: Any, line: dict[str, Any] | None) -> Key:  # noqa: ANN401 - a row
        doc_id = sample.logged_doc_id
        if line is not None:
            doc_id_text = dumps(line["doc_id"]) if "doc_id" in line else ""
            hashes: list[str | None] = [
                dumps(line[name]) if name in line else "" for name in HASHES
            ]
        else:
            doc_id_text = str(doc_id) if "doc_id" in self._fields and doc_id is not None else ""
            hashes = [None if name in self._fields else "" for name in HASHES]
        return Key(
            sample.request_id,
            sample.doc_id,
            sample.target_id,
            doc_id,
            doc_id_text,
            tuple(hashes),
        )

    def _add_requests(self, keys: Sequence[Key]) -> None:
        """Make the requests that are not there yet."""
        contents = Contents(self._conn, keys)
        new = [contents.request(key) for key in keys]
        known = find_ids(self._conn, [row["hash"] for row in new])
        rows: list[dict[str, Any]] = []
        parts: list[dict[str, Any]] = []
        for key, row in zip(keys, new, strict=True):
            hash_ = row["hash"]
            if hash_ not in known:
                known[hash_] = self._next_id
                self._next_id += 1
                rows.append({"id": known[hash_], **row})
                parts += [
                    {"request_id": known[hash_], **part}
                    for part in contents.other_contexts(key.request_id)
                ]
            self._known[key] = known[hash_]
        insert(self._conn, REQUEST, rows)
        insert(self._conn, PART, parts)


class Contents:
    """The contents of some requests, read at once."""

    def __init__(self, conn: sa.Connection, keys: Sequence[Key]) -> None:
        """Read what some keys refer to."""
        self._docs = by_id(conn, DOC, {key.doc_id for key in keys})
        self._targets = by_id(conn, TARGET, {key.target_id for key in keys})
        requests = {key.request_id for key in keys}
        self._requests = by_id(conn, OLD_REQUEST, requests)
        self._parts: dict[int, list[Any]] = {one: [] for one in requests}
        for batch in batches(requests):
            query = sa.select(OLD_PART).where(OLD_PART.c.request_id.in_(batch))
            ordered = query.order_by(OLD_PART.c.request_id, OLD_PART.c.index)
            for part in conn.execute(ordered):
                self._parts[part.request_id].append(part)
        contexts = {part.context_id for parts in self._parts.values() for part in parts}
        self._contexts = {
            key: content_json(row) for key, row in by_id(conn, CONTEXT, contexts).items()
        }
        self._arguments = {one: self._arguments_json(one) for one in requests}

    def _arguments_json(self, request_id: int) -> str:
        exact: str | None = self._requests[request_id].exact
        if exact is not None:
            return exact
        named = []
        for part in self._parts[request_id]:
            rest = [dumps(value) for value in json.loads(part.rest_json)]
            values = enumerate((self._contexts[part.context_id], *rest))
            fields = ", ".join(f'"arg_{at}": {value}' for at, value in values)
            named.append(f'"gen_args_{part.index}": {{{fields}}}')
        return f"{{{', '.join(named)}}}"

    def request(self, key: Key) -> dict[str, Any]:
        """Return a new request's columns but its id."""
        parts, old = self._parts[key.request_id], self._requests[key.request_id]
        is_regular = old.exact is None
        target = self._targets[key.target_id]
        head = (
            f'{{"doc_id": {key.doc_id_text}, "doc": {self._docs[key.doc_id].text}, '
            f'"target": {content_json(target)}, "arguments": {self._arguments[key.request_id]}'
        )
        own = (self._docs[key.doc_id].hash, old.prompt_hash, target_hash(target))
        own_texts = [None if hash_ is None else f'"{bytes(hash_).hex()}"' for hash_ in own]
        hashes = [
            logged if logged is not None else computed or ""
            for logged, computed in zip(key.hashes, own_texts, strict=True)
        ]
        fits = [
            True if text in {"", computed} else None if computed is None else False
            for text, computed in zip(hashes, own_texts, strict=True)
        ]
        if key.logged_doc_id is None and key.doc_id_text:  # no integer: not told by a column
            fits.append(None)
        rests = ", ".join(part.rest_json for part in parts)
        return {
            "hash": sha256("\n".join((head, *hashes))),
            "doc_id": key.doc_id,
            "target_id": key.target_id,
            "logged_doc_id": key.logged_doc_id,
            "context_id": parts[0].context_id if parts else None,
            "rest_json": f"[{rests}]" if is_regular else None,
            "exact": old.exact,
            "prompt_hash": old.prompt_hash,
            "hashes_fit": False if False in fits else None if None in fits else True,
        }

    def other_contexts(self, request_id: int) -> list[dict[str, int]]:
        """Return the parts whose context is not that of the first."""
        parts = self._parts[request_id]
        return [
            {"index": part.index, "context_id": part.context_id}
            for part in parts
            if part.context_id != parts[0].context_id
        ]


def by_id(conn: sa.Connection, table: sa.TableClause, keys: Collection[int]) -> dict[int, Any]:
    """Return the rows with some ids."""
    return {
        row.id: row
        for batch in batches(keys)
        for row in conn.execute(sa.select(table).where(table.c.id.in_(batch)))
    }


def find_ids(conn: sa.Connection, hashes: Collection[bytes]) -> dict[bytes, int]:
    """Return the ids of the new requests with some hashes."""
    query = sa.select(REQUEST.c.hash, REQUEST.c.id)
    return {
        bytes(hash_): key
        for batch in batches(hashes)
        for hash_, key in conn.execute(query.where(REQUEST.c.hash.in_(batch)))
    }


def batches(values: Collection[Any]) -> Iterator[list[Any]]:
    """Yield some values a few hundred at a time, as questions have room for."""
    left = iter(values)
    while batch := list(islice(left, 500)):
        yield batch


def insert(conn: sa.Connection, table: sa.TableClause, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, if there are any."""
    if rows:
        conn.execute(table.insert(), rows)


def dumps(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Write JSON as lm-eval does, with lone surrogates as escapes."""
    written = json.dumps(value, ensure_ascii=False)
    return SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def string(row: Any) -> str:  # noqa: ANN401 - a row
    """Return a content that is a string, exactly."""
    exact: str = row.text if row.exact is None else json.loads(row.exact)
    return exact


def content_json(row: Any) -> str:  # noqa: ANN401 - a row
    """Return the JSON text of a context or target."""
    return str(row.text) if row.is_json else dumps(string(row))


def target_hash(row: Any) -> bytes:  # noqa: ANN401 - a row
    """Return lm-eval's hash of a target."""
    return sha256(str(json.loads(row.text)) if row.is_json else string(row))


def sha256(content: str) -> bytes:
    """Return the SHA-256 of a string as UTF-8, lone surrogates included."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()


# -------------------------------------------------------------------------------------- backwards


def downgrade() -> None:
    """Make the tables of 0002 anew; rows would not fit them.

    Raises:
        CommandError: there are rows, or only statements are asked for.
    """
    if op.get_context().as_sql:
        msg = "0003 looks for rows before it goes back: run it on the database"
        raise CommandError(msg)
    conn = op.get_bind()
    for name in TABLES:
        if conn.execute(
            sa.select(sa.exists(sa.select(sa.text("1")).select_from(sa.table(name))))
        ).scalar():
            msg = f"{name} has rows, which the tables of 0002 can't hold: keep a copy from before"
            raise CommandError(msg)
    drop_views()
    if conn.dialect.name == "postgresql":
        op.execute("DROP FUNCTION rescore_json(text)")
    for name in reversed(TABLES):
        op.drop_table(name)
    scripts = op.get_context().script
    if scripts is None:
        msg = "the scripts of 0001 and 0002 are missing"
        raise CommandError(msg)
    for before in ("0001", "0002"):
        scripts.get_revision(before).module.upgrade()
