"""YAML that users write: read with a bound on its size, functions as references, nothing run.

`!function module.name` names a function or class in `module.py` beside the YAML file, as in
lm-eval's own task files.  Here it is only looked up: it becomes a reference of its name and the
SHA-256 of its source file, and the path is kept apart.  Scoring children load it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.harness.interface import FUNCTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yaml import Loader, Node, SafeLoader

MAX_BYTES: Final = 1_000_000  # of a YAML file; people write them by hand


@dataclass(frozen=True, slots=True)
class UserYaml:
    """What a YAML file holds.

    Attributes:
        path: the file, as the user named it.
        content: its content, functions as references `{FUNCTION: name, "sha256": …}`.
        code: SHA-256 → path of the source files that it refers to.
    """

    path: str
    content: Any
    code: dict[str, str] = field(default_factory=dict)


def read_yaml(path: str, example: str) -> UserYaml:
    """Read a YAML file.

    Args:
        path: the file.
        example: how such a file looks, shown where it is malformed.

    Raises:
        NotFoundError: there is no such file, or none that a `!function` in it names.
        UsageError: it is not YAML, or too long.
    """
    import yaml

    text, code = _text_of(path, example), dict[str, str]()
    try:
        loader = _loader(path, code)
        content = yaml.load(text, loader)  # noqa: S506 - a SafeLoader with one more tag
    except yaml.YAMLError as error:
        raise malformed(path, " ".join(str(error).split()), example) from None
    except RecursionError:
        raise malformed(path, "it is nested too deeply", example) from None
    return UserYaml(path, content, code)


def _loader(path: str, code: dict[str, str]) -> type[SafeLoader]:
    """Return a loader for one file; it fills in where the functions' source files are."""
    import yaml

    class UserLoader(yaml.SafeLoader):
        """Reads plain YAML, and `!function`."""

    def reference(loader: Loader, node: Node) -> dict[str, str]:
        if not isinstance(node, yaml.ScalarNode):
            problem = "!function takes a name as `module.function`"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        name = str(loader.construct_scalar(node)).strip()
        source = _source_file(path, name)
        digest = file_digest(source)
        code[digest] = str(source)
        return {FUNCTION: name, "sha256": digest}

    UserLoader.add_constructor(FUNCTION, reference)
    return UserLoader


def _source_file(path: str, name: str) -> Path:
    """Return the Python file that a YAML file's `!function` names."""
    module, _, function = name.rpartition(".")
    if not module or not function:
        msg = f"{path}: !function {name}: write it as `module.function`, for module.py beside it"
        raise UsageError(msg)
    source = (Path(path).resolve().parent / f"{module.replace('.', '/')}.py").resolve()
    if not source.is_file():
        msg = f"{path}: !function {name}: there is no file {source}"
        raise NotFoundError(msg)
    return source


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        NotFoundError: it can't be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        msg = f"{path}: {error.strerror or error}"
        raise NotFoundError(msg) from None


def is_reference(value: object) -> bool:
    """Tell whether a value of a YAML file stands for a function."""
    return isinstance(value, dict) and FUNCTION in value


def _text_of(path: str, example: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        msg = f"{path}: {error.strerror or error}"
        raise NotFoundError(msg) from None
    if len(content) > MAX_BYTES:
        raise malformed(path, f"it is longer than {MAX_BYTES:,} bytes", example)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(path, "it is not UTF-8", example) from None


def malformed(where: str, what: str, example: str) -> UsageError:
    """Build the error for a file that does not look as it should."""
    return UsageError(f"{where}: {what}; it should look like\n{example}")


def is_list_of_mappings(found: object) -> bool:
    """Tell whether a value is a list of mappings, and not empty."""
    if not isinstance(found, list) or not found:
        return False
    entries: Sequence[object] = found
    return all(isinstance(entry, dict) for entry in entries)
