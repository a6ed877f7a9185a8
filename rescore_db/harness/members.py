"""Groups by their members' names, with nothing built: lm-eval's factory, recording.

lm-eval builds a whole group to know what is in it.  Here its own `TaskFactory` walks the group's
definition (references, overrides, tags, inline tasks and groups), and a stand-in takes each
task's place.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rescore_db.errors import TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rescore_db.harness.index import IndexEntry, TaskNames


class Registry:
    """An index in the shape that lm-eval's `TaskFactory` looks names up in."""

    def __init__(self, names: TaskNames) -> None:
        """Look names up in an index."""
        self._names = names

    def __contains__(self, name: str) -> bool:
        """Tell whether a name is known."""
        return self._names.find(name) is not None

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - lm-eval's Entry
        """Return lm-eval's entry for a name."""
        return as_lm_eval_entry(self._names.get(name))

    def __setitem__(self, name: str, entry: Any) -> None:  # noqa: ANN401 - lm-eval's Entry
        """Forget what lm-eval adds: it registers tasks under the names that they have."""


def as_lm_eval_entry(entry: IndexEntry) -> Any:  # noqa: ANN401 - lm-eval's Entry
    """Return an index entry as lm-eval's own."""
    from lm_eval.tasks._index import Entry, Kind

    kinds = {"task": Kind.TASK, "class": Kind.PY_TASK, "group": Kind.GROUP, "tag": Kind.TAG}
    return Entry(entry.name, kinds[entry.kind], entry.path, tags=set(entry.tasks))


@lru_cache(maxsize=1)
def _stand_in() -> type[Any]:
    """Return a class of lm-eval tasks that have a name and a definition and can do nothing."""
    from lm_eval.api.task import Task

    def __init__(  # noqa: N807 - a method of the class below
        self: Any,  # noqa: ANN401
        config: dict[str, Any] | None = None,
        entry: Any = None,  # noqa: ANN401 - lm-eval's Entry
    ) -> None:
        self.entry = entry
        self.changes = config or {}

    namespace = dict.fromkeys(Task.__abstractmethods__)
    name = property(lambda self: self.changes.get("task") or self.entry.name)
    return type("StandIn", (Task,), {**namespace, "__init__": __init__, "task_name": name})


@lru_cache(maxsize=1)
def _factory_class() -> type[Any]:
    from lm_eval.tasks._factory import TaskFactory

    class RecordingFactory(TaskFactory):  # type: ignore[misc]  # lm-eval ships no types
        """Lets a stand-in take the place of each task."""

        def _build_task(self, entry: Any, overrides: dict[str, Any] | None) -> Any:  # noqa: ANN401
            return _stand_in()(overrides, entry)

    return RecordingFactory


@contextlib.contextmanager
def _inline_stand_ins() -> Iterator[None]:
    """Let lm-eval's factory make stand-ins of tasks that are defined inside a group."""
    from lm_eval.tasks import _factory

    before = _factory.ConfigurableTask
    _factory.ConfigurableTask = _stand_in()
    try:
        yield
    finally:
        _factory.ConfigurableTask = before


def group_of_names(names: TaskNames, name: str) -> Any:  # noqa: ANN401 - lm-eval's Group
    """Return a group of lm-eval's whose tasks are stand-ins.

    Args:
        names: the index in which the group and its members are looked up.
        name: the group's name; `parent::group` for one that is defined inside another.

    Raises:
        TaskError: no such group, or its definition is broken.
    """
    parent = _outermost_group(names, name)
    if parent is None:
        msg = f"{name!r} is a {names.get(name).kind}, not a group"
        raise TaskError(msg)
    try:
        with _inline_stand_ins():
            built = _factory_class()().build(
                as_lm_eval_entry(parent), overrides=None, registry=Registry(names)
            )
    except TaskError:
        raise
    except Exception as error:
        msg = f"group {name!r} ({parent.path}) cannot be read: {type(error).__name__}: {error}"
        raise TaskError(msg) from error
    if parent.name == name:
        return built
    for group in built.get_all_groups():
        if group.name == name:
            return group
    msg = f"group {parent.name!r} defines no group {name!r}"
    raise TaskError(msg)


def _outermost_group(names: TaskNames, name: str) -> IndexEntry | None:
    """Return the entry of a group, or of the group inside whose definition it stands."""
    while name:
        entry = names.find(name)
        if entry is not None and entry.kind == "group":
            return entry
        name = name.rpartition("::")[0]
    return None


def find_member(names: TaskNames, group: str, task: str) -> Any | None:  # noqa: ANN401
    """Return the stand-in of a task in a group, with what the group overrides.

    Returns:
        An object with `entry` (lm-eval's, None for inline tasks) and `changes` (config fields);
        None where the group is unknown or the task not in it.
    """
    if _outermost_group(names, group) is None:
        return None
    for member in group_of_names(names, group).get_all_tasks():
        if member.task_name == task:
            return member
    return None


def task_stand_in(name: str) -> Any:  # noqa: ANN401 - lm-eval's Task
    """Return a stand-in for a task of which nothing but the name matters."""
    return _stand_in()({"task": name})
