"""0002 → 0003 with rows: nothing of what was logged is lost, and what comes again is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alembic.util import CommandError
from sqlalchemy import func, select

from rescore_db.harness_log.decode import argument_lists
from rescore_db.harness_log.records import split_line, whole_line
from rescore_db.json_exact import dumps, escaped
from rescore_db.store import lifecycle, runs, schema
from rescore_db.store.engine import atomic, open_engine, reading
from rescore_db.store.logged_lines import iter_lines
from rescore_db.store.samples import iter_samples
from tests.migrations.rows_0002 import LINES, N_REQUESTS, fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@pytest.fixture
def upgraded_url(empty_url: str) -> str:
    """A store with rows that was brought from 0002 to this version's revision."""
    with lifecycle.migrating(empty_url) as conn:
        lifecycle.run_migrations(conn, "0002")
        fill(conn)
    assert lifecycle.upgrade(empty_url).before == "0002"
    return empty_url


@pytest.fixture
def upgraded(upgraded_url: str) -> Iterator[Engine]:
    """The same store, opened."""
    engine = open_engine(upgraded_url)
    yield engine
    engine.dispose()


def as_logged(line: dict[str, Any]) -> bytes:
    return dumps(line).replace("\ud800", "\\ud800").encode()


def test_lines_come_back_as_they_were_logged(upgraded: Engine) -> None:
    with reading(upgraded) as conn:
        for key, (lines, _) in LINES.items():
            found = [dumps(line) for line in iter_lines(conn, key)]
            assert found == [dumps(line) for line in lines], key


def test_samples_come_back_as_they_were_logged(upgraded: Engine) -> None:
    with reading(upgraded) as conn:
        for key, (lines, _) in LINES.items():
            for sample, line in zip(iter_samples(conn, key), lines, strict=True):
                assert sample.doc == dumps(line["doc"])
                assert sample.responses == line["resps"]
                assert sample.target_is_json is not isinstance(line["target"], str)
                assert sample.arguments == argument_lists(line["arguments"])
                is_whole = isinstance(line["doc_id"], int)
                assert sample.logged_doc_id == (line["doc_id"] if is_whole else None)


def test_a_line_that_comes_again_finds_its_request(upgraded: Engine) -> None:
    table = schema.request
    with reading(upgraded) as conn:
        hashes = set(conn.scalars(select(table.c.hash)))
        assert conn.scalar(select(func.count()).select_from(table)) == N_REQUESTS
    for lines, _ in LINES.values():
        for line in lines:
            text = as_logged(line)
            record = split_line(1, text) or whole_line(1, text, "samples.jsonl")
            assert record.key in hashes


def test_samples_that_asked_the_same_share_a_request(upgraded: Engine) -> None:
    sample = schema.sample
    query = select(sample.c.request_id).order_by(sample.c.evaluation_id, sample.c.position)
    with reading(upgraded) as conn:
        found = [list(conn.scalars(query.where(sample.c.evaluation_id == key))) for key in LINES]
    assert found[0][0] == found[0][3] == found[1][0]
    assert found[0][1] == found[1][1] == found[3][1]
    assert len({one for ids in found for one in ids}) == N_REQUESTS


def test_logged_hashes_that_do_not_fit_are_known(upgraded: Engine) -> None:
    query = (
        select(schema.request.c.hashes_fit)
        .join(schema.sample, schema.sample.c.request_id == schema.request.c.id)
        .order_by(schema.sample.c.evaluation_id, schema.sample.c.position)
    )
    with reading(upgraded) as conn:
        found = [
            conn.scalars(query.where(schema.sample.c.evaluation_id == key)).all() for key in LINES
        ]
    assert found == [[True] * 4, [True] * 2, [True] * 2, [False, True, None, True], [True]]


def test_only_other_contexts_have_rows_of_their_own(upgraded: Engine) -> None:
    part = schema.request_part
    with reading(upgraded) as conn:
        found = conn.execute(select(part.c.index).order_by(part.c.request_id, part.c.index))
        assert found.scalars().all() == [1, 3]  # of "prompt" and "other" after another first one


def test_the_store_is_sound(upgraded_url: str) -> None:
    assert lifecycle.check(upgraded_url).problems == ()


def test_runs_keep_their_ids_and_new_ones_follow(upgraded: Engine) -> None:
    with atomic(upgraded) as conn:
        rows = conn.exec_driver_sql(
            "SELECT id, name, version, step, tags, samples, is_newest FROM runs ORDER BY id"
        )
        assert [tuple(row) for row in rows] == [
            (1, "first", 1, None, None, 4, False),
            (2, None, 2, None, None, 2, True),
            (3, None, 1, None, None, 7, True),
        ]
        texts = conn.scalars(select(schema.run.c.results_json)).all()
        assert texts == ['{"exact": 1}'] * 3
        assert runs.add_run(conn, runs.NewRun("m", "2026-03-02T10:04:27")).version == 3
        assert runs.add_run(conn, runs.NewRun("other", "")).id == 5


def test_scores_and_kept_lines_stay(upgraded: Engine) -> None:
    with reading(upgraded) as conn:
        count = conn.exec_driver_sql("SELECT count(*) FROM scores").scalar_one()
        assert count == sum(len(lines) for lines, _ in LINES.values())
        kept = conn.scalars(select(schema.line.c.json).order_by(schema.line.c.position)).all()
        assert kept == [escaped(LINES[4][0][0]), escaped(LINES[4][0][2])]
        texts = conn.execute(select(schema.filtered_response)).all()
        assert [row.scored_filter_id for row in texts] == [5]


def test_samples_without_their_contents_stop_the_upgrade(empty_url: str) -> None:
    with lifecycle.migrating(empty_url) as conn:
        lifecycle.run_migrations(conn, "0002")
        fill(conn)
        if conn.dialect.name == "postgresql":
            conn.exec_driver_sql("ALTER TABLE sample DROP CONSTRAINT fk_sample_response_id")

    def damage() -> None:
        with lifecycle.migrating(empty_url) as conn:
            conn.exec_driver_sql("DELETE FROM response WHERE id = 1")
            lifecycle.run_migrations(conn, "0003")

    with pytest.raises(CommandError, match="evaluation 1: 2 samples refer to contents"):
        damage()
    assert lifecycle.current(empty_url).revision == "0002"


def test_a_store_with_rows_does_not_go_back(upgraded: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(lifecycle.migrations_folder()))
    config.set_main_option("path_separator", "os")
    with upgraded.begin() as conn:
        config.attributes["connection"] = conn
        with pytest.raises(CommandError, match="run has rows"):
            command.downgrade(config, "0002")
