"""A scoring's files are those that lm-eval would have written, had it scored in that way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.ingest import ingest_paths
from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.verify import verify_runs
from rescore_db.store import schema
from rescore_db.store.engine import reading
from rescore_db.store.references import resolve
from rescore_db.store.results import group_results
from rescore_db.store.scored import read_aggregates, read_filters
from rescore_db.store.scored_lines import iter_scored_lines
from rescore_db.store.scorings import standings
from rescore_db.typed_values import plain
from tests.export.exporting import export, files_in
from tests.ingest.stored import exact
from tests.truth import TASKS

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")
RUN = "larch/wren-1b@2026-01-05"
ORIGIN = "rescore_db"


@pytest.fixture
def filled(engine: Engine, truth: Truth) -> Engine:
    """A store with everything that lm-eval logged over our tasks."""
    assert not ingest_paths(engine, [str(truth.logs)]).errors
    return engine


def score(engine: Engine, *runs: str, **request: Any) -> list[Any]:
    """Score with the definitions of our tasks."""
    return list(score_runs(engine, runs, ScoreRequest(include_paths=(str(TASKS),), **request)))


def undated(folder: Path) -> dict[str, bytes]:
    """The files of a model's folder by what stands before the date in their names."""
    return {name.rpartition("_")[0]: raw for name, raw in files_in(folder).items()}


def results_in(folder: Path) -> dict[str, Any]:
    """The one results file of a model's folder."""
    (path,) = folder.glob("results_*.json")
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def without_origin(raw: bytes) -> bytes:
    """A results file as lm-eval writes it, without the field that is ours."""
    content = json.loads(raw)
    assert list(content)[-1] == ORIGIN
    del content[ORIGIN]
    return json.dumps(content, indent=2, ensure_ascii=False).encode()


def content(engine: Engine, reference: str) -> dict[str, Any]:
    """All that stands under a scoring, as it would be logged, by task or group."""
    found: dict[str, Any] = {}
    with reading(engine) as conn:
        scoring_id = resolve(conn, reference).scoring_id
        names = dict(
            conn.execute(
                select(schema.evaluation.c.id, schema.task.c.name).join(
                    schema.task, schema.task.c.id == schema.evaluation.c.task_id
                )
            ).all()
        )
        for key, standing in standings(conn, scoring_id).items():
            found[names[key]] = {
                "lines": [exact(line) for line in iter_scored_lines(conn, standing)],
                "aggregates": [
                    (one.name, exact([m.metric, plain(m.value), plain(m.stderr), m.n]))
                    for one in read_filters(conn, standing.id)
                    for m in read_aggregates(conn, one.id)
                ],
            }
        for row in group_results(conn, scoring_id):
            told = (row.filter, row.metric, exact([row.value, row.stderr, row.n]))
            found.setdefault(row.task, []).append(told)
    return found


def test_they_are_the_files_of_lm_eval(
    filled: Engine, empty: Engine, truth: Truth, tmp_path: Path
) -> None:
    score(filled, RUN)

    report = export(filled, tmp_path / "out", scoring="rescored")

    mine = undated(tmp_path / "out" / "larch__wren-1b")
    date = truth.dates[0].replace(":", "-")
    theirs = {
        name.removesuffix(f"_{date}.jsonl").removesuffix(f"_{date}.json"): raw
        for name, raw in files_in(truth.folder(truth.models[0])).items()
        if date in name
    }
    mine["results"] = without_origin(mine["results"])
    assert mine == theirs
    assert report.notes == ()
    assert ingest_paths(empty, [str(tmp_path / "out")]).errors == ()
    assert content(empty, "1:logged") == content(filled, f"{RUN}:rescored")
    rows = verify_runs(empty, [], VerifyRequest(include_paths=(str(TASKS),)))
    assert {row.status for row in rows} == {"identical"}


def test_they_are_a_run_of_their_own(filled: Engine, tmp_path: Path) -> None:
    score(filled, RUN, tasks=("small_sums",))
    score(filled, RUN, tasks=("small_sums",), limit=3)
    first = export(filled, tmp_path / "out", scoring="rescored")
    other = export(filled, tmp_path / "out", scoring=f"{RUN}:first-3")
    export(filled, tmp_path / "out", runs=(RUN,), tasks=("small_sums",))
    assert not [one for one in (*first.files, *other.files) if one.status != "written"]
    again = export(filled, tmp_path / "out", scoring="rescored")
    assert {one.status for one in again.files} == {"unchanged"}

    report = ingest_paths(filled, [str(tmp_path / "out")])

    assert report.evaluations == 2
    assert not [note for note in report.notes if "version" in note]
    assert ingest_paths(filled, [str(tmp_path / "out")]).evaluations == 0
    with reading(filled) as conn:
        runs = conn.execute(select(schema.run.c.model, schema.run.c.date, schema.run.c.version))
        keys = [tuple(row) for row in runs]
    assert len(keys) == 5
    assert {version for *_, version in keys} == {1}


def test_a_selection_is_written_as_one(filled: Engine, truth: Truth, tmp_path: Path) -> None:
    tasks = ("small_sums", "small_trades_*")
    score(filled, RUN, tasks=tasks, where="response LIKE '%e%'", limit=4)

    export(filled, tmp_path / "out", scoring="where-first-4")

    folder = tmp_path / "out" / "larch__wren-1b"
    chosen = [line for line in truth.samples("small_sums") if "e" in line["resps"][0][0].lower()]
    lines = [
        line
        for name in ("strict-match", "flexible-extract")
        for line in [each for each in chosen if each["filter"] == name][:4]
    ]
    assert [line["doc_id"] for line in lines[:4]] == [0, 1, 3, 6]
    written = undated(folder)["samples_small_sums"].splitlines()
    assert [exact(json.loads(line)) for line in written] == list(map(exact, lines))
    results = results_in(folder)
    assert results["n-samples"]["small_sums"] == {"original": 10, "effective": 4}
    assert results["results"]["small_sums"]["sample_len"] == 4
    values = [line["exact_match"] for line in lines[:4]]
    assert results["results"]["small_sums"]["exact_match,strict-match"] == sum(values) / 4
    group = results["groups"]["small_trades"]
    parts = [results["n-samples"][f"small_trades_{name}"] for name in ("kitchen", "office")]
    assert group["sample_len"] >= sum(part["effective"] for part in parts)
    assert results[ORIGIN]["tasks"]["small_sums"]["n"] == 4


# ------------------------------------------------------------------------------- what is chosen


def test_a_name_means_every_run_that_has_it(filled: Engine, tmp_path: Path) -> None:
    score(filled, tasks=("small_things",))
    score(filled, RUN, tasks=("small_pairs",), name="mine", limit=2)

    every = export(filled, tmp_path / "every", scoring="rescored")
    one = export(filled, tmp_path / "one", scoring="rescored", runs=("tern-ai/heron-7b",))
    by_run = export(filled, tmp_path / "by_run", scoring=f"{RUN}:rescored")
    by_id = export(filled, tmp_path / "by_id", scoring=str(scoring_id(filled, f"{RUN}:rescored")))
    named = export(filled, tmp_path / "named", scoring="mine")

    assert len(every.runs) == 3
    assert {len(each.runs) for each in (one, by_run, by_id, named)} == {1}
    assert files_in(tmp_path / "by_id") == files_in(tmp_path / "by_run")
    assert files_in(tmp_path / "one").items() <= files_in(tmp_path / "every").items()
    assert len(files_in(tmp_path / "every")) == 6


def scoring_id(engine: Engine, reference: str) -> int:
    with reading(engine) as conn:
        return resolve(conn, reference).scoring_id


def test_what_lm_eval_logged_is_a_scoring_too(filled: Engine, truth: Truth, tmp_path: Path) -> None:
    export(filled, tmp_path / "out", scoring="logged")

    assert files_in(tmp_path / "out") == files_in(truth.logs)


def test_what_is_not_there_cannot_be_written(filled: Engine, tmp_path: Path) -> None:
    score(filled, RUN, tasks=("small_things",))

    with pytest.raises(NotFoundError, match="no run named 'rescoed'"):
        export(filled, tmp_path / "out", scoring="rescoed")
    with pytest.raises(NotFoundError, match=r"no scoring of tern-ai/heron-7b.* named 'rescored'"):
        export(filled, tmp_path / "out", scoring="rescored", runs=("tern-ai/heron-7b",))
    with pytest.raises(NotFoundError, match="no task named 'small_thing'"):
        export(filled, tmp_path / "out", scoring="rescored", tasks=("small_thing",))
    with pytest.raises(UsageError, match="responses have no scores"):
        export(filled, tmp_path / "out", scoring="rescored", format="responses")
    assert not (tmp_path / "out").exists()
