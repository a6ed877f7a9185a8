"""The files of a recipe that are not in it: known by their SHA-256, looked for on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import UsageError
from rescore_db.harness.definitions import definition_sources
from rescore_db.harness.interface import FUNCTION
from rescore_db.rescoring.user_yaml import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rescore_db.harness.interface import TaskRequest

DEFINING: Final = frozenset({".yaml", ".yml", ".py", ""})
"""Suffixes of the files of a task folder that may define tasks; templates often have none."""


def files_digest(request: TaskRequest) -> list[str]:
    """Return what tells the files of a definition from others: one SHA-256 a folder or file."""
    found = [_folder_digest(Path(folder)) for folder in request.include_paths]
    if request.task_yaml is not None:
        found.append(_yaml_digest(Path(request.task_yaml)))
    return found


def _folder_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a folder's definitions."""
    found = ((file.relative_to(folder), file) for file in folder.rglob("*"))
    files = sorted(
        (name.as_posix(), file)
        for name, file in found
        if file.suffix in DEFINING and not _is_byproduct(name) and file.is_file()
    )
    return _digest(files)


def _is_byproduct(name: Path) -> bool:
    """Tell whether a file is a version control's, an editor's or Python's own."""
    return any(part.startswith(".") or part == "__pycache__" for part in name.parts)


def _yaml_digest(file: Path) -> str:
    """Return the SHA-256 over a task's YAML file, those that it includes, and their Python."""
    return _digest((one.name, one) for one in definition_sources(file))


def _digest(files: Iterable[tuple[str, Path]]) -> str:
    lines = (f"{name}\0{file_digest(file)}\n" for name, file in files)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def found_places(
    recipe: str, entry: Mapping[str, Any], places: Mapping[str, Any], folders: Sequence[str]
) -> dict[str, Any]:
    """Return where the files of a recipe's entry are here.

    Args:
        recipe: its name, for messages.
        entry: of its content.
        places: where the files were when the recipe was added.
        folders: where they may be as well, as the user says.

    Raises:
        UsageError: one is neither where it was nor in these folders, as it was.
    """
    digests = list(entry["files"])
    here = [Path(folder).resolve() for folder in folders]
    task_yaml = places["task_yaml"]
    if task_yaml is not None:
        wanted = digests.pop()
        held = [Path(task_yaml), *(folder / Path(task_yaml).name for folder in here)]
        files = (file for file in held if file.is_file() and _yaml_digest(file) == wanted)
        task_yaml = _first(files, recipe, task_yaml)
    return {
        "include_paths": [
            _first(_same_folders([Path(was), *here], wanted), recipe, was)
            for was, wanted in zip(places["include_paths"], digests, strict=True)
        ],
        "task_yaml": task_yaml,
        "code": {
            digest: _first(_sources(name, digest, places, here), recipe, name)
            for name, digest in _references([entry["filters"], entry["metrics"]])
        },
    }


def _same_folders(folders: Iterable[Path], wanted: str) -> Iterator[Path]:
    return (one for one in folders if one.is_dir() and _folder_digest(one) == wanted)


def _sources(
    name: str, digest: str, places: Mapping[str, Any], folders: Sequence[Path]
) -> Iterator[Path]:
    """Yield the files that hold a function as it was."""
    module = f"{name.rpartition('.')[0].replace('.', '/')}.py"
    held = [Path(places["code"][digest]), *(folder / module for folder in folders)]
    return (file for file in held if file.is_file() and file_digest(file) == digest)


def _first(found: Iterator[Path], recipe: str, what: str) -> str:
    file = next(found, None)
    if file is None:
        msg = (
            f"recipe {recipe!r} needs {what} as it was when the recipe was added: it is gone or "
            "changed; name a folder that holds it (--include-path DIR), or add the recipe as it "
            "is now under another name"
        )
        raise UsageError(msg)
    return str(file)


def _references(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - parsed JSON
    """Yield name and SHA-256 of each function that filters and metrics refer to."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if FUNCTION in value:
            yield value[FUNCTION], value["sha256"]
        else:
            for item in value.values():
                yield from _references(item)
