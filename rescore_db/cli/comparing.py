"""`rescore compare` and `rescore history`: sides against each other, values over time."""

from __future__ import annotations

from typing import Annotated

import typer

from rescore_db.cli.opening import opened
from rescore_db.cli.options import (
    AsCsv,
    AsJson,
    AsMarkdown,
    Db,
    Subset,
    Tasks,
    Where,
    chosen,
    names,
)

Sides = Annotated[
    list[str],
    typer.Argument(
        metavar="SIDE",
        help="Two or more sides: RUN, RUN/FILTER, RUN:SCORING or RUN:SCORING/FILTER.",
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="SIDE",
        show_default=False,
        help="Compare every side with this one. [default: the first]",
    ),
]
FilterNames = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        show_default=False,
        help="Only this filter; may be given again.",
    ),
]
MetricNames = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="METRIC",
        show_default=False,
        help="Only this metric; may be given again.",
    ),
]
OneTask = Annotated[
    str, typer.Option("--task", metavar="TASK", show_default=False, help="A task or a group.")
]
Scoring = Annotated[
    str, typer.Option("--scoring", metavar="NAME", help="Which scoring of each run.")
]
OneFilter = Annotated[
    str | None,
    typer.Option("--filter", metavar="FILTER", show_default=False, help="Only this filter."),
]
OneMetric = Annotated[
    str | None,
    typer.Option("--metric", metavar="METRIC", show_default=False, help="Only this metric."),
]
OneModel = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", show_default=False, help="Only this model's runs."),
]


def compare(
    sides: Sides,
    baseline: Baseline = None,
    task: Tasks = None,
    filter_names: FilterNames = None,
    metric: MetricNames = None,
    subset: Subset = None,
    where: Where = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Compare models, filters or scorings, doc by doc.

    All values are over the docs that both sides answered; `b - a` is their difference, with its
    paired standard error and 95% interval.
    """
    from rescore_db.compare import CompareOptions
    from rescore_db.records import CompareRow
    from rescore_db.report.render import show
    from rescore_db.report.summaries import compare_footer

    form = chosen(as_json, as_csv, as_markdown)
    options = CompareOptions(
        baseline=baseline,
        tasks=names(task),
        filters=tuple(filter_names or ()),
        metrics=tuple(metric or ()),
        subset=subset,
        where=where,
    )
    with opened(db) as store:
        rows = store.compare(*sides, options=options)
    show(rows, form, of=CompareRow, footer=compare_footer(rows))


def history(
    task: OneTask,
    scoring: Scoring = "logged",
    filter_name: OneFilter = None,
    metric: OneMetric = None,
    model: OneModel = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    as_markdown: AsMarkdown = False,
    db: Db = None,
) -> None:
    """Show every run's value of a task by date, with its change."""
    from rescore_db.records import HistoryRow
    from rescore_db.report.render import show
    from rescore_db.report.summaries import warnings_footer

    form = chosen(as_json, as_csv, as_markdown)
    with opened(db) as store:
        rows = store.history(task, scoring=scoring, filter=filter_name, metric=metric, model=model)
    show(rows, form, of=HistoryRow, footer=warnings_footer(rows))
