"""Stored responses give what lm-eval logged, bit for bit, for every kind of task."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rescore_db.harness.aggregation import aggregate_groups
from rescore_db.harness.drift import config_differences
from rescore_db.harness.offline import load_task
from tests.harness.logs import (
    as_json,
    blocks,
    by_filter,
    request,
    results_of,
    to_samples,
    values_of,
)
from tests.truth import TASKS

if TYPE_CHECKING:
    from tests.truth import Truth

TASK_NAMES = [
    "small_sums",
    "small_things",
    "small_weather",
    "small_last_word",
    "small_pages",
    "small_phrases",
    "small_pairs",
    "small_votes",
    "small_units",
    "small_orders",
    "small_spellings",
    "small_fill_in",
    "small_trades_garden",
]
ONE_SHARD = ("small_units",)  # its Python filter sees all documents at once


@pytest.mark.parametrize("name", TASK_NAMES)
def test_rescoring_gives_what_lm_eval_logged(truth: Truth, name: str) -> None:
    lines = truth.samples(name)
    results = truth.results()
    samples = to_samples(lines)

    task = load_task(request(name), samples[0].doc)
    scores = task.score(samples)

    assert {one.error for one in scores} == {None}
    ours = by_filter(scores)
    logged = blocks(lines)
    assert list(ours) == list(task.definition.filters) == list(logged)
    for filter_, block in logged.items():
        assert [one.filtered for one in ours[filter_]] == [line["filtered_resps"] for line in block]
        assert [as_json(one.metrics) for one in ours[filter_]] == [
            {metric: line[metric] for metric in line["metrics"]} for line in block
        ]
    iters = results["config"]["bootstrap_iters"]
    expected = {key: value for key, value in results["results"][name].items() if "," in key}
    assert results_of(task, values_of(scores), iters) == expected


@pytest.mark.parametrize("name", TASK_NAMES)
def test_the_definition_is_the_one_that_ran(truth: Truth, name: str) -> None:
    results = truth.results()
    lines = truth.samples(name)

    task = load_task(request(name), lines[0]["doc"])

    assert task.definition.version == results["versions"][name]
    assert task.definition.higher_is_better == results["higher_is_better"][name]
    assert task.definition.nondeterministic is None
    assert config_differences(json.dumps(results["configs"][name]), task.definition) == []
    assert task.target_texts(to_samples(lines)) == [
        line["target"] for line in next(iter(blocks(lines).values()))
    ]


@pytest.mark.parametrize("name", [name for name in TASK_NAMES if name not in ONE_SHARD])
def test_any_split_of_an_evaluation_gives_the_same(truth: Truth, name: str) -> None:
    samples = to_samples(truth.samples(name))
    task = load_task(request(name), samples[0].doc)
    assert task.definition.per_doc_filters
    whole = {(one.filter, one.index): as_json(one.metrics) for one in task.score(samples)}

    single = {}
    for index, sample in reversed(list(enumerate(samples))):
        for one in task.score([sample]):
            single[one.filter, index] = as_json(one.metrics)

    assert single == whole


def test_groups_give_what_lm_eval_logged(truth: Truth) -> None:
    results = truth.results()
    members = {group: names for group, names in results["group_subtasks"].items() if names}

    found = aggregate_groups(members, (str(TASKS),), results["results"])

    assert {name: as_json(found[name]) for name in results["groups"]} == results["groups"]


def test_a_group_named_alone_brings_its_nested_groups(truth: Truth) -> None:
    results = truth.results()

    found = aggregate_groups(["small_trades"], (str(TASKS),), results["results"])

    assert {name: as_json(one) for name, one in found.items()} == results["groups"]


def test_members_and_their_order_are_those_of_the_run(truth: Truth) -> None:
    results = truth.results()
    members = {"small_trades": ["small_trades_garden"]}

    found = aggregate_groups(members, (str(TASKS),), results["results"])

    alone = results["results"]["small_trades_garden"]
    assert found["small_trades"]["acc,none"] == alone["acc,none"]
    assert found["small_trades"]["sample_len"] == alone["sample_len"]
