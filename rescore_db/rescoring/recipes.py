"""Named recipes: task patterns with the options that score them, fixed when they are added.

Filters and metrics are in a recipe as they were read.  Files that only lm-eval or Python can read
(task definitions, functions) are in it by their SHA-256; where they are is noted beside it, and
differs from machine to machine.  So a recipe says the same everywhere, or says what is missing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import AlreadyExistsError, NotFoundError, UsageError
from rescore_db.harness.interface import TaskRequest
from rescore_db.json_exact import text_hash
from rescore_db.records import RecipeDifference, RecipeRow
from rescore_db.rescoring.how import (
    DEFAULT_BOOTSTRAP_ITERS,
    NAME,
    How,
    Way,
    check_name,
    name_of,
    read_way,
    selection_of,
)
from rescore_db.rescoring.overrides import check_with_lm_eval
from rescore_db.rescoring.recipe_file import read_recipe_file
from rescore_db.rescoring.recipe_places import files_digest, found_places
from rescore_db.rescoring.slot import Slot
from rescore_db.settings import Settings
from rescore_db.store.bulk import lock_content
from rescore_db.store.engine import atomic, reading
from rescore_db.store.evaluations import task_names
from rescore_db.store.named_recipes import NamedRecipe, add_named_recipe, named_recipes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from rescore_db.rescoring.request import RecipeEntry, ScoreRequest
    from rescore_db.store.evaluations import StoredEvaluation

OPTIONS: Final = ("source", "files", "filters", "metrics", "bootstrap_iters")


def add_recipe(
    engine: Engine, name: str, entries: Sequence[RecipeEntry], file: str | None = None
) -> list[RecipeRow]:
    """Give a recipe a name for good; adding the same content again changes nothing.

    Args:
        engine: the store.
        name: letters, digits, `.`, `_` and `-`.
        entries: what the recipe says, or
        file: a YAML file that says it.

    Raises:
        AlreadyExistsError: the name stands for another recipe.
        NotFoundError: a file does not exist.
        UsageError: the recipe is malformed, lm-eval has no such filter or metric, or a function
            cannot be loaded.
    """
    if NAME.fullmatch(name) is None or name == "logged":
        msg = f"a recipe can't be called {name!r}: use letters, digits, '.', '_' and '-'"
        raise UsageError(msg)
    if bool(entries) == (file is not None):
        msg = "a recipe is a file or entries, one of the two"
        raise UsageError(msg)
    ways = [read_way(entry, entry.tasks) for entry in entries]
    if file is not None:
        ways = read_recipe_file(file)
    content = json.dumps([_content(way) for way in ways], sort_keys=True)
    places = json.dumps([_places(way) for way in ways])
    with reading(engine) as conn:
        is_new = _is_new(named_recipes(conn), name, content)
    if is_new:
        _check(name, ways)
        with atomic(engine) as conn:
            lock_content(conn)
            if _is_new(named_recipes(conn), name, content):  # not added meanwhile
                add_named_recipe(conn, name, content, places)
    return get_recipe(engine, name)


def _content(way: Way) -> dict[str, Any]:
    """Return one entry of a recipe's content: no path is in it."""
    tasks = list(way.tasks) or ["*"]
    iters = DEFAULT_BOOTSTRAP_ITERS if way.bootstrap_iters is None else way.bootstrap_iters
    return {
        "tasks": tasks,
        **way.options(),
        "files": files_digest(way.template),
        "bootstrap_iters": iters,
    }


def _places(way: Way) -> dict[str, Any]:
    template = way.template
    return {
        "include_paths": list(template.include_paths),
        "task_yaml": template.task_yaml,
        "code": dict(template.code),
    }


def _is_new(known: Sequence[NamedRecipe], name: str, content: str) -> bool:
    """Tell whether a name is free; refuse one that stands for something else."""
    held = next((one for one in known if one.name == name), None)
    if held is not None and held.hash != text_hash(content):
        what = _differences(json.loads(held.content_json), json.loads(content))
        told = ", ".join(dict.fromkeys(one.tasks for one in what))
        msg = (
            f"there is a recipe {name!r} already, which differs in {told or 'the order of tasks'}; "
            "recipes never change: add this one under another name"
        )
        raise AlreadyExistsError(msg)
    return held is None


def _check(name: str, ways: Sequence[Way]) -> None:
    """Look whether lm-eval has the filters and metrics, for a name is given for good."""
    with Slot(Settings.from_environment()) as slot:
        for way in ways:
            where = f"recipe {name!r}, {', '.join(way.tasks) or '*'}"
            check_with_lm_eval(f"{where}: filters", f"{where}: metrics", way.template, slot)


def list_recipes(engine: Engine) -> list[RecipeRow]:
    """Return the entries of every named recipe, in the order in which they were added."""
    with reading(engine) as conn:
        return [row for one in named_recipes(conn) for row in _rows(one)]


def get_recipe(engine: Engine, name: str) -> list[RecipeRow]:
    """Return the entries of one recipe, with a note on patterns that no stored task has.

    Raises:
        NotFoundError: there is no such recipe.
    """
    with reading(engine) as conn:
        found, known = _find(named_recipes(conn), name), task_names(conn)
    return [replace(row, notes=_unmatched(row, known)) for row in _rows(found)]


def _find(known: Sequence[NamedRecipe], name: str) -> NamedRecipe:
    for one in known:
        if one.name == name:
            return one
    kind = "recipe"
    raise NotFoundError.among(kind, name, (one.name for one in known))


def _rows(recipe: NamedRecipe) -> list[RecipeRow]:
    return [
        RecipeRow(
            name=recipe.name,
            hash=recipe.hash.hex(),
            entry=number,
            tasks=tuple(entry["tasks"]),
            source=entry["source"].partition(" ")[0],
            filters=entry["filters"],
            metrics=entry["metrics"],
            bootstrap_iters=entry["bootstrap_iters"],
            created_at=recipe.created_at,
        )
        for number, entry in enumerate(json.loads(recipe.content_json), 1)
    ]


def _unmatched(row: RecipeRow, known: set[str]) -> tuple[str, ...]:
    """Say which patterns no task of the store has; it may come."""
    return tuple(
        str(NotFoundError.among("stored task", pattern, known))
        for pattern in row.tasks
        if not any(Way((pattern,), TaskRequest(""), "", None).covers(task) for task in known)
    )


def diff_recipes(engine: Engine, a: str, b: str) -> list[RecipeDifference]:
    """Return in what two recipes differ, pattern by pattern.

    Raises:
        NotFoundError: there is no such recipe.
    """
    with reading(engine) as conn:
        known = named_recipes(conn)
    left, right = (json.loads(_find(known, name).content_json) for name in (a, b))
    return _differences(left, right)


def _differences(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> list[RecipeDifference]:
    a, b = _by_pattern(left), _by_pattern(right)
    found = []
    for pattern in dict.fromkeys([*a, *b]):
        if pattern not in a or pattern not in b:
            said = ("covered" if pattern in side else None for side in (a, b))
            found.append(RecipeDifference(pattern, "tasks", *said))
            continue
        found += [
            RecipeDifference(pattern, option, a[pattern][option], b[pattern][option])
            for option in OPTIONS
            if a[pattern][option] != b[pattern][option]
        ]
    return found


def _by_pattern(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return pattern → entry; of a pattern that stands twice, the first counts."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        for pattern in entry["tasks"]:
            found.setdefault(pattern, entry)
    return found


# --------------------------------------------------------------------------------------- to score


def named_how(engine: Engine, request: ScoreRequest, subset: str | None) -> How:
    """Return how a request for a named recipe scores.

    Raises:
        NotFoundError: there is no such recipe, or a file of it is gone.
        UsageError: the request says something that the recipe says, or a file changed.
    """
    name = str(request.recipe)
    _refuse_what_a_recipe_says(request)
    with reading(engine) as conn:
        found = _find(named_recipes(conn), name)
    how = {
        "recipe": name,
        "hash": found.hash.hex(),
        "selection": selection_of(request, subset),
    }
    entries = zip(json.loads(found.content_json), json.loads(found.places_json), strict=True)
    ways = tuple(_way(name, entry, places, request) for entry, places in entries)
    return How(ways, json.dumps(how, sort_keys=True), name_of(request, name), subset)


def _way(name: str, entry: dict[str, Any], places: dict[str, Any], request: ScoreRequest) -> Way:
    """Return an entry as a way of scoring on this machine."""
    here = found_places(name, entry, places, request.include_paths)
    template = TaskRequest(
        name="",
        include_paths=tuple(here["include_paths"]),
        task_yaml=here["task_yaml"],
        as_logged=entry["source"] == "as-logged",
        filters_json=_json_or_none(entry["filters"]),
        metrics_json=_json_or_none(entry["metrics"]),
        code=tuple(sorted(here["code"].items())),
        allow_unsafe=request.allow_unsafe,
    )
    return Way(tuple(entry["tasks"]), template, entry["source"], entry["bootstrap_iters"])


def _json_or_none(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _refuse_what_a_recipe_says(request: ScoreRequest) -> None:
    given = {
        "--filters": request.filters,
        "--metrics": request.metrics,
        "--task-yaml": request.task_yaml,
        "--as-logged": request.as_logged or None,
        "--bootstrap-iters": request.bootstrap_iters,
        "--name": request.name,
    }
    if said := [option for option, value in given.items() if value is not None]:
        msg = f"--recipe and {said[0]} exclude each other: the recipe says that"
        raise UsageError(msg)
    check_name(request.recipe)


def covered(
    evaluations: Sequence[StoredEvaluation], how: How, recipe: str | None
) -> list[StoredEvaluation]:
    """Return those of some evaluations that a way of scoring covers.

    Raises:
        NotFoundError: there are some, and a recipe covers none of them.
    """
    found = [one for one in evaluations if how.way_for(one.task) is not None]
    if evaluations and not found:
        patterns = ", ".join(pattern for way in how.ways for pattern in way.tasks)
        tasks = ", ".join(sorted({one.task for one in evaluations})[:8])
        msg = f"recipe {recipe!r} is for {patterns}; these runs have none of them, but {tasks}"
        raise NotFoundError(msg)
    return found
