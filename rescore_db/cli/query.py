"""`rescore sql`: read-only queries over the store's views."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import AsCsv, AsJson, AsMarkdown, Db, chosen

Query = Annotated[
    str,
    typer.Argument(
        metavar="QUERY",
        help="One SELECT; - reads it from standard input, and one that begins with a comment "
        "goes behind a lone --.",
    ),
]
MaxRows = Annotated[
    int, typer.Option("--max-rows", metavar="N", min=1, help="At most so many rows.")
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        metavar="S",
        min=0.001,
        show_default=False,
        help="Stop after so long. [default: $RESCORE_SQL_SECONDS, else 60]",
    ),
]


def sql(
    query: Query,
    max_rows: MaxRows = 1000,
    seconds: Seconds = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Query the store in its database's own SQL; read-only.

    Views: runs, evaluations, tasks, docs, samples, responses, scores, metrics, group_metrics,
    scorings, subsets, history.
    """
    from rescore_db.report.render import notice, show_query

    form = chosen(as_json, as_csv, as_markdown)
    text = typer.get_text_stream("stdin").read() if query == "-" else query
    with opened(db) as store:
        result = store.sql(text, max_rows=max_rows, seconds=seconds)
    show_query(result, form)
    if result.truncated:
        notice(f"note: only the first {len(result.rows):,} rows; --max-rows N shows more")
