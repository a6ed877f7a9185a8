"""The Python functions and classes in a task's config: what they are, whether chance is in them."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from rescore_db.harness.installed import installed_lm_eval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCORING_FIELDS: Final = (
    "class",
    "process_results",
    "filter_list",
    "metric_list",
    "doc_to_target",
    "doc_to_choice",
)
"""Config fields whose functions take part in scoring, rather than in making documents."""

CHANCE: Final = ("random", "secrets", "uuid", "langdetect", "numpy.random")
"""Modules whose results differ from one call to the next unless they are seeded."""

CHANCE_PREFIXES: Final = tuple(f"{name}." for name in CHANCE)


def functions_in(value: Any) -> Iterator[Any]:  # noqa: ANN401 - anything in a config
    """Yield the functions and classes anywhere in a config's value."""
    if isinstance(value, functools.partial):
        yield value.func
        yield from functions_in([value.args, value.keywords])
    elif isinstance(value, dict):
        for item in value.values():
            yield from functions_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from functions_in(item)
    elif callable(value):
        yield value


def code_digests(config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return name and SHA-256 of the source file of each function and class in a config.

    The name is `module.function` without folders: the same code in another place is the same.
    """
    found = {_named(function) for function in functions_in(dict(config))}
    return tuple(sorted(one for one in found if one is not None))


def _named(function: Any) -> tuple[str, str] | None:  # noqa: ANN401 - a function or class
    name = getattr(function, "__qualname__", type(function).__qualname__)
    file = _source_file(function)
    if file is None:  # a builtin, part of Python
        return None
    return f"{file.stem}.{name}", _digest(file)


def _source_file(function: Any) -> Path | None:  # noqa: ANN401 - a function or class
    """Return the file of a function; classes of modules that were loaded by path included."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if isinstance(code, CodeType):
        file = Path(code.co_filename)
    else:
        home = sys.modules.get(getattr(function, "__module__", None) or "")
        file = Path(getattr(home, "__file__", None) or "")
    return file if file.is_file() else None


@functools.lru_cache(maxsize=256)
def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def chance_in(config: Mapping[str, Any]) -> str | None:
    """Say which scoring function of a config depends on chance, and how; None if none does.

    Functions are followed into what they use: other functions, classes, modules of the same
    task folder.  Functions that only make documents are not looked at.
    """
    for field in SCORING_FIELDS:
        for function in functions_in(config.get(field)):
            file = _source_file(function)
            if file is None:
                continue
            walk = _Walk(_task_folder(file))
            if (module := walk.chance(function)) is not None:
                name = getattr(function, "__qualname__", str(function))
                return f"{file.stem}.{name} uses {module}, which is random unless seeded"
    return None


def _task_folder(file: Path) -> Path:
    """Return the folder within which a task's code is followed: lm-eval's tasks share code."""
    tasks = installed_lm_eval().tasks.resolve()
    return tasks if file.resolve().is_relative_to(tasks) else file.resolve().parent


class _Walk:
    """One search through what a function uses, within a task's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[int] = set()

    def chance(self, value: Any) -> str | None:  # noqa: ANN401 - anything a name may stand for
        """Return the name of the first chance module that a value reaches."""
        if (home := _chance_module(value)) is not None:
            return home
        if id(value) in self._seen:
            return None
        self._seen.add(id(value))
        return self._first(self._used_by(value))

    def _used_by(self, value: Any) -> Iterable[Any]:  # noqa: ANN401
        """Return what a value is made of or refers to."""
        used: Iterable[Any] = ()
        match value:
            case FunctionType():
                used = self._used_by_function(value)
            case type() if self._is_ours(_source_file(value)):
                used = vars(value).values()
            case functools.partial():
                used = [value.func, *value.args, *value.keywords.values()]
            case staticmethod() | classmethod():
                used = [value.__func__]
            case dict():
                used = value.values()
            case list() | tuple():
                used = value
        return used

    def _first(self, values: Iterable[Any]) -> str | None:
        return next((found for item in values if (found := self.chance(item))), None)

    def _used_by_function(self, function: FunctionType) -> list[Any]:
        wrapped = inspect.unwrap(function)
        if not isinstance(wrapped, FunctionType) or not self._is_ours(_source_file(wrapped)):
            return []
        names = _names_in(wrapped.__code__)
        used = [wrapped.__globals__[name] for name in names if name in wrapped.__globals__]
        for value in list(used):
            if isinstance(value, ModuleType):  # what the function takes from it
                used += [vars(value)[name] for name in names if name in vars(value)]
        if "Random" in names:  # a generator of its own, seeded by the document
            used = [value for value in used if _chance_module(value) != "random"]
        return used

    def _is_ours(self, file: Path | None) -> bool:
        return file is not None and file.resolve().is_relative_to(self._folder)


def _chance_module(value: Any) -> str | None:  # noqa: ANN401
    """Return the name of the chance module that a value is, or comes from."""
    owner = getattr(value, "__self__", None)  # random.random is a method of a hidden generator
    homes = [
        value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None),
        owner.__name__ if isinstance(owner, ModuleType) else type(owner).__module__,
        type(value).__module__,
    ]
    found = (home for home in homes if isinstance(home, str))
    return next((home for home in found if f"{home}.".startswith(CHANCE_PREFIXES)), None)


def _names_in(code: CodeType) -> list[str]:
    """Return the global and attribute names that a function's code uses, inner ones included."""
    inner = (
        name for const in code.co_consts if isinstance(const, CodeType) for name in _names_in(const)
    )
    return list(dict.fromkeys([*code.co_names, *inner]))
