"""From a request to the config that lm-eval builds a task from.

A definition comes from a YAML file that the user names, from the config in the log, from an
include path or from the registry, in this order.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore_db.errors import NotFoundError, TaskError
from rescore_db.harness.as_logged import declarative_config
from rescore_db.harness.index import TaskNames
from rescore_db.harness.installed import installed_lm_eval
from rescore_db.harness.members import as_lm_eval_entry, find_member

if TYPE_CHECKING:
    from rescore_db.harness.interface import Source, TaskRequest

NOT_FOR_TASKS = ("tag", "group", "task_list")  # keys of a YAML file that lm-eval takes out


@dataclass(frozen=True, slots=True)
class TaskConfig:
    """What a task is built from.

    Attributes:
        config: lm-eval's config with its functions; `class` for tasks that are classes.
        source: where it came from.
        files: the YAML files it was read from.
    """

    config: dict[str, Any]
    source: Source
    files: tuple[str, ...]


def read_config(request: TaskRequest, cache: Path | None = None) -> TaskConfig:
    """Return the config of the task that a request names.

    Args:
        request: what is asked for; its filters and metrics are not looked at.
        cache: folder of the task index; None takes the setting's.

    Raises:
        TaskError: the definition is missing, broken, or needs what the request does not allow.
        NotFoundError: an include path or YAML file does not exist.
    """
    if request.task_yaml is not None:
        return _from_yaml(request, request.task_yaml)
    if request.as_logged or request.config_json is not None:
        config = declarative_config(json.loads(request.config_json or "null"), request.name)
        _refuse_unsafe(config, request)
        return TaskConfig(config, "as-logged", ())
    return _from_index(request, TaskNames(request.include_paths, cache))


def _from_yaml(request: TaskRequest, file: str) -> TaskConfig:
    from lm_eval.tasks._index import Entry, Kind

    path = Path(file).expanduser().resolve()
    if not path.is_file():
        msg = f"--task-yaml {file}: there is no such file"
        raise NotFoundError(msg)
    raw = _load(path, request, functions=False)
    if "group" in raw and isinstance(raw.get("task"), str):
        msg = (
            f"--task-yaml {file}: a task's field `group` is called `tag` since lm-eval 0.4.4: "
            "rename it or take it out"
        )
        raise TaskError(msg)
    if "class" not in raw and ("group" in raw or isinstance(raw.get("task"), list)):
        msg = f"--task-yaml {file}: it defines a group; give the file of the task itself"
        raise TaskError(msg)
    config = _full_config(Entry(request.name, Kind.TASK, path), {}, request)
    config["task"] = config.get("task") or request.name
    return TaskConfig(config, "task-yaml", _files(path))


def _from_index(request: TaskRequest, names: TaskNames) -> TaskConfig:
    member = _as_member(request, names)
    if member is not None and member.entry is None:  # defined inside a group
        config = deepcopy(member.changes)
        _refuse_unsafe(config, request)
        group = names.find(request.name.partition("::")[0])
        return _config_of(config, group.path if group else None, names, request)
    entry = names.get(request.name)
    if entry.kind == "tag":
        msg = f"{request.name!r} is a tag of {len(entry.tasks)} tasks: {', '.join(entry.tasks)}"
        raise TaskError(msg)
    if entry.kind == "group":
        msg = f"{request.name!r} is a group; its tasks are scored, and it is aggregated from them"
        raise TaskError(msg)
    changes = {} if member is None else member.changes
    lm_eval_entry = as_lm_eval_entry(entry) if member is None else member.entry
    config = _full_config(lm_eval_entry, changes, request)
    return _config_of(config, lm_eval_entry.yaml_path, names, request)


def _as_member(request: TaskRequest, names: TaskNames) -> Any | None:  # noqa: ANN401
    """Return the task as a group of its run has it, if one has."""
    groups = list(request.groups)
    if "::" in request.name and names.find(request.name) is None:
        groups.insert(0, request.name.rpartition("::")[0])
    for group in groups:
        member = find_member(names, group, request.name)
        if member is not None:
            return member
    return None


def _config_of(
    config: dict[str, Any], path: Path | None, names: TaskNames, request: TaskRequest
) -> TaskConfig:
    found = names.find(request.name.partition("::")[0])
    source: Source = "include-path" if found is not None and found.included else "registry"
    return TaskConfig(config, source, () if path is None else _files(path))


def _full_config(entry: Any, changes: dict[str, Any], request: TaskRequest) -> dict[str, Any]:  # noqa: ANN401
    """Load a YAML file with its functions, as lm-eval's factory does."""
    from lm_eval.tasks._factory import TaskFactory

    raw = _load(entry.yaml_path, request, functions=False)
    _refuse_unsafe({**raw, **changes}, request)
    try:
        config: dict[str, Any] = TaskFactory()._load_full_config(entry, changes)  # noqa: SLF001
    except (Exception, SystemExit) as error:
        raise _broken(entry.yaml_path, request, error) from error
    for key in NOT_FOR_TASKS:
        config.pop(key, None)
    return config


def _load(path: Path, request: TaskRequest, *, functions: bool) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        loaded: dict[str, Any] = load_yaml(path, resolve_func=functions)
    except Exception as error:
        raise _broken(path, request, error) from error
    return loaded


def _broken(path: Path, request: TaskRequest, error: BaseException) -> TaskError:
    """Say why a definition cannot be loaded; its Python code may want anything."""
    if isinstance(error, TaskError):
        return TaskError(f"{request.name}: {error}")
    reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
    if isinstance(error, ModuleNotFoundError):
        reason += "; install what it needs beside lm-eval"
    elif isinstance(error, OSError):
        reason += "; rescoring never uses the network: what a task downloads must be cached before"
    return TaskError(f"{request.name}: {path} cannot be loaded: {reason}")


def _refuse_unsafe(config: dict[str, Any], request: TaskRequest) -> None:
    """Refuse code-executing tasks before any of their modules is imported."""
    if config.get("unsafe_code") and not request.allow_unsafe:
        msg = (
            f"{request.name} executes code that a model wrote; "
            "it is scored only with --allow-unsafe, in a place where that is safe"
        )
        raise TaskError(msg)


def _files(path: Path) -> tuple[str, ...]:
    """Return a YAML file and those it includes, lm-eval's own relative to its task folder."""
    return tuple(_shown(file) for file in definition_files(path))


def definition_files(path: Path) -> list[Path]:
    """Return a YAML file and those it includes, itself first."""
    return [file for file, _ in _read_definitions(path)]


def definition_sources(path: Path) -> list[Path]:
    """Return the files that a YAML file's task depends on: itself, its includes, their Python."""
    found: dict[Path, None] = {}
    for file, functions in _read_definitions(path):
        found[file] = None
        for name in functions:
            source = file.parent / f"{name.rpartition('.')[0].replace('.', '/')}.py"
            if source.is_file():  # else it is a module that is installed
                found[source.resolve()] = None
    return list(found)


def _read_definitions(path: Path) -> list[tuple[Path, list[str]]]:
    """Return a YAML file and those it includes, each with the functions that it names."""
    import yaml

    functions: list[str] = []

    class Loader(yaml.SafeLoader):
        """Reads `include` and the names of functions, and nothing else."""

    def named(_loader: yaml.Loader, _tag: str, node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode):
            functions.append(str(node.value).strip())

    Loader.add_multi_constructor("!", named)
    found: dict[Path, list[str]] = {}
    waiting = [path.resolve()]
    while waiting:
        file = waiting.pop(0)
        functions = []
        content = yaml.load(file.read_bytes(), Loader) or {}  # noqa: S506
        found[file] = functions
        includes = content.get("include") or []
        for include in [includes] if isinstance(includes, str) else includes:
            other = (file.parent / include).resolve()
            waiting += [] if other in found else [other]
    return list(found.items())


def _shown(file: Path) -> str:
    tasks = installed_lm_eval().tasks.resolve()
    return str(file.relative_to(tasks)) if file.is_relative_to(tasks) else str(file)
