"""The truth that other tests lean on is what it says."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.truth import EVERY_TASK, TASKS, Invocation, Truth, make_logs

if TYPE_CHECKING:
    from pathlib import Path


def test_every_evaluation_has_its_samples_and_aggregates(truth: Truth) -> None:
    for model, date in ((truth.models[0], truth.dates[0]), (truth.models[0], truth.dates[1])):
        results = truth.results(model, date)

        assert results["model_name"] == model
        assert set(results["groups"]) == {"small_trades", "small_trades_indoors"}
        for task, config in results["configs"].items():
            lines = truth.samples(task, model, date)
            filters = Counter(line["filter"] for line in lines)
            assert config["task"] == task
            assert set(filters.values()) == {results["n-samples"][task]["effective"]}


def test_every_kind_of_request_and_metric_occurs(truth: Truth) -> None:
    configs = truth.results()["configs"]
    kinds = {config["output_type"] for config in configs.values()}
    metrics = {
        metric for task in configs for line in truth.samples(task) for metric in line["metrics"]
    }

    assert kinds == {"generate_until", "multiple_choice", "loglikelihood", "loglikelihood_rolling"}
    assert metrics >= {"acc_norm", "bleu", "brier_score", "f1", "mcc", "perplexity", "each_rule"}
    assert {line["filter"] for line in truth.samples("small_votes")} == {
        "score-first",
        "maj@4",
        "maj@2",
    }
    assert all(len(line["resps"][0]) == 4 for line in truth.samples("small_votes"))


def test_one_document_occurs_twice(truth: Truth) -> None:
    hashes = Counter(line["doc_hash"] for line in truth.samples("small_things"))

    assert sorted(hashes.values()) == [1, 1, 1, 1, 1, 1, 2]


def test_a_later_variant_changes_some_answers_and_keeps_others(truth: Truth) -> None:
    before, after = (truth.samples("small_sums", date=date) for date in truth.dates)
    same = [one["resps"] == two["resps"] for one, two in zip(before, after, strict=True)]

    assert any(same)
    assert not all(same)


def test_no_path_of_this_machine_gets_into_the_logs(truth: Truth) -> None:
    here = str(TASKS.parent.parent)
    for path in truth.logs.rglob("*.json*"):
        text = path.read_text(encoding="utf-8")
        assert here not in text
        assert "/tmp" not in text  # noqa: S108 - looked for, not used


def test_the_same_invocation_writes_the_same_bytes(truth: Truth, tmp_path: Path) -> None:
    again = make_logs(tmp_path / "logs", Invocation(tasks=("small_sums",)))

    (written,) = again.rglob("samples_*.jsonl")
    assert written.read_bytes() == truth.samples_file("small_sums").read_bytes()


def test_options_reach_lm_eval(tmp_path: Path) -> None:
    logs = make_logs(
        tmp_path / "logs",
        Invocation(tasks=("small_sums",), options={"limit": 3}),
        Invocation(tasks=("small_sums",), model="a/b", options={"samples": {"small_sums": [7, 2]}}),
        Invocation(tasks=("small_sums",), model="c/d", options={"predict_only": True}),
    )

    def lines(folder: str) -> list[dict[str, object]]:
        (path,) = (logs / folder).glob("samples_*.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    assert [line["doc_id"] for line in lines("larch__wren-1b")] == [0, 1, 2] * 2
    assert [line["doc_id"] for line in lines("a__b")] == [7, 2] * 2
    assert {line["metrics"][0] for line in lines("c__d")} == {"bypass"}  # type: ignore[index]


def test_a_failure_of_lm_eval_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no_such_task"):
        make_logs(tmp_path / "logs", Invocation(tasks=("no_such_task",)))


def test_every_task_of_the_folder_is_run() -> None:
    named = {path.stem for path in TASKS.glob("*.yaml")}

    assert {name for name in named if not name.startswith(("_", "small_trades_"))} | {
        "small_trades"
    } == set(EVERY_TASK)
