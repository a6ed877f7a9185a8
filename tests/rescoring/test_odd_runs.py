"""Runs that are asked for in unusual ways: tasks inside groups, predictions without scores."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.ingest import ingest_paths
from rescore_db.rescoring.request import ScoreRequest, VerifyRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.rescoring.verify import verify_runs
from rescore_db.store.engine import open_engine
from tests.truth import DATES, TASKS, Invocation, made_once, make_logs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")

FAMILY = """
group: family
task:
  - {task: small_things, metric_list: [{metric: acc, aggregation: median, higher_is_better: true}]}
  - task: inline
    dataset_path: json
    dataset_kwargs: {data_files: {test: tasks/data/trades_garden.jsonl}}
    output_type: multiple_choice
    test_split: test
    doc_to_text: "{{question}}"
    doc_to_choice: "{{choices}}"
    doc_to_target: gold
    metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
aggregate_metric_list: [{metric: acc, weight_by_size: false}]
"""
RUNS = (
    Invocation(tasks=("family",)),
    Invocation(tasks=("small_sums",), date=DATES[1], options={"predict_only": True}),
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the logs of those runs, and the tasks that they are of."""

    def make(folder: Path) -> None:
        shutil.copytree(TASKS, folder / "tasks")
        (folder / "tasks" / "family.yaml").write_text(FAMILY, "utf-8")
        make_logs(folder / "logs", *RUNS, tasks=folder / "tasks")

    return made_once(tmp_path_factory, "odd", make)


def entries(results: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, Any]]:
    """(task, "metric,filter") → value and standard error, of what lm-eval's results hold."""
    return {
        (task, key): (value, metrics.get(f"{key.replace(',', '_stderr,', 1)}"))
        for task, metrics in results.items()
        for key, value in metrics.items()
        if "," in key and "_stderr," not in key
    }


def test_a_task_inside_a_group_and_what_a_group_overrides_give_lm_evals_numbers(
    odd: Path, sqlite_url: str
) -> None:
    engine = open_engine(sqlite_url)
    assert not ingest_paths(engine, [str(odd / "logs")]).errors
    (path,) = (odd / "logs").rglob(f"results_{DATES[0].replace(':', '-')}.json")
    logged = json.loads(path.read_text("utf-8"))["results"]
    paths = (str(odd / "tasks"),)

    rows = score_runs(engine, [f"larch/wren-1b@{DATES[0]}"], ScoreRequest(include_paths=paths))
    verified = verify_runs(
        engine, [f"larch/wren-1b@{DATES[0]}"], VerifyRequest(include_paths=paths)
    )
    engine.dispose()

    assert set(logged) == {"family", "family::inline", "small_things"}
    assert {(row.task, f"{row.metric},{row.filter}"): (row.value, row.stderr) for row in rows} == (
        entries(logged)
    )
    assert {(row.status, row.reason) for row in verified} == {("identical", None)}


def test_predictions_get_the_scores_that_lm_eval_would_have_logged(
    odd: Path, truth: Truth, sqlite_url: str
) -> None:
    engine = open_engine(sqlite_url)
    ingest_paths(engine, [str(odd / "logs")])
    request = ScoreRequest(include_paths=(str(odd / "tasks"),))

    rows = score_runs(engine, [f"larch/wren-1b@{DATES[1]}"], request)
    engine.dispose()

    would_be = entries({"small_sums": truth.results()["results"]["small_sums"]})
    assert {(row.task, f"{row.metric},{row.filter}"): (row.value, row.stderr) for row in rows} == (
        would_be
    )
