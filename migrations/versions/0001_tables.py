"""The tables.  There were none before.

Revision: 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
QUERY_JSON = postgresql.JSONB().with_variant(sa.Text(), "sqlite")

TABLES = (
    "source_file",
    "run",
    "task",
    "evaluation",
    "doc",
    "context",
    "target",
    "response",
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
    "subset",
    "subset_version",
    "subset_doc",
)

# Columns that hold long texts.
LONG = (
    ("doc", "text"),
    ("doc", "body"),
    ("context", "text"),
    ("target", "text"),
    ("response", "text"),
    ("filtered_response", "text"),
    ("request_part", "rest_json"),
    ("request", "exact"),
    ("line", "json"),
    ("run", "results_json"),
    ("task", "definition_json"),
    ("evaluation", "config_json"),
    ("evaluation", "layout_json"),
    ("recipe", "content_json"),
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


def upgrade() -> None:
    """Create every table."""
    create_runs()
    create_content()
    create_samples()
    create_scorings()
    create_scores()
    create_subsets()
    if op.get_context().dialect.name == "postgresql":
        op.execute(
            COMPRESS.format(
                statements="".join(
                    f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION lz4; "
                    for table, column in LONG
                )
            )
        )


def downgrade() -> None:
    """Drop every table."""
    for table in reversed(TABLES):
        op.drop_table(table)


def create_runs() -> None:
    """Files, runs, task definitions and evaluations."""
    op.create_table(
        "source_file",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("size", ID, nullable=False),
        sa.Column("read_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_file")),
    )
    op.create_table(
        "run",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("date", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("lm_eval_version", sa.Text(), nullable=True),
        sa.Column("results_json", sa.Text(), nullable=True),
        sa.Column("results_digest", sa.LargeBinary(), nullable=True),
        sa.Column("notes_json", sa.Text(), nullable=False),
        sa.Column("ingested_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("model", "date", "version", name=op.f("uq_run_model_date_version")),
        sa.UniqueConstraint("name", name=op.f("uq_run_name")),
    )
    op.create_table(
        "task",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("output_type", sa.Text(), nullable=True),
        sa.Column("definition_json", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("name", "hash", name=op.f("uq_task_name_hash")),
    )
    op.create_table(
        "evaluation",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("run_id", ID, autoincrement=False, nullable=False),
        sa.Column("task_id", ID, autoincrement=False, nullable=False),
        sa.Column("source_file_id", ID, autoincrement=False, nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("config_json", sa.Text(), nullable=True),
        sa.Column("layout_json", sa.Text(), nullable=False),
        sa.Column("n_samples", ID, nullable=False),
        sa.Column("n_lines", ID, nullable=False),
        sa.Column("n_original", ID, nullable=True),
        sa.Column("n_effective", ID, nullable=True),
        sa.Column("num_fewshot", ID, nullable=True),
        sa.Column("n_hash_mismatches", ID, nullable=False),
        sa.Column("hashes_logged", sa.Boolean(), nullable=False),
        sa.Column("incomplete", sa.Boolean(), nullable=False),
        sa.Column("notes_json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_evaluation_run_id")),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name=op.f("fk_evaluation_source_file_id")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_evaluation_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluation")),
        sa.UniqueConstraint("run_id", "task_id", name=op.f("uq_evaluation_run_id_task_id")),
    )
    op.create_index(op.f("ix_evaluation_task_id"), "evaluation", ["task_id"], unique=False)


def create_content() -> None:
    """Each text once."""
    op.create_table(
        "doc",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("body", QUERY_JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_doc")),
        sa.UniqueConstraint("hash", name=op.f("uq_doc_hash")),
    )
    op.create_table(
        "context",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("is_json", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context")),
        sa.UniqueConstraint("hash", name=op.f("uq_context_hash")),
    )
    op.create_table(
        "target",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("is_json", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_target")),
        sa.UniqueConstraint("hash", name=op.f("uq_target_hash")),
    )
    op.create_table(
        "response",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("is_json", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_response")),
        sa.UniqueConstraint("hash", name=op.f("uq_response_hash")),
    )
    op.create_table(
        "request",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("prompt_hash", sa.LargeBinary(), nullable=True),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request")),
        sa.UniqueConstraint("hash", name=op.f("uq_request_hash")),
    )
    op.create_table(
        "request_part",
        sa.Column("request_id", ID, autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("context_id", ID, autoincrement=False, nullable=False),
        sa.Column("rest_json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["context_id"], ["context.id"], name=op.f("fk_request_part_context_id")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["request.id"], name=op.f("fk_request_part_request_id")
        ),
        sa.PrimaryKeyConstraint("request_id", "index", name=op.f("pk_request_part")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_request_part_context_id"), "request_part", ["context_id"], unique=False
    )


def create_samples() -> None:
    """What was asked and answered."""
    op.create_table(
        "sample",
        sa.Column("evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("doc_id", ID, autoincrement=False, nullable=False),
        sa.Column("nth", sa.Integer(), nullable=False),
        sa.Column("request_id", ID, autoincrement=False, nullable=False),
        sa.Column("response_id", ID, autoincrement=False, nullable=False),
        sa.Column("target_id", ID, autoincrement=False, nullable=False),
        sa.Column("logged_doc_id", ID, nullable=True),
        sa.ForeignKeyConstraint(["doc_id"], ["doc.id"], name=op.f("fk_sample_doc_id")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_sample_evaluation_id")
        ),
        sa.ForeignKeyConstraint(["request_id"], ["request.id"], name=op.f("fk_sample_request_id")),
        sa.ForeignKeyConstraint(
            ["response_id"], ["response.id"], name=op.f("fk_sample_response_id")
        ),
        sa.ForeignKeyConstraint(["target_id"], ["target.id"], name=op.f("fk_sample_target_id")),
        sa.PrimaryKeyConstraint("evaluation_id", "position", name=op.f("pk_sample")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_sample_doc_id"), "sample", ["doc_id"], unique=False)
    op.create_table(
        "line",
        sa.Column("evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("filter_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("number", ID, nullable=False),
        sa.Column("json", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_line_evaluation_id")
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "filter_index", "position", name=op.f("pk_line")),
        sqlite_with_rowid=False,
    )


def create_scorings() -> None:
    """Who scored what, and how."""
    op.create_table(
        "recipe",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("content_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipe")),
        sa.UniqueConstraint("hash", name=op.f("uq_recipe_hash")),
    )
    op.create_table(
        "environment",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("content_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_environment")),
        sa.UniqueConstraint("hash", name=op.f("uq_environment_hash")),
    )
    op.create_table(
        "scoring",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("run_id", ID, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("how_json", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("groups_json", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('logged', 'rescored')", name=op.f("ck_scoring_kind")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_scoring_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scoring")),
        sa.UniqueConstraint(
            "run_id", "hash", "attempt", name=op.f("uq_scoring_run_id_hash_attempt")
        ),
        sa.UniqueConstraint("run_id", "name", name=op.f("uq_scoring_run_id_name")),
    )
    op.create_table(
        "scored_evaluation",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("scoring_id", ID, autoincrement=False, nullable=False),
        sa.Column("evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("recipe_id", ID, autoincrement=False, nullable=True),
        sa.Column("environment_id", ID, autoincrement=False, nullable=True),
        sa.Column("selection", sa.Text(), nullable=False),
        sa.Column("subset", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("n", ID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("warnings_json", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'complete', 'nondeterministic', 'unsupported', 'failed')",
            name=op.f("ck_scored_evaluation_status"),
        ),
        sa.ForeignKeyConstraint(
            ["environment_id"], ["environment.id"], name=op.f("fk_scored_evaluation_environment_id")
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["evaluation.id"], name=op.f("fk_scored_evaluation_evaluation_id")
        ),
        sa.ForeignKeyConstraint(
            ["recipe_id"], ["recipe.id"], name=op.f("fk_scored_evaluation_recipe_id")
        ),
        sa.ForeignKeyConstraint(
            ["scoring_id"], ["scoring.id"], name=op.f("fk_scored_evaluation_scoring_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scored_evaluation")),
        sa.UniqueConstraint(
            "scoring_id",
            "evaluation_id",
            name=op.f("uq_scored_evaluation_scoring_id_evaluation_id"),
        ),
    )
    op.create_index(
        op.f("ix_scored_evaluation_evaluation_id"),
        "scored_evaluation",
        ["evaluation_id"],
        unique=False,
    )
    op.create_table(
        "scored_shard",
        sa.Column("scored_evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("start", ID, autoincrement=False, nullable=False),
        sa.Column("stop", ID, nullable=False),
        sa.Column("report_json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["scored_evaluation_id"],
            ["scored_evaluation.id"],
            name=op.f("fk_scored_shard_scored_evaluation_id"),
        ),
        sa.PrimaryKeyConstraint("scored_evaluation_id", "start", name=op.f("pk_scored_shard")),
    )


def create_scores() -> None:
    """Scores and what follows from them."""
    op.create_table(
        "scored_filter",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("scored_evaluation_id", ID, autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("n", ID, nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["scored_evaluation_id"],
            ["scored_evaluation.id"],
            name=op.f("fk_scored_filter_scored_evaluation_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scored_filter")),
        sa.UniqueConstraint(
            "scored_evaluation_id", "name", name=op.f("uq_scored_filter_scored_evaluation_id_name")
        ),
    )
    op.create_table(
        "filtered_response",
        sa.Column("scored_filter_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("is_json", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scored_filter_id"],
            ["scored_filter.id"],
            name=op.f("fk_filtered_response_scored_filter_id"),
        ),
        sa.PrimaryKeyConstraint("scored_filter_id", "position", name=op.f("pk_filtered_response")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "aggregate",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("scored_filter_id", ID, autoincrement=False, nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("n", ID, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("value_exact", sa.Text(), nullable=True),
        sa.Column("stderr", sa.Double(), nullable=True),
        sa.Column("stderr_exact", sa.Text(), nullable=True),
        sa.Column("higher_is_better", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scored_filter_id"], ["scored_filter.id"], name=op.f("fk_aggregate_scored_filter_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aggregate")),
        sa.UniqueConstraint(
            "scored_filter_id", "metric", name=op.f("uq_aggregate_scored_filter_id_metric")
        ),
    )
    op.create_table(
        "score",
        sa.Column("aggregate_id", ID, autoincrement=False, nullable=False),
        sa.Column("position", ID, autoincrement=False, nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("exact", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["aggregate_id"], ["aggregate.id"], name=op.f("fk_score_aggregate_id")
        ),
        sa.PrimaryKeyConstraint("aggregate_id", "position", name=op.f("pk_score")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "group_metric",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("scoring_id", ID, autoincrement=False, nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("n", ID, nullable=True),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("value_exact", sa.Text(), nullable=True),
        sa.Column("stderr", sa.Double(), nullable=True),
        sa.Column("stderr_exact", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["scoring_id"], ["scoring.id"], name=op.f("fk_group_metric_scoring_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_group_metric")),
        sa.UniqueConstraint(
            "scoring_id",
            "group",
            "filter",
            "metric",
            name=op.f("uq_group_metric_scoring_id_group_filter_metric"),
        ),
    )


def create_subsets() -> None:
    """Frozen sets of docs."""
    op.create_table(
        "subset",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subset")),
        sa.UniqueConstraint("name", name=op.f("uq_subset_name")),
    )
    op.create_table(
        "subset_version",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("subset_id", ID, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("predicate", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True),
        sa.Column("n", ID, nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subset_id"], ["subset.id"], name=op.f("fk_subset_version_subset_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subset_version")),
        sa.UniqueConstraint(
            "subset_id", "version", name=op.f("uq_subset_version_subset_id_version")
        ),
    )
    op.create_table(
        "subset_doc",
        sa.Column("subset_version_id", ID, autoincrement=False, nullable=False),
        sa.Column("task_name", sa.Text(), nullable=False),
        sa.Column("doc_id", ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["doc_id"], ["doc.id"], name=op.f("fk_subset_doc_doc_id")),
        sa.ForeignKeyConstraint(
            ["subset_version_id"],
            ["subset_version.id"],
            name=op.f("fk_subset_doc_subset_version_id"),
        ),
        sa.PrimaryKeyConstraint(
            "subset_version_id", "task_name", "doc_id", name=op.f("pk_subset_doc")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_subset_doc_doc_id"), "subset_doc", ["doc_id"], unique=False)
