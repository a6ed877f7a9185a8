"""The views that users' SQL reads.  Rows are not touched.

They are the same on both databases: names, order and meaning of columns.  The joins differ, each
for its planner.  PostgreSQL drops a LEFT JOIN on a unique key whose columns a query does not read,
and turns one into a JOIN where a condition allows it.  SQLite does neither under an aggregate, and
can't begin at a LEFT JOIN's right side: there, JOINs lead from a task or run to its rows, and the
long texts are scalar subqueries, which cost nothing unless they are read.  (A million samples:
counting those of one task takes 4 ms instead of 580, all of them 0.14 s instead of 1.3.)

Revision: 0002, after 0001.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# How each database says the same thing.
SQLITE = {
    "task_hash": "lower(hex(t.hash))",
    "doc_hash": "lower(hex(d.hash))",
    "recipe_hash": "nullif(lower(hex(re.hash)), '')",
    "doc": "coalesce(d.body, d.text)",
    "whole": "INTEGER",
    "join": "JOIN",
}
POSTGRESQL = {
    "task_hash": "encode(t.hash, 'hex')",
    "doc_hash": "encode(d.hash, 'hex')",
    "recipe_hash": "encode(re.hash, 'hex')",
    "doc": "d.body",
    "whole": "BIGINT",
    "join": "LEFT JOIN",
}

RUNS = """
CREATE VIEW runs AS
SELECT r.id, r.name, r.model, nullif(r.date, '') AS date, r.version, r.lm_eval_version,
  (SELECT count(*) FROM evaluation e WHERE e.run_id = r.id) AS evaluations,
  (SELECT CAST(coalesce(sum(e.n_samples), 0) AS {whole}) FROM evaluation e WHERE e.run_id = r.id)
    AS samples,
  NOT EXISTS (SELECT 1 FROM run n
              WHERE n.model = r.model AND n.date = r.date AND n.version > r.version) AS is_newest
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
  s.logged_doc_id AS doc_id, s.doc_id AS doc_key, s.nth,
  (SELECT coalesce(d.body, d.text) FROM doc d WHERE d.id = s.doc_id) AS doc,
  (SELECT c.text FROM request_part p JOIN context c ON c.id = p.context_id
   WHERE p.request_id = s.request_id AND p."index" = 0) AS prompt,
  (SELECT g.text FROM target g WHERE g.id = s.target_id) AS target,
  (SELECT a.text FROM response a WHERE a.id = s.response_id) AS response
FROM sample s
JOIN evaluation e ON e.id = s.evaluation_id
JOIN run r ON r.id = e.run_id
JOIN task t ON t.id = e.task_id
"""

SAMPLES_POSTGRESQL = """
CREATE VIEW samples AS
SELECT s.evaluation_id || ':' || s.position AS id, s.evaluation_id AS evaluation,
  e.run_id AS run, r.model, nullif(r.date, '') AS date, t.name AS task, s.position,
  s.logged_doc_id AS doc_id, s.doc_id AS doc_key, s.nth, d.body AS doc, c.text AS prompt,
  g.text AS target, a.text AS response
FROM sample s
LEFT JOIN evaluation e ON e.id = s.evaluation_id
LEFT JOIN run r ON r.id = e.run_id
LEFT JOIN task t ON t.id = e.task_id
LEFT JOIN doc d ON d.id = s.doc_id
LEFT JOIN request_part p ON p.request_id = s.request_id AND p."index" = 0
LEFT JOIN context c ON c.id = p.context_id
LEFT JOIN target g ON g.id = s.target_id
LEFT JOIN response a ON a.id = s.response_id
"""

# `text` is the JSON of a list of requests, each a list of responses.  Text that the database's
# JSON functions refuse (NaN) counts as one response.
RESPONSES_SQLITE = """
CREATE VIEW responses AS
SELECT s.evaluation_id || ':' || s.position AS sample, s.evaluation_id AS evaluation, s.position,
  0 AS request, 0 AS repeat, a.text AS response
FROM sample s JOIN response a ON a.id = s.response_id
WHERE NOT a.is_json
UNION ALL
SELECT s.evaluation_id || ':' || s.position, s.evaluation_id, s.position, q.key, p.key,
  CASE p.type WHEN 'text' THEN p.value ELSE s.list -> p.fullkey END
FROM (
  SELECT n.evaluation_id, n.position,
    CASE WHEN json_valid(a.text) THEN a.text ELSE json_array(json_array(a.text)) END AS list
  FROM sample n JOIN response a ON a.id = n.response_id
  WHERE a.is_json
) s,
  json_each(s.list) q,
  json_each(s.list, q.fullkey) p
"""

# NaN, Infinity and the escapes of NUL and of lone surrogates are JSON to Python and not to
# PostgreSQL; inside strings the first two are harmless, so only trying tells.
FUNCTION = """
CREATE FUNCTION rescore_json(value text) RETURNS json
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT AS $$
BEGIN
  -- jsonb refuses what can't become text as well.
  PERFORM value::jsonb;
  RETURN value::json;
EXCEPTION WHEN others THEN
  RETURN json_build_array(json_build_array(value));
END $$
"""

RESPONSES_POSTGRESQL = """
CREATE VIEW responses AS
SELECT s.evaluation_id || ':' || s.position AS sample, s.evaluation_id AS evaluation, s.position,
  CAST(0 AS BIGINT) AS request, CAST(0 AS BIGINT) AS repeat, a.text AS response
FROM sample s JOIN response a ON a.id = s.response_id
WHERE NOT a.is_json
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
FROM sample s
JOIN response a ON a.id = s.response_id,
  json_array_elements(
    CASE WHEN a.text ~ '\\\\u|NaN|Infinity' THEN rescore_json(a.text) ELSE CAST(a.text AS json) END
  ) WITH ORDINALITY q (value, n),
  json_array_elements(
    CASE json_typeof(q.value) WHEN 'array' THEN q.value ELSE json_build_array(q.value) END
  ) WITH ORDINALITY p (value, n)
WHERE a.is_json
"""

SCORES = """
CREATE VIEW scores AS
SELECT v.evaluation_id || ':' || o.position AS sample, v.evaluation_id AS evaluation,
  e.run_id AS run, r.model, nullif(r.date, '') AS date, t.name AS task, c.name AS scoring,
  v.scoring_id, f.scored_evaluation_id AS scored_evaluation, f.name AS filter, a.metric,
  o.position,
  (SELECT s.logged_doc_id FROM sample s
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
ON_POSTGRESQL = (SAMPLES_POSTGRESQL, FUNCTION, RESPONSES_POSTGRESQL)
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
    """Create the views."""
    is_postgresql = op.get_context().dialect.name == "postgresql"
    words = POSTGRESQL if is_postgresql else SQLITE
    for view in COMMON:
        op.execute(view.format(**words))
    for statement in ON_POSTGRESQL if is_postgresql else ON_SQLITE:
        op.execute(statement)


def downgrade() -> None:
    """Drop the views."""
    for name in NAMES:
        op.execute(f"DROP VIEW {name}")
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION rescore_json(text)")
