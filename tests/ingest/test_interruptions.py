"""Killed at any point, `ingest` leaves a store that the same command finishes."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

from rescore_db.ingest import ingest_paths
from rescore_db.store import schema
from rescore_db.store.engine import open_engine, reading
from tests.ingest.logs import Log, choices, dump, sums_line
from tests.ingest.program import run, start
from tests.ingest.whole import whole_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Databases

KILLS = 9  # other points in each run; with two databases a minute
LINES = 2000
FOLDERS = ("a", "b", "c")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three models, some with a bad line; large enough to be hit within a file."""
    out = tmp_path_factory.mktemp("logs")
    for at, name in enumerate(FOLDERS):
        lines = [sums_line(number, "strict") for number in range(LINES)]
        raw = dump(lines) + (b"oops\n" if at == 1 else b"")
        log = Log({"sums": raw, "choices": choices(40)}, model=f"larch/{name}")
        log.results = {"model_name": f"larch/{name}"}
        log.write(out)
    return out


LINE = ("ingest", "--skip-bad-lines", "--tag", "night")


@pytest.fixture(scope="module")
def undisturbed(
    logs: Path, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], float]:
    """What a store holds that nobody disturbed, and how long that took."""
    path = tmp_path_factory.mktemp("whole") / "store.db"
    path.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{path}"
    begun = time.monotonic()
    assert run(url, *LINE, str(logs))[0] == 0
    return whole_at(url), time.monotonic() - begun


def fresh_store(kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of one more store, of a database of its own."""
    if kind == "postgresql":
        databases: Databases = request.getfixturevalue("databases")
        return databases.url(databases.make(request.getfixturevalue("postgres_template")))
    path = request.getfixturevalue("tmp_path") / f"{uuid4().hex}.db"
    path.write_bytes(request.getfixturevalue("sqlite_template").read_bytes())
    return f"sqlite:///{path}"


def samples_begun(url: str) -> Callable[[], bool]:
    """Tell when an SQLite file, or its log, has begun to grow; when PostgreSQL has a run."""
    if not url.startswith("sqlite"):
        return lambda: has_runs(url)
    files = [Path(url.removeprefix("sqlite:///") + ending) for ending in ("", "-wal")]
    before = sum(one.stat().st_size for one in files if one.exists())
    return lambda: sum(one.stat().st_size for one in files if one.exists()) > before + 100_000


def has_runs(url: str) -> bool:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT 1 FROM run LIMIT 1").fetchone() is not None


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_killed_ingest_is_finished_by_repeating_it(
    kind: str,
    request: pytest.FixtureRequest,
    logs: Path,
    undisturbed: tuple[dict[str, Any], float],
) -> None:
    expected, expected_seconds = undisturbed
    seed = time.time_ns()
    chance = random.Random(seed)  # noqa: S311 - a test's points, named when it fails
    for at in range(KILLS):
        seconds, at_start = chance.uniform(0, 0.5) * expected_seconds, at % 3 == 0
        url = fresh_store(kind, request)
        while not is_killed(url, logs, seconds, at_start=at_start):  # done before the kill
            url, seconds = fresh_store(kind, request), seconds / 2
        if at % 6 == 0:
            is_killed(url, logs, seconds, at_start=at_start)  # once more
        code, _, err = run(url, *LINE, str(logs))
        assert code == 0, (seed, at, err)
        assert whole_at(url) == expected, (seed, at)


def is_killed(url: str, logs: Path, seconds: float, *, at_start: bool) -> bool:
    """Kill an ingest some time after its start, or after it began to write; False if it was done.

    Args:
        url: the store.
        logs: what is taken in.
        seconds: when.
        at_start: from the start on.
    """
    process = start(url, *LINE, str(logs))
    if not at_start:
        wait_for(samples_begun(url), process.poll)
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def wait_for(happened: Callable[[], bool], ended: Callable[[], int | None]) -> None:
    end = time.monotonic() + 30
    while not happened() and ended() is None and time.monotonic() < end:
        time.sleep(0.005)


def test_ctrl_c_leaves_whole_evaluations(sqlite_url: str, logs: Path) -> None:
    process = start(sqlite_url, *LINE, str(logs))
    wait_for(samples_begun(sqlite_url), process.poll)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; what was stored until now stays" in err
    assert "Traceback" not in err
    engine = open_engine(sqlite_url)
    with reading(engine) as conn:
        table = schema.evaluation
        for n_samples, digest in conn.execute(table.select().with_only_columns(
            table.c.n_samples, table.c.digest
        )):  # fmt: skip
            assert n_samples in {0, 40, LINES}
            assert (digest is None) == (n_samples == 0)
    engine.dispose()


def test_an_error_of_the_database_in_the_middle_leaves_the_evaluation_out(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rescore_db.ingest import writer

    Log({"sums": [sums_line(number) for number in range(50)], "choices": choices()}).write(tmp_path)
    engine = open_engine(store_url)

    def breaks(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer.EvaluationWriter, "finish", breaks)
    with pytest.raises(KeyboardInterrupt):
        ingest_paths(engine, [str(tmp_path)])
    monkeypatch.undo()
    with reading(engine) as conn:
        assert conn.scalars(schema.sample.select()).all() == []
    report = ingest_paths(engine, [str(tmp_path)])
    assert (report.filled, report.errors) == (2, ())
    engine.dispose()
    assert whole_at(store_url)["sample rows"] == 54
