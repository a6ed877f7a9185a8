"""What each row class shows: one declaration, read by every format.

JSON and CSV hold every field of a row under its own name.  Tables hold the columns that have a
title, as far as they say something; a listing's groups become headings, so that a model's name is
not repeated on every line.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

from rescore_db import records
from rescore_db.report import values
from rescore_db.report.column_kinds import (
    Column,
    Listing,
    count,
    date,
    exact,
    hidden,
    number,
    size,
    spread,
    tags,
    text,
    undeclared,
)
from rescore_db.report.recipes import RECIPE_LISTINGS
from rescore_db.report.values import gist, last_asked, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable

ARROW: Final = "→"  # stands between two filters that are compared

STATUS_STYLES: Final = {
    "identical": "green",
    "complete": "green",
    "ulp": "green",
    "different": "bold red",
    "drift": "red",
    "failed": "bold red",
    "unsupported": "yellow",
    "nondeterministic": "yellow",
    "pending": "yellow",
}


def listing_of(row_class: type) -> Listing:
    """Return the declaration of a row class; one that has none shows each field as text."""
    if row_class in LISTINGS:
        return LISTINGS[row_class]
    if not is_dataclass(row_class):
        msg = f"{row_class} is no row class"
        raise TypeError(msg)
    return Listing(columns=tuple(map(undeclared, fields(row_class))))


def _has(key: str) -> Callable[[Any], bool]:
    return lambda row: bool(getattr(row, key))


def _interval(row: records.CompareRow) -> str:
    if row.ci_low is None or row.ci_high is None:
        return ""
    return f"[{values.number(row.ci_low, signed=True)}, {values.number(row.ci_high, signed=True)}]"


def _task(row: Any) -> str:  # noqa: ANN401 - rows of scores and of verdicts
    name = plain_text(row.task)
    return f"{name} (group)" if row.is_group else name


def _run_heading(row: Any) -> str:  # noqa: ANN401 - rows that know their run and model
    return f"run {row.run} · {plain_text(row.model)}"


def metric_name(row: records.CompareRow) -> str:
    """Return the metric as lm-eval's results name it, "exact_match,strict-match"."""
    is_told = row.filter in {"none", ""} or ARROW in row.filter
    return plain_text(row.metric if is_told else f"{row.metric},{row.filter}")


def _sides(row: records.CompareRow) -> str:
    """Return the two sides; where two filters are compared, each with its own."""
    a, arrow, b = row.filter.partition(ARROW)
    names = (f"{row.run_a}/{a}", f"{row.run_b}/{b}") if arrow else (row.run_a, row.run_b)
    return f"a = {plain_text(names[0])}\nb = {plain_text(names[1])}"


_NAME: Final[dict[str, Any]] = {"least": 12, "keep": "both"}
_STATUS: Final[dict[str, Any]] = {"styles": STATUS_STYLES}

# ---------------------------------------------------------------------------------- declarations

LISTINGS: Final[dict[type, Listing]] = {
    **RECIPE_LISTINGS,
    records.RunRow: Listing(
        columns=(
            text("id", right=True),
            text("name", worth=_has("name"), **_NAME),
            text("model", **_NAME),
            date("date"),
            text("version", right=True, worth=lambda row: row.version > 1),
            text("lm_eval_version", "lm-eval", spare=1),
            count("evaluations"),
            count("samples"),
            count("scorings", spare=1),
            text("step", right=True, worth=lambda row: row.step is not None),
            tags("tags", worth=_has("tags"), least=8, most=40, spare=1),
            text("notes", worth=_has("notes"), least=10, most=60, spare=1),
        ),
        empty="no runs yet; `rescore ingest PATH` takes them in",
    ),
    records.EvaluationRow: Listing(
        columns=(
            text("id", right=True),
            text("task", **_NAME),
            text("task_version", "version"),
            Column(
                key="task_hash",
                title="hash",
                cell=lambda row: plain_text(row.task_hash)[:12],
                spare=2,
            ),
            count("samples"),
            text("num_fewshot", "few-shot", right=True, spare=1),
            text("incomplete", worth=_has("incomplete")),
            count("hash_mismatches", "odd hashes", worth=_has("hash_mismatches")),
            count("quarantined", "lines left out", worth=_has("quarantined")),
            text("notes", worth=_has("notes"), least=10, most=60),
        ),
        empty="no evaluations",
    ),
    records.TaskRow: Listing(
        columns=(
            text("id", right=True),
            text("name", **_NAME),
            text("version"),
            Column(key="hash", title="hash", cell=lambda row: plain_text(row.hash)[:12], spare=1),
            text("output_type", "output type", least=12, spare=1),
            count("evaluations"),
            count("docs"),
            hidden("differs_from"),
            hidden("differing"),
        ),
        empty="no tasks yet; `rescore ingest PATH` takes runs in",
    ),
    records.SampleRow: Listing(
        columns=(
            text("id"),
            hidden("run"),
            hidden("model"),
            hidden("task"),
            hidden("position"),
            text("doc_id", right=True),
            hidden("doc_key"),
            Column(key="doc", title="doc", cell=lambda row: gist(row.doc), least=14, most=48),
            Column(
                key="prompt",
                title="prompt",
                cell=lambda row: last_asked(row.prompt),
                least=12,
                most=32,
                keep="end",
            ),
            text("target", least=6, most=24),
            text("response", least=14, most=48),
        ),
        group=("run", "model", "task"),
        heading=lambda row: f"{_run_heading(row)} · {plain_text(row.task)}",
        empty="no such samples",
    ),
    records.SampleScore: Listing(
        columns=(
            text("scoring", **_NAME),
            text("filter", **_NAME),
            text("metric", **_NAME),
            number("value", least=8, most=40),
            text("filtered", least=8, most=40),
        ),
        empty="no scores",
    ),
    records.ScoringRow: Listing(
        columns=(
            text("id", right=True),
            text("name", **_NAME),
            text("run", right=True),
            text("model", **_NAME),
            date("date", spare=1),
            text("kind"),
            text("subset", worth=_has("subset"), least=8),
            text("status", **_STATUS),
            count("evaluations"),
            count("n"),
            date("created_at", "made", spare=1),
        ),
        empty="no scorings yet; `rescore ingest PATH` takes runs with their logged scores in",
    ),
    records.ScoredRow: Listing(
        columns=(
            text("evaluation", right=True),
            text("task", **_NAME),
            text("status", **_STATUS),
            text("reason", worth=_has("reason"), least=10, most=60),
            count("n"),
            text("selection", worth=_has("selection"), least=8, most=30),
            text("subset", worth=_has("subset"), least=8),
            text("recipe", worth=_has("recipe"), spare=2),
            text("environment", right=True, worth=_has("environment"), spare=1),
            count("quarantined", "lines left out", worth=_has("quarantined")),
            text("warnings", worth=_has("warnings"), least=10, most=60),
        ),
        empty="nothing was scored",
    ),
    records.SubsetRow: Listing(
        columns=(
            text("id", right=True),
            text("name", **_NAME),
            text("version", right=True),
            count("docs"),
            text("predicate", "where", least=16, most=60),
            text("run", worth=_has("run"), **_NAME),
            date("created_at", "made", spare=1),
        ),
        empty="no subsets yet; `rescore subset create NAME --where …` makes one",
    ),
    records.ScoreRow: Listing(
        columns=(
            hidden("scoring"),
            hidden("run"),
            hidden("model"),
            Column(key="task", title="task", cell=_task, **_NAME),
            text("filter", **_NAME),
            text("metric", **_NAME),
            number("value"),
            spread("stderr"),
            count("n"),
            text("status", worth=lambda row: row.status != "complete", **_STATUS),
            hidden("reason"),
            hidden("is_group"),
            hidden("known"),
            hidden("warnings"),
        ),
        group=("run", "model", "scoring"),
        heading=lambda row: f"{_run_heading(row)} · scoring {plain_text(row.scoring)}",
        empty="nothing to score",
    ),
    records.VerifyRow: Listing(
        columns=(
            hidden("run", right=True),
            hidden("model", **_NAME),
            Column(key="task", title="task", cell=_task, **_NAME),
            text("filter", **_NAME),
            text("status", **_STATUS),
            hidden("reason"),
            count("n"),
            hidden("differences"),
            count("n_differences", "differences", worth=_has("n_differences")),
            hidden("is_group"),
        ),
        group=("run", "model"),
        heading=_run_heading,
        empty="nothing to verify; `rescore ingest PATH` takes runs in",
    ),
    records.Difference: Listing(
        columns=(
            text("where", least=10),
            text("what", least=10),
            exact("logged", least=12, most=60),
            exact("recomputed", least=12, most=60),
        ),
    ),
    records.CompareRow: Listing(
        columns=(
            hidden("run_a"),
            hidden("run_b"),
            Column(key="task", title="task", cell=_task, least=10, keep="both"),
            hidden("filter"),
            Column(key="metric", title="metric", cell=metric_name, least=18, keep="both"),
            count("n"),
            number("a"),
            number("b"),
            number("diff", "b − a", signed=True),  # noqa: RUF001 - a minus sign
            spread("stderr", spare=4),
            Column(key="ci_low", title="95% interval", cell=_interval, right=True, spare=1),
            hidden("ci_high"),
            text("test", worth=_has("test"), spare=6),
            number("p", worth=lambda row: row.p is not None),
            number("p_adjusted", "p adj.", worth=lambda row: row.p_adjusted is not None),
            count("improved", "better"),
            count("regressed", "worse"),
            count("unchanged", "same", spare=5),
            count("unpaired", worth=_has("unpaired"), spare=2),
            text("verdict", worth=_has("verdict"), spare=3),
            hidden("warnings"),
            hidden("is_group"),
            hidden("only"),
        ),
        group=("run_a", "run_b"),
        heading=_sides,
        empty="the sides share no metric of any task",
    ),
    records.HistoryRow: Listing(
        columns=(
            text("run", right=True),
            text("model", **_NAME),
            date("date"),
            text("step", right=True, worth=lambda row: row.step is not None),
            text(
                "num_fewshot",
                "few-shot",
                right=True,
                worth=lambda row: row.date is None and row.num_fewshot is not None,
                spare=1,
            ),
            text("scoring", worth=lambda row: row.scoring != "logged", least=10),
            hidden("task"),
            hidden("filter"),
            hidden("metric"),
            number("value"),
            spread("stderr"),
            count("n"),
            number("change", signed=True),
            hidden("warnings"),
        ),
        group=("task", "filter", "metric"),
        heading=lambda row: " · ".join(map(plain_text, (row.task, row.filter, row.metric))),
        empty="no run has such a value",
    ),
    records.TableSpace: Listing(
        columns=(
            text("name", "table", **_NAME),
            count("rows"),
            size("bytes", worth=lambda row: row.bytes is not None),
            size("index_bytes", "indexes", worth=lambda row: row.bytes is not None),
        ),
        empty="no tables",
    ),
    records.QuarantineRow: Listing(
        columns=(
            hidden("file"),
            text("line", right=True),
            hidden("task"),
            hidden("run", right=True),
            hidden("evaluation"),
            text("reason", least=20),
            count("size", "bytes"),
        ),
        group=("run", "task", "file"),
        heading=lambda row: f"run {row.run} · {plain_text(row.task)} · {plain_text(row.file)}",
        empty="no line is in the quarantine",
    ),
    records.Problem: Listing(
        columns=(text("where", least=10), text("what", least=20)),
        empty="no problems",
    ),
}
