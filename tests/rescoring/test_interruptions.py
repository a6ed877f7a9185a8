"""Killed, interrupted or doubled, `score` leaves a store that the next command finishes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from rescore_db.ingest import ingest_paths
from rescore_db.rescoring import groups, plan
from rescore_db.rescoring.request import ScoreRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.store import recipes, schema, scorings
from rescore_db.store.bulk import lock_content
from rescore_db.store.engine import atomic, open_engine, reading

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth

FIRST_RUN = "larch/wren-1b@2026-01-05"
TASKS = ("small_trades_*", "small_sums", "small_pairs")


def request(truth: Truth, **more: Any) -> ScoreRequest:
    return ScoreRequest(include_paths=(str(truth.tasks),), **{"tasks": TASKS} | more)


def contents(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that stands under rescored scorings, without ids."""
    with reading(engine) as conn:
        scored = (
            select(
                schema.task.c.name,
                schema.scored_filter.c.name,
                schema.aggregate.c.metric,
                schema.aggregate.c.value,
                schema.aggregate.c.stderr,
                schema.aggregate.c.n,
                func.count(schema.score.c.position),
                func.sum(schema.score.c.value),
            )
            .select_from(schema.scored_evaluation)
            .join(schema.scoring)
            .join(schema.evaluation)
            .join(schema.task)
            .join(schema.scored_filter)
            .join(schema.aggregate)
            .join(schema.score, schema.score.c.aggregate_id == schema.aggregate.c.id)
            .where(schema.scoring.c.kind == "rescored")
            .group_by(schema.task.c.name, schema.scored_filter.c.name, schema.aggregate.c.id)
            .order_by(schema.task.c.name, schema.scored_filter.c.name, schema.aggregate.c.metric)
        )
        grouped = (
            select(schema.group_metric.c.group, schema.group_metric.c.value)
            .join(schema.scoring)
            .where(schema.scoring.c.kind == "rescored")
            .order_by(schema.group_metric.c.group)
        )
        shards = select(func.count()).select_from(schema.scored_shard)
        return {
            "scored": [tuple(row) for row in conn.execute(scored)],
            "groups": [tuple(row) for row in conn.execute(grouped)],
            "shards": [tuple(row) for row in conn.execute(shards)],
        }


@pytest.fixture(scope="module")
def undisturbed(
    filled_sqlite: Path, tmp_path_factory: pytest.TempPathFactory, truth: Truth
) -> dict[str, list[tuple[Any, ...]]]:
    """What a store holds that nobody disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "store.db"
    shutil.copyfile(filled_sqlite, path)
    engine = open_engine(f"sqlite:///{path}")
    score_runs(engine, [FIRST_RUN], request(truth))
    found = contents(engine)
    engine.dispose()
    return found


@pytest.mark.usefixtures("warm_children")
def test_groups_that_were_not_reached_are_made_up_for(
    filled: Engine, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(groups, "aggregate_missing", stops)
    with pytest.raises(KeyboardInterrupt):
        score_runs(filled, [FIRST_RUN], request(truth, tasks=("small_trades_*",)))
    monkeypatch.undo()
    rows = score_runs(filled, [FIRST_RUN], request(truth, tasks=("small_trades_*",)))
    assert {row.task for row in rows if row.is_group} >= {"small_trades"}


@pytest.mark.usefixtures("warm_children")
def test_two_commands_at_once_give_what_one_gives(
    filled: Engine,
    truth: Truth,
    undisturbed: dict[str, list[tuple[Any, ...]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "SHARD_SAMPLES", 3)
    failures: list[BaseException] = []

    def score() -> None:
        own = open_engine(filled.url.render_as_string(hide_password=False))
        try:
            rows = score_runs(own, [FIRST_RUN], request(truth, workers=1))
            assert {row.status for row in rows} == {"complete"}
        except BaseException as error:  # noqa: BLE001 - a thread's failure must not get lost
            failures.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=score) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert contents(filled) == undisturbed


def test_two_recipes_of_one_text_are_one(filled: Engine) -> None:
    found: list[int] = []

    def add() -> None:
        with atomic(filled) as conn:
            lock_content(conn)
            found.append(recipes.add_recipe(conn, '{"task": "x"}'))
            time.sleep(0.1)

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1


@pytest.mark.usefixtures("warm_children")
def test_what_someone_else_finished_does_not_fail(filled: Engine, truth: Truth) -> None:
    (row, *_) = score_runs(filled, [FIRST_RUN], request(truth, tasks=("small_pairs",)))
    assert row.status == "complete"
    with atomic(filled) as conn:
        key = conn.execute(
            select(schema.scored_evaluation.c.id)
            .join(schema.scoring)
            .where(schema.scoring.c.kind == "rescored")
        ).scalar_one()
        scorings.fail(conn, key, "a child of mine hung")
        assert scorings.find_standing(conn, key).status == "complete"


def rescore(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "rescore_db", *arguments],
        env=os.environ | {"RESCORE_DB": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.parametrize("seconds", [1.0, 3.0, 4.5])
def test_a_killed_command_is_finished_by_repeating_it(
    filled: Engine,
    truth: Truth,
    undisturbed: dict[str, list[tuple[Any, ...]]],
    seconds: float,
) -> None:
    url = filled.url.render_as_string(hide_password=False)
    tasks = [word for task in TASKS for word in ("--task", task)]
    line = ["score", FIRST_RUN, *tasks, "--include-path", str(truth.tasks)]
    command = rescore(url, *line)
    time.sleep(seconds)
    command.kill()
    command.wait()
    assert rescore(url, *line).wait() == 0
    assert contents(filled) == undisturbed


def test_ctrl_c_ends_a_filter_that_takes_for_ever(
    sqlite_url: str, truth: Truth, tmp_path: Path
) -> None:
    engine = open_engine(sqlite_url)
    ingest_paths(engine, [str(truth.samples_file("small_sums"))])
    slow = tmp_path / "slow.yaml"
    slow.write_text(
        "- name: slow\n  filter:\n"
        "    - {function: regex, regex_pattern: '(.|\\s)*?(.|\\s)*?(.|\\s)*?(.|\\s)*?\\x01'}\n"
        "    - {function: take_first}\n"
    )
    command = rescore(
        sqlite_url, "score", "--include-path", str(truth.tasks), "--filters", str(slow)
    )
    end = time.monotonic() + 60
    while not has_standing(engine) and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(timeout=20) == 130
    with reading(engine) as conn:
        statuses = conn.scalars(
            select(schema.scored_evaluation.c.status)
            .join(schema.scoring)
            .where(schema.scoring.c.kind == "rescored")
        ).all()
    assert statuses == ["pending"]
    engine.dispose()


def has_standing(engine: Engine) -> bool:
    with reading(engine) as conn:
        found = conn.scalar(select(schema.scoring.c.id).where(schema.scoring.c.kind == "rescored"))
        return found is not None and bool(scorings.standings(conn, found))
