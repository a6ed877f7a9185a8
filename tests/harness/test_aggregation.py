"""lm-eval's aggregation, without its processes, its noise or its gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import TaskError
from rescore_db.harness.aggregation import aggregate, aggregate_groups
from rescore_db.harness.offline import load_task
from tests.harness.small_tasks import doc, sample, write_task

if TYPE_CHECKING:
    from pathlib import Path

FUNCTIONS = """
def pass_at_k(references, predictions, k=(1, 2)):
    return {f"pass@{n}": float(references[0] in predictions[0][:n]) for n in k}

def best(items):
    return max(items)
"""
EXPANDING = """
filter_list: [{name: all, filter: [{function: take_first_k, k: 2}]}]
metric_list: [{metric: !function functions.pass_at_k, aggregation: !function functions.best, higher_is_better: true}]
"""  # noqa: E501 - YAML


def test_no_process_is_started_and_nothing_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISABLE_MULTIPROC", raising=False)
    monkeypatch.setattr("multiprocessing.Pool", None)
    more = "metric_list: [{metric: exact_match, aggregation: median, higher_is_better: true}]"
    task = load_task(write_task(tmp_path, more), doc("1"))

    found = aggregate(task, {("none", "exact_match"): [0.0, 1.0, 1.0]}, 20)

    value, stderr = found["none", "exact_match"]
    assert value == 1.0
    assert 0 < stderr < 1
    assert capfd.readouterr() == ("", "")


def test_without_bootstrap_there_are_no_standard_errors(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path), doc("1"))

    for iters in (0, None):
        found = aggregate(task, {("none", "exact_match"): [0.0, 1.0]}, iters)
        assert found == {("none", "exact_match"): (0.5, "N/A")}


def test_one_score_has_no_standard_error(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path), doc("1"))

    assert aggregate(task, {("none", "exact_match"): [1.0]}, 10)["none", "exact_match"] == (
        1.0,
        "N/A",
    )


def test_an_aggregation_that_fails_is_named(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path), doc("1"))

    with pytest.raises(TaskError, match="'exact_match' of filter 'none' over 2 scores"):
        aggregate(task, {("none", "exact_match"): ["a", "b"]}, 10)


def test_metrics_that_one_expands_to_are_aggregated_like_it_in_any_process(tmp_path: Path) -> None:
    request = write_task(tmp_path, EXPANDING, FUNCTIONS)
    scoring = load_task(request, doc("1"))
    samples = [sample("1", "1", "2"), sample("2", "3", "2")]
    values: dict[tuple[str, str], list[float]] = {}
    for one in scoring.score(samples):
        assert one.error is None
        for metric, value in one.metrics.items():
            values.setdefault((one.filter, metric), []).append(value)

    fresh = load_task(request, doc("1"))

    assert aggregate(fresh, values, 0) == aggregate(scoring, values, 0)
    assert aggregate(fresh, values, 0)["all", "pass@1"] == (1.0, "N/A")
    assert fresh.higher_is_better["pass@2"] is True


def test_a_group_that_is_not_defined_is_an_error(tmp_path: Path) -> None:
    request = write_task(tmp_path)
    with pytest.raises(TaskError, match="'small' is a task, not a group"):
        aggregate_groups(["small"], request.include_paths, {})
    with pytest.raises(TaskError, match="no task named 'smalls'"):
        aggregate_groups(["smalls"], request.include_paths, {})


def test_tags_inside_a_group_stand_for_their_tasks(tmp_path: Path) -> None:
    request = write_task(tmp_path, "tag: few\n")
    text = "group: tagged\ntask: [few]\naggregate_metric_list: [{metric: exact_match}]\n"
    (tmp_path / "tagged.yaml").write_text(text, "utf-8")

    found = aggregate_groups(
        ["tagged"],
        request.include_paths,
        {"small": {"exact_match,none": 0.25, "exact_match_stderr,none": 0.1, "sample_len": 4}},
    )

    assert found["tagged"]["exact_match,none"] == 0.25


def test_members_that_the_definition_lacks_count_as_in_the_run(tmp_path: Path) -> None:
    request = write_task(tmp_path)
    text = (
        "group: two\ntask: [small]\naggregate_metric_list: [{metric: acc, weight_by_size: false}]\n"
    )
    (tmp_path / "two.yaml").write_text(text, "utf-8")
    metrics = {
        name: {"acc,none": value, "sample_len": 1} for name, value in (("small", 1), ("gone", 0))
    }

    found = aggregate_groups({"two": ["gone", "small"]}, request.include_paths, metrics)

    assert found["two"]["acc,none"] == 0.5
