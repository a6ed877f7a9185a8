"""What each row class shows: one declaration, read by every format.

JSON and CSV hold every field of a row under its own name.  Tables hold the columns that have a
title, as far as they say something; a listing's groups become headings, so that a model's name is
not repeated on every line.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from rescore_db import records
from rescore_db.report.values import count, gist, moment, number, plain_text, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Keep = Literal["start", "end", "both"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One field of a row class, and how tables show it.

    Attributes:
        key: the field; its name in JSON and CSV.
        title: its heading in tables; None keeps it out of them.
        cell: the cell's text, from the whole row.
        right: numbers stand at the right.
        least: the width, in cells, down to which it is cut where room is short; None never cuts.
        most: the width at which it is cut even where there is room.
        keep: what stays of a cell that is cut: its start, its end, or both.
        spare: left out where there is no room, the largest number first; 0 stays.
        worth: shown when this holds for any row; None means always.
        styles: rich styles by the cell's text.
    """

    key: str
    title: str | None
    cell: Callable[[Any], str]
    right: bool = False
    least: int | None = None
    most: int | None = None
    keep: Keep = "start"
    spare: int = 0
    worth: Callable[[Any], bool] | None = None
    styles: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All columns of one row class.

    Attributes:
        columns: one for each field, in the fields' order.
        heading: the lines above a row's table: rows with the same ones stand in one table, in
            the order in which they come.
        group: the fields that the heading tells, columns of their own where there are none.
        empty: what to say where there are no rows.
    """

    columns: tuple[Column, ...]
    heading: Callable[[Any], str] | None = None
    group: tuple[str, ...] = ()
    empty: str = "nothing to show"

    def flat_columns(self) -> tuple[Column, ...]:
        """Return the columns for one table without headings: the groups' fields first."""
        by_key = {column.key: column for column in self.columns}
        groups = [replace(by_key[key], title=by_key[key].title or key) for key in self.group]
        return (*groups, *(column for column in self.columns if column.key not in self.group))


def listing_of(row_class: type) -> Listing:
    """Return the declaration of a row class; one that has none shows each field as text."""
    if row_class in LISTINGS:
        return LISTINGS[row_class]
    if not is_dataclass(row_class):
        msg = f"{row_class} is no row class"
        raise TypeError(msg)
    return Listing(columns=tuple(map(_undeclared, fields(row_class))))


def free_columns(
    names: Sequence[str], rows: Sequence[tuple[Any, ...]], most: int | None = 60
) -> tuple[Column, ...]:
    """Return columns for rows that are plain tuples, such as a query's.

    Args:
        names: the columns' headings.
        rows: as many values as names each.
        most: the width at which texts are cut; None never cuts.
    """

    def is_numeric(index: int) -> bool:
        seen = [row[index] for row in rows if row[index] is not None]
        return bool(seen) and all(isinstance(value, int | float) for value in seen)

    return tuple(
        Column(
            key=name,
            title=plain_text(name),
            cell=lambda row, index=index: plain_text(row[index]),  # type: ignore[misc]
            right=(right := is_numeric(index)),
            least=None if right else 6,
            most=None if right else most,
        )
        for index, name in enumerate(names)
    )


# ------------------------------------------------------------------------------ kinds of columns


def _text(key: str, title: str | None = None, **how: Any) -> Column:  # noqa: ANN401
    return Column(
        key=key, title=title or key, cell=lambda row: plain_text(getattr(row, key)), **how
    )


def _count(key: str, title: str | None = None, **how: Any) -> Column:  # noqa: ANN401
    return Column(
        key=key, title=title or key, cell=lambda row: count(getattr(row, key)), right=True, **how
    )


def _number(key: str, title: str | None = None, *, signed: bool = False, **how: Any) -> Column:  # noqa: ANN401
    return Column(
        key=key,
        title=title or key,
        cell=lambda row: number(getattr(row, key), signed=signed),
        right=True,
        **how,
    )


def _spread(key: str, **how: Any) -> Column:  # noqa: ANN401
    return Column(
        key=key, title="± stderr", cell=lambda row: spread(getattr(row, key)), right=True, **how
    )


def _date(key: str, title: str | None = None, **how: Any) -> Column:  # noqa: ANN401
    return Column(key=key, title=title or key, cell=lambda row: moment(getattr(row, key)), **how)


def _exact(key: str, **how: Any) -> Column:  # noqa: ANN401
    """Show floats with all their digits: two that differ must look different."""

    def cell(row: Any) -> str:  # noqa: ANN401 - any row class
        value = getattr(row, key)
        return float.__repr__(value) if isinstance(value, float) else plain_text(value)

    return Column(key=key, title=key, cell=cell, **how)


def _hidden(key: str, **how: Any) -> Column:  # noqa: ANN401
    return Column(key=key, title=None, cell=lambda row: plain_text(getattr(row, key)), **how)


def _undeclared(field: Field[Any]) -> Column:
    """Show a field by its type, where any row has something in it."""

    def worth(row: Any) -> bool:  # noqa: ANN401 - any row class
        value = getattr(row, field.name)
        return value is not None and value is not False and value not in ("", ())

    if str(field.type).startswith("int"):
        return _text(field.name, right=True, worth=worth)
    return _text(field.name, worth=worth, least=6, most=60)


def _has(key: str) -> Callable[[Any], bool]:
    return lambda row: bool(getattr(row, key))


def _interval(row: records.CompareRow) -> str:
    if row.ci_low is None or row.ci_high is None:
        return ""
    return f"[{number(row.ci_low, signed=True)}, {number(row.ci_high, signed=True)}]"


def _task(row: Any) -> str:  # noqa: ANN401 - rows of scores and of verdicts
    name = plain_text(row.task)
    return f"{name} (group)" if row.is_group else name


def _run_heading(row: Any) -> str:  # noqa: ANN401 - rows that know their run and model
    return f"run {row.run} · {plain_text(row.model)}"


def _metric(row: records.CompareRow) -> str:
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
    records.RunRow: Listing(
        columns=(
            _text("id", right=True),
            _text("name", worth=_has("name"), **_NAME),
            _text("model", **_NAME),
            _date("date"),
            _text("version", right=True, worth=lambda row: row.version > 1),
            _text("lm_eval_version", "lm-eval", spare=1),
            _count("evaluations"),
            _count("samples"),
            _count("scorings", spare=1),
            _text("notes", worth=_has("notes"), least=10, most=60, spare=1),
        ),
        empty="no runs yet; `rescore ingest PATH` takes them in",
    ),
    records.TaskRow: Listing(
        columns=(
            _text("id", right=True),
            _text("name", **_NAME),
            _text("version"),
            Column(key="hash", title="hash", cell=lambda row: plain_text(row.hash)[:12], spare=1),
            _text("output_type", "output type", least=12, spare=1),
            _count("evaluations"),
            _count("docs"),
        ),
        empty="no tasks yet; `rescore ingest PATH` takes runs in",
    ),
    records.SampleRow: Listing(
        columns=(
            _text("id"),
            _hidden("run"),
            _hidden("model"),
            _hidden("task"),
            _hidden("position"),
            _text("doc_id", "doc_id", right=True),
            Column(key="doc", title="doc", cell=lambda row: gist(row.doc), least=14, most=48),
            _text("prompt", least=12, most=32, keep="end"),
            _text("target", least=6, most=24),
            _text("response", least=14, most=48),
        ),
        group=("run", "model", "task"),
        heading=lambda row: f"{_run_heading(row)} · {plain_text(row.task)}",
        empty="no such samples",
    ),
    records.SampleScore: Listing(
        columns=(
            _text("scoring", **_NAME),
            _text("filter", **_NAME),
            _text("metric", **_NAME),
            _number("value", least=8, most=40),
            _text("filtered", least=8, most=40),
        ),
        empty="no scores",
    ),
    records.ScoringRow: Listing(
        columns=(
            _text("id", right=True),
            _text("name", **_NAME),
            _text("run", right=True),
            _text("model", **_NAME),
            _date("date", spare=1),
            _text("kind"),
            _text("subset", worth=_has("subset"), least=8),
            _text("status", **_STATUS),
            _count("evaluations"),
            _count("n"),
            _date("created_at", "made", spare=1),
        ),
        empty="no scorings yet; `rescore ingest PATH` takes runs with their logged scores in",
    ),
    records.SubsetRow: Listing(
        columns=(
            _text("id", right=True),
            _text("name", **_NAME),
            _text("version", right=True),
            _count("docs"),
            _text("predicate", "where", least=16, most=60),
            _text("run", worth=_has("run"), **_NAME),
            _date("created_at", "made", spare=1),
        ),
        empty="no subsets yet; `rescore subset create NAME --where …` makes one",
    ),
    records.ScoreRow: Listing(
        columns=(
            _hidden("scoring"),
            _hidden("run"),
            _hidden("model"),
            Column(key="task", title="task", cell=_task, **_NAME),
            _text("filter", **_NAME),
            _text("metric", **_NAME),
            _number("value"),
            _spread("stderr"),
            _count("n"),
            _text("status", worth=lambda row: row.status != "complete", **_STATUS),
            _hidden("reason"),
            _hidden("is_group"),
            _hidden("known"),
        ),
        group=("run", "model", "scoring"),
        heading=lambda row: f"{_run_heading(row)} · scoring {plain_text(row.scoring)}",
        empty="nothing to score",
    ),
    records.VerifyRow: Listing(
        columns=(
            _hidden("run", right=True),
            _hidden("model", **_NAME),
            Column(key="task", title="task", cell=_task, **_NAME),
            _text("filter", **_NAME),
            _text("status", **_STATUS),
            _hidden("reason"),
            _count("n"),
            _hidden("differences"),
            _count("n_differences", "differences", worth=_has("n_differences")),
            _hidden("is_group"),
        ),
        group=("run", "model"),
        heading=_run_heading,
        empty="nothing to verify; `rescore ingest PATH` takes runs in",
    ),
    records.Difference: Listing(
        columns=(
            _text("where", least=10),
            _text("what", least=10),
            _exact("logged", least=12, most=60),
            _exact("recomputed", least=12, most=60),
        ),
    ),
    records.CompareRow: Listing(
        columns=(
            _hidden("run_a"),
            _hidden("run_b"),
            _text("task", least=10, keep="both"),
            _hidden("filter"),
            Column(key="metric", title="metric", cell=_metric, least=18, keep="both"),
            _count("n"),
            _number("a"),
            _number("b"),
            _number("diff", "b − a", signed=True),  # noqa: RUF001 - a minus sign
            _spread("stderr", spare=4),
            Column(key="ci_low", title="95% interval", cell=_interval, right=True, spare=1),
            _hidden("ci_high"),
            _text("test", worth=_has("test"), spare=6),
            _number("p", worth=lambda row: row.p is not None),
            _number("p_adjusted", "p adj.", worth=lambda row: row.p_adjusted is not None),
            _count("improved", "better"),
            _count("regressed", "worse"),
            _count("unchanged", "same", spare=5),
            _count("unpaired", worth=_has("unpaired"), spare=2),
            _text("verdict", worth=_has("verdict"), spare=3),
            _hidden("warnings"),
        ),
        group=("run_a", "run_b"),
        heading=_sides,
        empty="the sides share no metric of any task",
    ),
    records.HistoryRow: Listing(
        columns=(
            _text("run", right=True),
            _text("model", **_NAME),
            _date("date"),
            _text("scoring", worth=lambda row: row.scoring != "logged", least=10),
            _hidden("task"),
            _hidden("filter"),
            _hidden("metric"),
            _number("value"),
            _spread("stderr"),
            _count("n"),
            _number("change", signed=True),
            _hidden("warnings"),
        ),
        group=("task", "filter", "metric"),
        heading=lambda row: " · ".join(map(plain_text, (row.task, row.filter, row.metric))),
        empty="no run has such a value",
    ),
}
