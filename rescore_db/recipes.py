"""The verbs of a store that give ways of scoring a name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rescore_db.records import Rows
from rescore_db.records.requests import checked

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rescore_db.records import RecipeDifference, RecipeRow
    from rescore_db.rescoring.request import RecipeEntry

    PathLike = str | os.PathLike[str]


class Recipes:
    """What `Store` does with recipes."""

    _engine: Engine

    def add_recipe(
        self, name: str, *entries: RecipeEntry, file: PathLike | None = None
    ) -> Rows[RecipeRow]:
        """Give a recipe a name for good, from entries or from a YAML file; reads their files.

        Raises:
            AlreadyExistsError: the name stands for another recipe.
            NotFoundError: a file does not exist.
            UsageError: the recipe is malformed, lm-eval has no such filter or metric, or a
                function cannot be loaded.
        """
        from rescore_db.rescoring import recipes

        path = None if file is None else os.fspath(file)
        return Rows(recipes.add_recipe(self._engine, name, [*map(checked, entries)], path))

    def recipes(self) -> Rows[RecipeRow]:
        """List the named recipes, a row for each of their entries."""
        from rescore_db.rescoring import recipes

        return Rows(recipes.list_recipes(self._engine))

    def recipe(self, name: str) -> Rows[RecipeRow]:
        """Return the entries of one named recipe.

        Raises:
            NotFoundError: there is no such recipe.
        """
        from rescore_db.rescoring import recipes

        return Rows(recipes.get_recipe(self._engine, name))

    def diff_recipes(self, a: str, b: str) -> Rows[RecipeDifference]:
        """Return in what two named recipes differ, task pattern by task pattern.

        Raises:
            NotFoundError: there is no such recipe.
        """
        from rescore_db.rescoring import recipes

        return Rows(recipes.diff_recipes(self._engine, a, b))
