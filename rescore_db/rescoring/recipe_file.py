"""A recipe's YAML file: task patterns and, for each, the options of `rescore score`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.rescoring.how import Way, read_way
from rescore_db.rescoring.request import RecipeEntry
from rescore_db.rescoring.user_yaml import malformed, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE: Final = """\
tasks:
  gsm8k*:
    filters: last-number.yaml     # a file, or the list itself
    metrics: my-metrics.yaml
  mmlu_*:
    as_logged: true
  "*": {}                         # all others: as they are defined"""

OPTIONS: Final = (
    "as_logged",
    "bootstrap_iters",
    "filters",
    "include_path",
    "metrics",
    "task_yaml",
)


def read_recipe_file(path: str) -> list[Way]:
    """Read a recipe's file and the files that it names, which stand relative to it.

    Raises:
        NotFoundError: a file does not exist.
        UsageError: a file is malformed; names the place.
    """
    found = read_yaml(path, EXAMPLE)
    if not isinstance(found.content, dict) or set(found.content) != {"tasks"}:
        raise malformed(path, "it is no mapping with the one key `tasks:`", EXAMPLE)
    entries = found.content["tasks"]
    if not isinstance(entries, dict) or not entries:
        raise malformed(path, "`tasks:` holds no task patterns", EXAMPLE)
    return [
        _Entry(path, pattern, {} if options is None else options).read(found.code)
        for pattern, options in entries.items()
    ]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A pattern and its options, as they stand in the file."""

    path: str
    pattern: Any
    options: Any

    def read(self, code: Mapping[str, str]) -> Way:
        """Read the files that the options name."""
        if not isinstance(self.pattern, str) or not isinstance(self.options, dict):
            msg = "it is no task pattern with options"
            raise self._malformed(msg)
        for key in self.options:
            if key not in OPTIONS:
                kind = f"option (in {self.path}, {self.pattern})"
                raise NotFoundError.among(kind, str(key), OPTIONS)
        entry = RecipeEntry(
            tasks=(self.pattern,),
            filters=self._list_or_file("filters"),
            metrics=self._list_or_file("metrics"),
            include_paths=self._folders("include_path"),
            task_yaml=self._file("task_yaml"),
            as_logged=self._typed("as_logged", bool, default=False),
            bootstrap_iters=self._typed("bootstrap_iters", int, default=None),
        )
        try:
            return read_way(entry, entry.tasks, code)
        except UsageError as error:
            msg = f"{self.path}: {self.pattern}: {error}"
            raise type(error)(msg) from None

    def _malformed(self, what: str) -> UsageError:
        return malformed(f"{self.path}: {self.pattern}", what, EXAMPLE)

    def _list_or_file(self, key: str) -> Any:  # noqa: ANN401 - either
        value = self.options.get(key)
        return value if isinstance(value, list) else self._file(key)

    def _file(self, key: str) -> str | None:
        value = self.options.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            msg = f"`{key}` is no file, but {value!r}"
            raise self._malformed(msg)
        return self._beside(value)

    def _folders(self, key: str) -> tuple[str, ...]:
        value = self.options.get(key)
        folders = [value] if isinstance(value, str) else value or []
        if not isinstance(folders, list) or not all(isinstance(one, str) for one in folders):
            msg = f"`{key}` is no folder, but {value!r}"
            raise self._malformed(msg)
        return tuple(map(self._beside, folders))

    def _beside(self, path: str) -> str:
        """Return a path that stands relative to the recipe's file."""
        return str(Path(self.path).parent / path)

    def _typed(self, key: str, kind: type, *, default: Any) -> Any:  # noqa: ANN401 - of this kind
        value = self.options.get(key, default)
        if value is not default and type(value) is not kind:  # a bool is an int, and no number
            msg = f"`{key}` is {value!r}, no {kind.__name__}"
            raise self._malformed(msg)
        return value
