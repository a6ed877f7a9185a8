"""A scoring's files are those that lm-eval would have written, had it scored in that way."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from sqlalchemy import func, select

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.ingest import ingest_paths
from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.verify import verify_runs
from rescore_db.store import schema
from rescore_db.store.engine import atomic, reading
from rescore_db.store.references import resolve
from rescore_db.store.results import group_results
from rescore_db.store.scored import read_aggregates, read_filters
from rescore_db.store.scored_lines import iter_scored_lines
from rescore_db.store.scorings import standings
from rescore_db.typed_values import plain
from tests.export.exporting import export, files_in
from tests.ingest.stored import exact
from tests.older_logs import write_0_4_0, write_0_4_3
from tests.truth import TASKS, Invocation, made_once, make_logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine

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


# -------------------------------------------------------------- other definitions than the run's

MINE = """\
- name: first-number
  filter:
    - {function: regex, regex_pattern: '(-?[0-9]+)', group_select: 0}
    - {function: take_first}
- name: raw
  filter:
    - {function: take_first}
"""
CHANGED = ("small_sums", "small_votes")


@pytest.fixture(scope="session")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lm-eval writes of the first run when tasks have the filters of `MINE`.

    In `small_orders` a metric is named like a field of the lines.
    """

    def make(out: Path) -> None:
        tasks = out.parent / "changed-tasks"
        shutil.copytree(TASKS, tasks)
        for name in CHANGED:
            path = tasks / f"{name}.yaml"
            config = yaml.safe_load(path.read_text("utf-8")) | {"filter_list": yaml.safe_load(MINE)}
            path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
        for name in ("small_orders.yaml", "functions.py"):
            path = tasks / name
            path.write_text(path.read_text("utf-8").replace("all_rules", "target"), "utf-8")
        make_logs(out, Invocation((*CHANGED, "small_orders")), tasks=tasks)

    return made_once(tmp_path_factory, "changed", make)


def test_other_filters_give_the_files_of_an_lm_eval_with_them(
    filled: Engine, changed: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE, "utf-8")
    score(filled, RUN, tasks=CHANGED, filters=str(mine))

    report = export(filled, tmp_path / "out", scoring="mine")

    found, expected = (undated(folder / "larch__wren-1b") for folder in (tmp_path / "out", changed))
    for task in CHANGED:
        assert found[f"samples_{task}"] == expected[f"samples_{task}"], task
    results, theirs = json.loads(found["results"]), json.loads(expected["results"])
    assert results.pop(ORIGIN)["tasks"].keys() == set(CHANGED)
    assert [*results] == [*theirs]
    for name, entry in theirs.items():
        if isinstance(entry, dict) and "small_orders" in entry:
            del entry["small_orders"]
        assert exact(results[name]) == exact(entry), name
    assert report.notes == ()


def test_a_metric_may_take_the_place_of_a_field(
    engine: Engine, changed: Path, tmp_path: Path
) -> None:
    ingest_paths(engine, [str(changed)])
    tasks = changed.parent / "changed-tasks"
    request = ScoreRequest(tasks=("small_orders",), include_paths=(str(tasks),))
    score_runs(engine, [], request)

    export(engine, tmp_path / "out", scoring="rescored")

    found, expected = (
        undated(folder / "larch__wren-1b")["samples_small_orders"]
        for folder in (tmp_path / "out", changed)
    )
    assert found == expected
    assert {type(json.loads(line)["target"]) for line in found.splitlines()} == {str}


def test_metrics_of_a_predict_only_run_appear(filled: Engine, tmp_path: Path) -> None:
    score(filled, RUN, tasks=("small_phrases",), name="mine", limit=5)
    with atomic(filled) as conn:
        table = schema.evaluation
        texts = conn.execute(select(table.c.id, table.c.config_json)).all()
        for key, text in texts:
            config = json.loads(text) | {"metric_list": [{"metric": "bypass"}], "num_fewshot": 3}
            row = table.update().where(table.c.id == key)
            conn.execute(row.values(config_json=json.dumps(config)))

    export(filled, tmp_path / "out", scoring="mine")

    config = results_in(tmp_path / "out" / "larch__wren-1b")["configs"]["small_phrases"]
    assert [one["metric"] for one in config["metric_list"]] == ["bleu", "ter", "chrf"]
    assert config["num_fewshot"] == 3
    assert config["metadata"]["pretrained"] == "larch/wren-1b"


def test_a_scoring_without_its_config_says_so_and_can_get_it(
    filled: Engine, tmp_path: Path
) -> None:
    score(filled, RUN, tasks=("small_things",))
    with atomic(filled) as conn:
        conn.execute(schema.recipe_config.delete())

    report = export(filled, tmp_path / "out", scoring="rescored")

    (note,) = report.notes
    assert "did not keep the definition that scored small_things" in note
    assert results_in(tmp_path / "out" / "larch__wren-1b")["configs"] == {}
    assert all(row.known for row in score(filled, RUN, tasks=("small_things",)))
    assert export(filled, tmp_path / "again", scoring="rescored").notes == ()


# --------------------------------------------------------------------------------- gaps in the run


def test_what_is_not_whole_is_left_out_and_told(filled: Engine, tmp_path: Path) -> None:
    score(filled, RUN, tasks=("small_things", "small_pairs"))
    table = schema.scored_evaluation
    with atomic(filled) as conn:
        row = table.update().where(table.c.scoring_id == _scoring_id(conn, f"{RUN}:rescored"))
        last = select(func.max(table.c.id)).scalar_subquery()
        conn.execute(row.where(table.c.id == last).values(status="failed", reason="it hung"))

    report = export(filled, tmp_path / "out", scoring="rescored")
    names = {one.task for one in report.files}

    (note,) = report.notes
    assert "is failed under rescored: it hung; it is left out" in note
    assert names in ({None, "small_things"}, {None, "small_pairs"})
    with atomic(filled) as conn:
        conn.execute(table.update().where(table.c.recipe_id.is_not(None)).values(status="pending"))
    report = export(filled, tmp_path / "none", scoring="rescored")
    assert report.files == ()
    assert report.notes[-1].endswith("nothing of it is scored under rescored")


def test_a_run_without_results_has_what_is_known(
    engine: Engine, empty: Engine, truth: Truth, tmp_path: Path
) -> None:
    (tmp_path / "in" / "larch__wren-1b").mkdir(parents=True)
    path = truth.samples_file("small_sums")
    shutil.copy(path, tmp_path / "in" / "larch__wren-1b" / path.name)
    ingest_paths(engine, [str(tmp_path / "in")])
    score(engine)

    export(engine, tmp_path / "out", scoring="rescored")

    folder = tmp_path / "out" / "larch__wren-1b"
    assert undated(folder)["samples_small_sums"] == path.read_bytes()
    results, logged = results_in(folder), truth.results()
    assert results["results"] == {"small_sums": logged["results"]["small_sums"]}
    assert results["n-samples"] == {"small_sums": {"effective": 10}}
    assert results["task_hashes"] == {"small_sums": logged["task_hashes"]["small_sums"]}
    assert results["model_name"] == "larch/wren-1b"
    assert not {"config", "date", "git_hash", "groups"} & results.keys()
    assert "num_fewshot" not in results["configs"]["small_sums"]
    ingest_paths(empty, [str(tmp_path / "out")])
    assert content(empty, "1:logged") == content(engine, "1:rescored")


@pytest.mark.parametrize("write", [write_0_4_0, write_0_4_3])
def test_runs_of_older_releases_become_files_of_todays(
    engine: Engine, truth: Truth, tmp_path: Path, write: Callable[[Path, Path], Path]
) -> None:
    tasks = ("small_sums", "small_things", "small_pages")
    source = tmp_path / "source" / "larch__wren-1b"
    source.mkdir(parents=True)
    for path in (*map(truth.samples_file, tasks), truth.folder(truth.models[0])):
        name = f"results_{truth.dates[0].replace(':', '-')}.json"
        found = path / name if path.is_dir() else path
        shutil.copy(found, source / found.name)
    write(source, tmp_path / "old")
    assert not ingest_paths(engine, [str(tmp_path / "old")]).errors
    score(engine, tasks=tasks)

    export(engine, tmp_path / "out", scoring="rescored")

    (folder,) = (tmp_path / "out").iterdir()
    for task in tasks:
        assert undated(folder)[f"samples_{task}"] == truth.samples_file(task).read_bytes(), task
    results, logged = results_in(folder), truth.results()
    for task in tasks:
        assert results["results"][task] == logged["results"][task]
        assert results["task_hashes"][task] == logged["task_hashes"][task]


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
        return _scoring_id(conn, reference)


def _scoring_id(conn: Connection, reference: str) -> int:
    return resolve(conn, reference).scoring_id


def test_what_lm_eval_logged_is_a_scoring_too(filled: Engine, truth: Truth, tmp_path: Path) -> None:
    export(filled, tmp_path / "out", scoring="logged")

    assert files_in(tmp_path / "out") == files_in(truth.logs)


def test_what_is_not_there_cannot_be_written(filled: Engine, tmp_path: Path) -> None:
    score(filled, RUN, tasks=("small_things",))

    with pytest.raises(NotFoundError, match="no scoring named 'rescoed'; did you mean rescored"):
        export(filled, tmp_path / "out", scoring="rescoed")
    with pytest.raises(NotFoundError, match=r"no scoring of tern-ai/heron-7b.* named 'rescored'"):
        export(filled, tmp_path / "out", scoring="rescored", runs=("tern-ai/heron-7b",))
    with pytest.raises(NotFoundError, match="no task named 'small_thing'"):
        export(filled, tmp_path / "out", scoring="rescored", tasks=("small_thing",))
    with pytest.raises(UsageError, match="responses have no scores"):
        export(filled, tmp_path / "out", scoring="rescored", format="responses")
    assert not (tmp_path / "out").exists()
