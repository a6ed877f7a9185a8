"""Where each task is defined: a name → YAML file index on disk.

lm-eval reads all of its 14,000 YAML files to know its tasks' names, which takes ten seconds.
Here its own `TaskIndex` does so once; the result is kept in the cache folder and looked up
without importing lm-eval.  The registry's index is renewed when lm-eval is installed anew, an
include path's when a YAML file in it changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from rescore_db.errors import NotFoundError, TaskError
from rescore_db.harness.installed import installed_lm_eval
from rescore_db.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FORMAT: Final = 1  # of the index files; another number makes them new
SHOWN: Final = 3  # names or files that a message lists

Kind = Literal["task", "class", "group", "tag"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What a name stands for.

    Attributes:
        name: the name.
        kind: a task, a task that is a Python class, a group, or a tag.
        path: the YAML file that defines it; None for tags.
        tasks: a tag's tasks, sorted; empty for the others.
        included: it comes from an include path, not from lm-eval's registry.
    """

    name: str
    kind: Kind
    path: Path | None
    tasks: tuple[str, ...] = ()
    included: bool = False


class _Entry(msgspec.Struct, array_like=True):
    kind: Kind
    path: str | None  # relative to the root
    tasks: list[str] = []


class _IndexFile(msgspec.Struct):
    """One root's index, as the cache keeps it."""

    format: int
    root: str
    stamp: str  # what the root looked like when it was read
    entries: dict[str, _Entry]
    unreadable: list[tuple[str, str]]  # YAML files that lm-eval skips, and why


class TaskNames:
    """The names that can be resolved: those of the include paths, then those of the registry.

    Each index is read when a name is asked for that the ones before it lack, so that tasks of
    include paths never wait for the registry.
    """

    def __init__(self, include_paths: Sequence[str] = (), cache: Path | None = None) -> None:
        """Prepare to look names up.

        Args:
            include_paths: folders, later ones win over earlier ones.
            cache: folder of the index files; None takes the setting's.

        Raises:
            NotFoundError: an include path is not a folder.
        """
        self._cache = (cache or Settings.from_environment().cache) / "task-index"
        self._roots = [Path(path).expanduser().resolve() for path in reversed(include_paths)]
        for given, root in zip(reversed(include_paths), self._roots, strict=True):
            if not root.is_dir():
                msg = f"--include-path {given}: there is no such folder"
                raise NotFoundError(msg)
        self._read: dict[Path, _IndexFile] = {}

    def find(self, name: str) -> IndexEntry | None:
        """Look a name up; None when no index has it."""
        for index in self._indexes():
            if (entry := index.entries.get(name)) is not None:
                path = None if entry.path is None else Path(index.root) / entry.path
                included = Path(index.root) in self._roots
                return IndexEntry(name, entry.kind, path, tuple(entry.tasks), included)
        return None

    def get(self, name: str) -> IndexEntry:
        """Look a name up.

        Raises:
            TaskError: no index has it; says what is missing and how to give it.
        """
        entry = self.find(name)
        if entry is None:
            raise TaskError(self._missing(name))
        return entry

    def tasks(self, name: str) -> tuple[str, ...]:
        """Return the tasks that a task's or a tag's name stands for.

        Raises:
            TaskError: no index has the name.
        """
        entry = self.get(name)
        return entry.tasks if entry.kind == "tag" else (name,)

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted({name for index in self._indexes() for name in index.entries})

    def _indexes(self) -> Iterator[_IndexFile]:
        for root in (*self._roots, installed_lm_eval().tasks):
            if root not in self._read:
                self._read[root] = _open_index(root, self._cache)
            yield self._read[root]

    def _missing(self, name: str) -> str:
        near = NotFoundError.among("task", name, self.names())
        broken = [
            f"{Path(index.root) / path}: {reason}"
            for index in self._indexes()
            if Path(index.root) in self._roots
            for path, reason in index.unreadable
        ]
        unread = f"; lm-eval cannot read {'; '.join(broken[:SHOWN])}" if broken else ""
        where = f"lm-eval {installed_lm_eval().version}" + (
            " or the include paths" if self._roots else ""
        )
        return (
            f"{near} — not in {where}: give the folder that defines it (--include-path DIR) or its "
            f"definition (--task-yaml FILE){unread}"
        )


def _open_index(root: Path, cache: Path) -> _IndexFile:
    """Read one root's index from the cache; make it when it is missing, old or damaged."""
    stamp = _stamp(root)
    file = cache / f"{hashlib.sha256(str(root).encode()).hexdigest()[:16]}.json"
    with suppress(OSError, msgspec.DecodeError):
        index = _decoded(file, file.stat().st_mtime_ns)
        if (index.format, index.root, index.stamp) == (FORMAT, str(root), stamp):
            return index
    index = _make_index(root, stamp)
    try:
        _write(file, msgspec.json.encode(index))
    except OSError as error:
        logger.warning("the task index could not be kept, it is made each time: %s", error)
    return index


@lru_cache(maxsize=8)
def _decoded(file: Path, _changed_at: int) -> _IndexFile:
    """Read an index file, once a process as long as it does not change."""
    return msgspec.json.decode(file.read_bytes(), type=_IndexFile)


def _stamp(root: Path) -> str:
    """Return a text that changes when the YAML files below a folder do."""
    installed = installed_lm_eval()
    if root == installed.tasks and installed.stamp is not None:
        return f"{installed.version} {installed.stamp}"
    seen = sorted((str(path), path.stat()) for path in root.glob("**/*.yaml") if path.is_file())
    text = "\n".join(f"{path} {found.st_mtime_ns} {found.st_size}" for path, found in seen)
    return f"{installed.version} {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}"


def _make_index(root: Path, stamp: str) -> _IndexFile:
    """Read all YAML files below a folder, as lm-eval does."""
    from rescore_db.harness.isolation import isolated

    skipped: list[tuple[str, str]] = []
    with isolated(), _skipped_files(root, skipped):
        from lm_eval.tasks._index import TaskIndex

        found = TaskIndex.build([root])
    entries = {name: _entry(root, entry) for name, entry in found.items()}
    return _IndexFile(FORMAT, str(root), stamp, entries, skipped)


def _entry(root: Path, entry: Any) -> _Entry:  # noqa: ANN401 - lm-eval's Entry
    kinds: dict[str, Kind] = {"PY_TASK": "class", "GROUP": "group", "TAG": "tag"}
    kind = kinds.get(entry.kind.name, "task")
    path = None if entry.yaml_path is None else os.path.relpath(entry.yaml_path, root)
    return _Entry(kind, path, sorted(entry.tags) if kind == "tag" else [])


class _SkippedFiles(logging.Handler):
    """Collects what lm-eval only says at level DEBUG: which files it cannot read."""

    def __init__(self, root: Path, skipped: list[tuple[str, str]]) -> None:
        super().__init__(logging.DEBUG)
        self._root = root
        self._skipped = skipped

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args
        if record.levelno != logging.DEBUG or not isinstance(arguments, tuple):
            return
        match arguments:
            case (Path() as path, Exception() as error) if not _is_no_task(error):
                reason = " ".join(str(error).split())
                self._skipped.append((os.path.relpath(path, self._root), reason))


def _is_no_task(error: Exception) -> bool:
    """Tell the YAML files that others include from those that are broken."""
    return str(error).startswith("Unknown config shape")


@contextmanager
def _skipped_files(root: Path, skipped: list[tuple[str, str]]) -> Iterator[None]:
    """Add the files that lm-eval skips within the block to a list."""
    chatter = logging.getLogger("lm_eval.tasks._index")
    handler = _SkippedFiles(root, skipped)
    level, propagate = chatter.level, chatter.propagate
    chatter.addHandler(handler)
    chatter.setLevel(logging.DEBUG)
    chatter.propagate = False
    try:
        yield
    finally:
        chatter.removeHandler(handler)
        chatter.setLevel(level)
        chatter.propagate = propagate


def _write(file: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".index-")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
