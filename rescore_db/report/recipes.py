"""Named recipes: in tables, and as YAML for people to read and to make other ones of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rescore_db import records
from rescore_db.harness.interface import FUNCTION
from rescore_db.report.column_kinds import Column, Listing, count, date, hidden, tags, text
from rescore_db.report.values import lines, plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yaml import Node, SafeDumper

    from rescore_db.records import RecipeRow

BY_FILES: Final = frozenset({"include-path", "task-yaml"})
"""Sources whose files are not in the recipe, but known by their hash."""


def _overridden(entries: list[dict[str, Any]] | None, key: str) -> str:
    """Name the filters or metrics of a recipe's entry, functions by their name."""
    names = [entry[key] for entry in entries or ()]
    texts = (name if isinstance(name, str) else next(iter(name.values())) for name in names)
    return ", ".join(map(plain_text, texts)) or "the tasks' own"


RECIPE_LISTINGS: Final[dict[type, Listing]] = {
    records.RecipeRow: Listing(
        columns=(
            text("name", least=12, keep="both"),
            Column(key="hash", title="hash", cell=lambda row: row.hash[:12], spare=1),
            hidden("entry"),
            tags("tasks"),
            text("source"),
            Column(
                key="filters",
                title="filters",
                cell=lambda row: _overridden(row.filters, "name"),
                worth=lambda row: bool(row.filters),
            ),
            Column(
                key="metrics",
                title="metrics",
                cell=lambda row: _overridden(row.metrics, "metric"),
                worth=lambda row: bool(row.metrics),
            ),
            count("bootstrap_iters", "bootstrap", spare=1),
            date("created_at", "added", spare=1),
            hidden("notes"),
        ),
        empty="no recipes yet; `rescore recipe add NAME …` makes one",
    ),
    records.RecipeDifference: Listing(
        columns=(
            text("tasks"),
            text("what"),
            text("a", least=10, most=60),
            text("b", least=10, most=60),
        ),
        empty="the two recipes do not differ",
    ),
}


def recipe_text(rows: Sequence[RecipeRow]) -> str:
    """Return a recipe's entries as `recipe add --from` takes them, below what tells it from others.

    Where files are is no part of a recipe: a comment stands in their place.
    """
    import yaml

    first = rows[0]
    tasks: dict[str, Any] = {}
    for row in rows:
        for task in row.tasks:
            tasks.setdefault(task, _options(row))  # of a pattern that stands twice, the first
    content = {"tasks": tasks}
    written = yaml.dump(content, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=100)
    head = [f"# recipe {first.name}, added {first.created_at}, SHA-256 {first.hash}"]
    head += [
        f"# {', '.join(row.tasks)}: {row.source}, which a recipe holds by its hash"
        for row in rows
        if row.source in BY_FILES
    ]
    return "".join(f"{line}\n" for part in (*head, written.rstrip("\n")) for line in lines(part))


def _dumper() -> type[SafeDumper]:
    """Return a dumper that writes functions as they were read."""
    import yaml

    class RecipeDumper(yaml.SafeDumper):
        """Writes plain YAML, and `!function`."""

    def represented(dumper: SafeDumper, mapping: dict[str, Any]) -> Node:
        if FUNCTION in mapping:
            return dumper.represent_scalar(FUNCTION, mapping[FUNCTION])
        return dumper.represent_dict(mapping)

    RecipeDumper.add_representer(dict, represented)
    return RecipeDumper


def _options(row: RecipeRow) -> dict[str, Any]:
    """Return the options of an entry that say something."""
    said = {
        "as_logged": True if row.source == "as-logged" else None,
        "filters": row.filters,
        "metrics": row.metrics,
        "bootstrap_iters": row.bootstrap_iters,
    }
    return {key: value for key, value in said.items() if value is not None}
