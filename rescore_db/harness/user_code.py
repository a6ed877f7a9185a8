"""Functions and classes of users' own, loaded from the file that they named.

Only scoring children do this.  The file's SHA-256 is checked on the bytes that are run: what a
recipe says of its code holds.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rescore_db.errors import NotFoundError, TaskError
from rescore_db.harness.interface import FUNCTION

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_functions(value: Any, code: Mapping[str, str]) -> Any:  # noqa: ANN401 - parsed JSON
    """Return a list of filters or metrics with functions in the place of references.

    Args:
        value: parsed JSON, with references `{FUNCTION: "module.name", "sha256": …}`.
        code: SHA-256 → path of the source files.

    Raises:
        TaskError: a file is gone, changed, cannot be imported, or has no such function.
    """
    if isinstance(value, list):
        return [with_functions(item, code) for item in value]
    if not isinstance(value, dict):
        return value
    if FUNCTION in value:
        return _function(str(value[FUNCTION]), str(value.get("sha256")), code)
    return {key: with_functions(item, code) for key, item in value.items()}


def _function(name: str, digest: str, code: Mapping[str, str]) -> Any:  # noqa: ANN401
    if digest not in code:
        msg = f"{FUNCTION} {name}: nothing tells where its source file is"
        raise TaskError(msg)
    path = Path(code[digest])
    module = _module(path, digest)
    function = name.rpartition(".")[2]
    if not hasattr(module, function):
        known = (key for key, value in vars(module).items() if callable(value))
        raise TaskError(str(NotFoundError.among(f"function in {path}", function, known)))
    found = getattr(module, function)
    if not callable(found):
        msg = f"{function} in {path} is no function or class, but {type(found).__name__}"
        raise TaskError(msg)
    return found


def _module(path: Path, digest: str) -> ModuleType:
    """Run a source file as a module, or take it from what was run before.

    Its name holds no path, for lm-eval writes the names of classes into configs.
    """
    name = f"{path.stem}_{digest[:12]}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):  # else what is known of it lies elsewhere
        return known
    try:
        source = path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror or error}"
        raise TaskError(msg) from None
    if hashlib.sha256(source).hexdigest() != digest:
        msg = f"{path} changed since it was named; say it again"
        raise TaskError(msg)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), vars(module))  # noqa: S102 - the user named it
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _unimportable(path, error) from error
    return module


def _unimportable(path: Path, error: BaseException) -> TaskError:
    """Say what went wrong, and in which line of the user's file."""
    trace = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in trace if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else next(reversed(own), None)
    place = f"{path}, line {line}" if line else str(path)
    reason = error.msg if isinstance(error, SyntaxError) else error
    return TaskError(f"{place}: it cannot be imported: {type(error).__name__}: {reason}")
