"""A changed definition is named by its fields; another release's way of logging is not a change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.harness.drift import config_differences
from rescore_db.harness.offline import load_task
from tests.harness.small_tasks import doc, write_task

if TYPE_CHECKING:
    from pathlib import Path

    from rescore_db.harness.interface import Definition

CODE = '''
def score(doc, results):
    """Compare."""
    return {"right": doc["answer"] == results[0]}

def average(items):
    return sum(items) / len(items)
'''
MORE = """
process_results: !function functions.score
filter_list: [{name: own, filter: [{function: custom, filter_fn: !function functions.average}]}]
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
  - {metric: right, aggregation: !function functions.average, higher_is_better: true}
"""


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    return load_task(write_task(tmp_path, MORE, CODE), doc("1")).definition


REFORMATTED = '''def score( doc,results ):
  """Compare."""
  # by text
  return {"right": doc["answer"]==results[0]}'''
OTHER = REFORMATTED.replace('doc["answer"]==results[0]', 'results[0] == doc["answer"]')
FILTER = {"function": "custom", "filter_fn": "<function average at 0xdead>"}

SAME: dict[str, dict[str, Any]] = {
    "options of a run": {"num_fewshot": 3, "generation_kwargs": {"temperature": 0.7}},
    "metadata of a model": {"metadata": {"version": 1.5, "pretrained": "x", "config_source": "/x"}},
    "metadata of 0.4.0": {"metadata": [{"version": 1.5}]},
    "names and places": {"tag": ["a"], "group": "b", "dataset_path": "x/y", "task_alias": "z"},
    "few-shot settings": {"fewshot_config": {"sampler": "first_n"}},
    "code in another layout": {"process_results": REFORMATTED},
    "code by its name": {"process_results": "<function score at 0x7f74706f42c0>"},
    "addresses": {"filter_list": [{"name": "own", "filter": [FILTER]}]},
    "predict_only": {"metric_list": [{"metric": "bypass"}], "process_results": "process_results"},
    "a field of another release": {"a_field_of_the_future": 1},
}
CHANGED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "code": ({"process_results": OTHER}, ["process_results"]),
    "code of another name": ({"process_results": "<function other at 0x1>"}, ["process_results"]),
    "no code": ({"process_results": None}, ["process_results"]),
    "a filter": ({"filter_list": [{"name": "first", "filter": [FILTER]}]}, ["filter_list"]),
    "version and target": (
        {"metadata": {"version": 2}, "doc_to_target": "{{other}}"},
        ["doc_to_target", "version"],
    ),
    "a field with a default": ({"target_delimiter": ""}, ["target_delimiter"]),
}


@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_these_are_one_definition(definition: Definition, changes: dict[str, Any]) -> None:
    logged = {**json.loads(definition.config_json), **changes}

    assert config_differences(json.dumps(logged), definition) == []


@pytest.mark.parametrize(("changes", "fields"), CHANGED.values(), ids=CHANGED)
def test_these_are_not(definition: Definition, changes: dict[str, Any], fields: list[str]) -> None:
    logged = {**json.loads(definition.config_json), **changes}

    assert config_differences(json.dumps(logged), definition) == fields


def test_what_an_older_release_does_not_log_counts_as_its_default(tmp_path: Path) -> None:
    definition = load_task(write_task(tmp_path), doc("1")).definition
    logged = json.loads(definition.config_json)
    for field in (
        "unsafe_code",
        "fewshot_config",
        "repeats",
        "description",
        "should_decontaminate",
    ):
        del logged[field]
    logged["metric_list"] = [{"metric": "exact_match"}]

    assert config_differences(json.dumps(logged), definition) == []


def test_where_nothing_was_logged_nothing_differs(definition: Definition) -> None:
    assert config_differences("{}", definition) == config_differences("null", definition) == []
