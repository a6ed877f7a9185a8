"""Several ingests at once store what one after the other would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ingest.logs import Log, choice_line, choices, dump, sums_line
from tests.ingest.program import run, start
from tests.ingest.whole import whole_at

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = ("left", "both", "right")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folders: models share their documents, and one run lies in two of the folders."""
    out = tmp_path_factory.mktemp("logs")
    for folder in FOLDERS:
        for at in range(3):
            model = f"larch/{folder}-{at}"
            lines = [sums_line(number, "strict", resps=[[model]]) for number in range(300)]
            raw = dump(lines) + (b"oops\n" if at == 0 else b"")
            log = Log({"sums": raw, "choices": choices(40)}, model=model)
            log.results = {"model_name": model}
            log.write(out / folder)
    shared = Log({"choices": choices(200)}, model="larch/shared")
    for folder in ("left", "right"):
        shared.write(out / folder)
    return out


@pytest.mark.parametrize("others", [1, 3])
def test_ingests_of_overlapping_folders_at_once_are_as_one(
    store_url: str, logs: Path, sqlite_template: Path, tmp_path: Path, others: int
) -> None:
    alone = tmp_path / "alone.db"
    alone.write_bytes(sqlite_template.read_bytes())
    left, both, right = (str(logs / folder) for folder in FOLDERS)
    for line in ((left, both), (both, right)):
        run(f"sqlite:///{alone}", "ingest", "--skip-bad-lines", *line)

    lines = [(left, both), *((both, right) for _ in range(others))]
    processes = [start(store_url, "ingest", "--skip-bad-lines", *line) for line in lines]
    ends = [(process.communicate(timeout=200)[1], process.returncode) for process in processes]

    assert [code for _, code in ends] == [0] * len(ends), ends
    assert whole_at(store_url) == whole_at(f"sqlite:///{alone}")


def test_two_versions_of_one_run_at_once_are_two_versions(store_url: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        changed = [choice_line(number, acc=float(name == "first")) for number in range(30)]
        Log({"choices": changed}).write(tmp_path / name)

    processes = [start(store_url, "ingest", str(tmp_path / name)) for name in ("first", "second")]
    ends = [(process.communicate(timeout=200)[1], process.returncode) for process in processes]

    assert [code for _, code in ends] == [0, 0], ends
    found = whole_at(store_url)
    assert sorted(key[3] for key in found["runs"]) == [1, 2]
    assert found["sample rows"] == 60
    assert found["problems"] == ()
