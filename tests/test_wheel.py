"""What is installed from the wheel works in an empty folder, with no checkout in reach."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.truth import ROOT, made_once


def pip(*arguments: str) -> None:
    subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        check=True,
        cwd=ROOT,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_once(
        tmp_path_factory,
        "wheel",
        lambda out: pip("wheel", "--no-deps", "--wheel-dir", str(out), "."),
    )
    (path,) = folder.glob("rescore_db-*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content; its dependencies are those of this Python."""
    return made_once(
        tmp_path_factory,
        "installed",
        lambda out: pip("install", "--no-deps", "--no-index", "--target", str(out), str(wheel)),
    )


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def run(installed: Path, folder: Path, *command: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "RESCORE_DB"}
    done = subprocess.run(  # noqa: S603 - the program under test
        command,
        cwd=folder,
        env=kept | {"PYTHONPATH": str(installed), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_package_is_the_one_that_runs(installed: Path, empty: Path) -> None:
    where = "import rescore_db; print(rescore_db.__file__)"

    assert Path(run(installed, empty, sys.executable, "-c", where).strip()).is_relative_to(
        installed
    )


def test_a_store_is_made_in_an_empty_folder(installed: Path, empty: Path) -> None:
    rescore = str(installed / "bin" / "rescore")

    run(installed, empty, rescore, "db", "init")
    current = run(installed, empty, rescore, "db", "current")

    assert [path.name for path in empty.iterdir()] == ["rescore.db"]
    assert "head" in current


def test_the_demo_runs_from_the_wheel(installed: Path, empty: Path) -> None:
    printed = run(installed, empty, str(installed / "bin" / "rescore"), "demo", "tour")

    assert "$ rescore verify" in printed
    assert (empty / "tour" / "rescore.db").stat().st_size > 0


def test_the_wheel_holds_what_is_needed_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    tops = {name.split("/")[0] for name in names}
    assert tops == {"rescore_db", next(top for top in tops if top.endswith(".dist-info"))}
    assert "rescore_db/py.typed" in names
    assert any(name.startswith("rescore_db/_migrations/versions/0001") for name in names)
    assert "rescore_db/demo/last-number.yaml" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.endswith(".pyc") or "test" in name]
