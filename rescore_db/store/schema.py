"""The tables.  Alembic owns them: a store is made by the migrations, never from this file.

Integer ids are assigned by the writer for content tables (`doc`, `context`, `target`,
`request`), which are written in bulk, and by the database for the others.  Hashes are data with a
UNIQUE index.  A text column that a database can't hold exactly has a twin, `exact` (see
`json_exact`).  Columns named `json` or ending in `_json` hold JSON text as lm-eval wrote it.

Tables that are written in bulk declare no foreign keys: checking them row by row cost more than
the rows themselves.  `bulk_references` names what their columns refer to; `db check` looks for
rows that refer to nothing.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from rescore_db.store.columns import Id, QueryJson, bulk_ref, digest, flag, new_id, ref, text, whole

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _content(name: str, *more: Column[Any]) -> Table:
    """A table that holds each distinct text once."""
    return Table(
        name,
        metadata,
        new_id(assigned=True),
        digest(),
        flag("is_json"),  # False: a string.  True: any other value, `text` is its JSON
        text("text"),
        text("exact", null=True),
        *more,
    )


source_file = Table(
    "source_file",
    metadata,
    new_id(),
    text("path"),
    Column("digest", LargeBinary, nullable=False),  # as `evaluation.digest`
    whole("size"),  # bytes, uncompressed
    text("read_at"),  # UTC, ISO 8601
)

run = Table(
    "run",
    metadata,
    new_id(),
    text("model"),
    text("date"),  # ISO 8601 as the evaluating machine's clock said, "" where nothing tells
    # What tells undated runs of one model apart: the results file's name; "" for dated ones.
    text("origin"),
    Column("version", Integer, nullable=False),  # 1, 2 … of the same (model, date, origin)
    text("name", null=True),
    whole("step", null=True),  # of training, as users say
    text("lm_eval_version", null=True),
    text("results_json", null=True),  # the results file, exact; None where there was none
    Column("results_digest", LargeBinary, nullable=True),
    text("notes_json"),  # list of texts: what was missing or odd at ingest
    text("ingested_at"),
    UniqueConstraint("model", "date", "origin", "version"),
    UniqueConstraint("name"),
)

task = Table(
    "task",
    metadata,
    new_id(),
    text("name"),
    text("version"),  # lm-eval's metadata version as JSON text, "null" where unknown
    digest(unique=False),  # of the definition, see harness_log.definition
    text("output_type", null=True),
    text("definition_json", null=True),  # the config without what differs by model
    UniqueConstraint("name", "hash"),
)

evaluation = Table(
    "evaluation",
    metadata,
    new_id(),
    ref("run_id", "run"),
    ref("task_id", "task"),
    ref("source_file_id", "source_file", null=True),  # None: aggregates only
    # What tells the samples file from others, see `harness_log.records`: 33 bytes; the 32 bytes
    # of revisions before 0003 are the SHA-256 of the uncompressed file.
    Column("digest", LargeBinary, nullable=True),
    text("config_json", null=True),  # exact
    text("layout_json"),  # how the samples file's lines looked, for export
    whole("n_samples"),
    whole("n_lines"),
    whole("n_original", null=True),  # lm-eval's n-samples.original
    whole("n_effective", null=True),  # lm-eval's n-samples.effective
    whole("num_fewshot", null=True),
    whole("n_hash_mismatches"),  # samples with a logged hash that its content does not have
    flag("hashes_logged"),
    flag("incomplete"),
    text("notes_json"),
    UniqueConstraint("run_id", "task_id"),
    Index(None, "task_id"),
)

doc = Table(
    "doc",
    metadata,
    new_id(assigned=True),
    digest(),  # lm-eval's formula over the content, see json_exact.doc_hash
    text("text"),  # JSON as logged
    # For predicates; SQLite: NULL where `text` is already JSON that SQLite reads.
    Column("body", QueryJson, nullable=True),
)

context = _content("context")  # hash: SHA-256 of the text (or of its JSON)
target = _content("target")

request = Table(
    "request",
    metadata,
    new_id(assigned=True),
    # SHA-256 of the line's head, `{"doc_id": … "arguments": {…}` as lm-eval writes it, and of the
    # three logged hashes as they stand: one look-up finds all that a model is not part of.
    digest(),
    bulk_ref("doc_id"),
    bulk_ref("target_id"),
    whole("logged_doc_id", null=True),  # lm-eval's doc_id, None where it is no 64-bit integer
    bulk_ref("context_id", null=True),  # arg_0 of the first part, None where there is no part
    text("rest_json", null=True),  # list of what follows each part's context: [[arg_1, …], …]
    text("exact", null=True),  # JSON of the arguments where they have no regular parts
    Column("prompt_hash", LargeBinary, nullable=True),  # lm-eval's, of the first context
    # Whether the logged hashes are those of the content; None: there is one that can't be told.
    Column("hashes_fit", Boolean(create_constraint=False), nullable=True),
    Index(None, "doc_id"),
    Index(None, "context_id"),
)

request_part = Table(
    "request_part",  # only the parts whose context is not that of the first part
    metadata,
    bulk_ref("request_id", primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),  # gen_args_<index>
    bulk_ref("context_id"),
    Index(None, "context_id"),
    sqlite_with_rowid=False,
)

sample = Table(
    "sample",
    metadata,
    bulk_ref("evaluation_id", primary_key=True),
    Column("position", Id, primary_key=True, autoincrement=False),  # 0-based, file order
    bulk_ref("doc_id"),
    Column("nth", Integer, nullable=False),  # 0 for a doc's first occurrence in the evaluation
    bulk_ref("request_id"),
    flag("response_is_json"),  # False: the one response of the one request, as text
    text("response"),  # else the JSON of the field `resps`
    text("response_exact", null=True),
    Index(None, "doc_id"),
    sqlite_with_rowid=False,
)

line = Table(
    "line",
    metadata,
    bulk_ref("evaluation_id", primary_key=True),
    Column("filter_index", Integer, primary_key=True, autoincrement=False),
    Column("position", Id, primary_key=True, autoincrement=False),
    whole("number"),  # 0-based rank among the file's records
    text("json", null=True),  # the whole line, where its columns do not give it back
    sqlite_with_rowid=False,
)

recipe = Table("recipe", metadata, new_id(), digest(), text("content_json"), text("created_at"))

recipe_config = Table(
    "recipe_config",  # what the definition's hash in a recipe stands for
    metadata,
    ref("recipe_id", "recipe", primary_key=True),
    text("config_json"),  # the task's config as lm-eval logs it; scorings before 0004 have none
)

named_recipe = Table(
    "named_recipe",  # never changes: a name stands for one way of scoring
    metadata,
    new_id(),
    text("name"),
    digest(unique=False),  # of `content_json`
    text("content_json"),  # list of task patterns with their options, files read
    text("places_json"),  # where the files are that could not be read into it, of each entry
    text("created_at"),
    UniqueConstraint("name"),
)

environment = Table("environment", metadata, new_id(), digest(), text("content_json"))

scoring = Table(
    "scoring",
    metadata,
    new_id(),
    ref("run_id", "run"),
    text("kind"),
    text("name"),
    digest(unique=False),  # of `how_json`
    text("how_json"),  # definition source, overrides, selection rule
    Column("attempt", Integer, nullable=False),
    text("groups_json", null=True),  # the groups that were aggregated, rescored ones only
    text("created_at"),
    UniqueConstraint("run_id", "name"),
    UniqueConstraint("run_id", "hash", "attempt"),
    CheckConstraint("kind IN ('logged', 'rescored')", name="kind"),
)

scored_evaluation = Table(
    "scored_evaluation",
    metadata,
    new_id(),
    ref("scoring_id", "scoring"),
    ref("evaluation_id", "evaluation"),
    ref("recipe_id", "recipe", null=True),  # None: logged
    ref("environment_id", "environment", null=True),
    text("selection"),  # position ranges "0-9,12"; "" means all
    text("subset", null=True),  # what the user called the selection
    text("status"),
    whole("n"),  # samples selected
    text("reason", null=True),
    text("warnings_json"),
    UniqueConstraint("scoring_id", "evaluation_id"),
    CheckConstraint(
        "status IN ('pending', 'complete', 'nondeterministic', 'unsupported', 'failed')",
        name="status",
    ),
    Index(None, "evaluation_id"),
)

scored_shard = Table(
    "scored_shard",
    metadata,
    ref("scored_evaluation_id", "scored_evaluation", primary_key=True),
    Column("start", Id, primary_key=True, autoincrement=False),  # index into the selection
    whole("stop"),
    text("report_json"),  # warnings, and the errors of samples that can't be scored
)

scored_filter = Table(
    "scored_filter",
    metadata,
    new_id(),
    ref("scored_evaluation_id", "scored_evaluation"),
    Column("index", Integer, nullable=False),
    text("name"),
    whole("n"),  # samples that have it
    # True: every selected sample has it, and one without a row in `filtered_response` has the
    # first response of each request.  False: exactly the samples with a row have it.
    flag("complete"),
    UniqueConstraint("scored_evaluation_id", "name"),
)

filtered_response = Table(
    "filtered_response",
    metadata,
    bulk_ref("scored_filter_id", primary_key=True),
    Column("position", Id, primary_key=True, autoincrement=False),
    # False: one request whose filtered response is this string.  True: the JSON of the list.
    flag("is_json"),
    text("text"),
    text("exact", null=True),
    sqlite_with_rowid=False,
)

aggregate = Table(
    "aggregate",
    metadata,
    new_id(),
    ref("scored_filter_id", "scored_filter"),
    Column("index", Integer, nullable=False),
    text("metric"),
    # How a score's number becomes the value that aggregation needs, see records.ScoreKind.
    text("kind"),
    whole("n"),  # samples that have a score
    Column("value", Double, nullable=True),
    text("value_exact", null=True),  # JSON where `value` loses something
    Column("stderr", Double, nullable=True),
    text("stderr_exact", null=True),  # JSON, "N/A" as lm-eval writes it included
    Column("higher_is_better", Boolean(create_constraint=False), nullable=True),
    UniqueConstraint("scored_filter_id", "metric"),
)

score = Table(
    "score",
    metadata,
    bulk_ref("aggregate_id", primary_key=True),
    Column("position", Id, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=True),  # None: not one number, see `exact`
    text("exact", null=True),  # typed JSON where `value` and the metric's kind lose something
    sqlite_with_rowid=False,
)

group_metric = Table(
    "group_metric",
    metadata,
    new_id(),
    ref("scoring_id", "scoring"),
    text("group"),
    text("filter"),
    text("metric"),
    whole("n", null=True),
    Column("value", Double, nullable=True),
    text("value_exact", null=True),
    Column("stderr", Double, nullable=True),
    text("stderr_exact", null=True),
    UniqueConstraint("scoring_id", "group", "filter", "metric"),
)

quarantine = Table(
    "quarantine",  # lines that `ingest --skip-bad-lines` left out
    metadata,
    new_id(),
    ref("evaluation_id", "evaluation"),
    whole("number"),  # 1-based line number in the file
    text("reason"),
    whole("size"),  # bytes of the line
    Column("content", LargeBinary, nullable=False),  # the line as it stands, or how it begins
    UniqueConstraint("evaluation_id", "number"),
)

deletion = Table(
    "deletion",  # what users deleted; a new row tells writers that ids they remember may be gone
    metadata,
    new_id(),
    text("what"),
    text("deleted_at"),  # UTC, ISO 8601
)

run_tag = Table(
    "run_tag",
    metadata,
    ref("run_id", "run", primary_key=True),
    Column("tag", Text, primary_key=True),
    sqlite_with_rowid=False,
)

subset = Table("subset", metadata, new_id(), text("name"), UniqueConstraint("name"))

subset_version = Table(
    "subset_version",
    metadata,
    new_id(),
    ref("subset_id", "subset"),
    Column("version", Integer, nullable=False),
    text("predicate"),
    text("run", null=True),  # the run the condition was asked of, None for any
    whole("n"),
    text("created_at"),
    UniqueConstraint("subset_id", "version"),
)

subset_doc = Table(
    "subset_doc",
    metadata,
    Column("subset_version_id", Id, primary_key=True, autoincrement=False),
    Column("task_name", Text, primary_key=True),
    Column("doc_id", Id, primary_key=True, autoincrement=False),
    ForeignKeyConstraint(["subset_version_id"], ["subset_version.id"]),
    ForeignKeyConstraint(["doc_id"], ["doc.id"]),
    Index(None, "doc_id"),
    sqlite_with_rowid=False,
)

bulk_references: Final[dict[str, dict[str, str]]] = {
    "request": {"doc_id": "doc", "target_id": "target", "context_id": "context"},
    "request_part": {"request_id": "request", "context_id": "context"},
    "sample": {"evaluation_id": "evaluation", "doc_id": "doc", "request_id": "request"},
    "line": {"evaluation_id": "evaluation"},
    "filtered_response": {"scored_filter_id": "scored_filter"},
    "score": {"aggregate_id": "aggregate"},
}
"""table → column → the table whose `id` it holds, where the database is not told."""
