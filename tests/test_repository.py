"""Rules for the repository as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from typer.main import get_command

import rescore_db
from rescore_db.cli.main import app
from tests.truth import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE_LINES, FUNCTION_LINES = 400, 40  # ruff counts parameters
LARGEST = 1_000_000  # bytes
README = (ROOT / "README.md").read_text(encoding="utf-8")

# Put together here, so that this file does not break its own rule.
MACHINE_PATHS = re.compile("|".join(f"/{top}/" for top in ("work", "root", "home", "Users")))
REGISTRIES = re.compile(r"https?://[^/\s]*(?:pypi|registry|artifactory|nexus|mirror)|file:/" + "//")


def tracked() -> list[Path]:
    """Return the files that are, or are about to be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(  # noqa: S603 - no part of it comes from outside
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_file_is_large() -> None:
    assert [path for path in tracked() if path.stat().st_size > LARGEST] == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [(path.name, match.group()) for match in MACHINE_PATHS.finditer(text)]
        found += [(path.name, match.group()) for match in REGISTRIES.finditer(text)]

    assert found == []


def commands(command: object, name: str) -> Iterator[str]:
    """Yield every command line without its arguments: "rescore runs", "rescore runs show"."""
    yield name
    for child, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {child}")


@pytest.mark.parametrize("name", [*commands(get_command(app), "rescore")])
def test_every_command_is_in_the_readme(name: str) -> None:
    assert name in README


def test_the_readme_names_the_public_api() -> None:
    table = README.split("| name | is |")[1].split("\n\n")[0]
    names = [row.split("|")[1] for row in table.splitlines()[2:]]
    documented = re.findall(r"`(?:rescore_db\.)?(\w+)", " ".join(names))

    assert sorted(documented) == sorted(rescore_db.__all__)


@pytest.mark.parametrize("name", rescore_db.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(rescore_db, name) is not None


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's lines, its docstring not counted."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        text = function.body[0]
        lines -= (text.end_lineno or text.lineno) - text.lineno + 1
    return lines


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.name) for path in sorted((ROOT / "rescore_db").rglob("*.py"))],
)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(text.splitlines()) <= MODULE_LINES
    assert [each.name for each in functions if length(each) > FUNCTION_LINES] == []
