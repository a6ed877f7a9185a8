"""A recipe's file: what is read, and what is refused with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.rescoring.overrides import FILTERS, METRICS
from rescore_db.rescoring.recipe_file import read_recipe_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "filters.yaml").write_text(FILTERS)
    (tmp_path / "metrics.yaml").write_text(METRICS)
    (tmp_path / "tasks").mkdir()
    return tmp_path


def written(folder: Path, text: str) -> str:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return str(path)


def test_files_are_read_relative_to_the_recipe(folder: Path) -> None:
    text = """
tasks:
  gsm8k*: {filters: filters.yaml, metrics: metrics.yaml, bootstrap_iters: 10}
  mmlu_*: {as_logged: true}
  mine: {include_path: tasks, filters: [{name: x, filter: [{function: take_first}]}]}
  "*":
"""
    gsm8k, mmlu, mine, others = read_recipe_file(written(folder, text))
    assert gsm8k.options()["filters"][0]["name"] == "last-number"
    assert gsm8k.options()["metrics"][0]["metric"] == "exact_match"
    assert gsm8k.bootstrap_iters == 10
    assert gsm8k.covers("gsm8k_cot")
    assert not gsm8k.covers("mmlu_law")
    assert mmlu.source == "as-logged"
    assert mine.template.include_paths == (str(folder / "tasks"),)
    assert json.loads(mine.template.filters_json or "")[0]["name"] == "x"
    assert (others.source, others.covers("anything")) == ("registry", True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "one key `tasks:`"),
        ("[]", "one key `tasks:`"),
        ("tasks: {a: }\nname: x", "one key `tasks:`"),
        ("tasks: []", "no task patterns"),
        ("tasks: {1: {}}", "no task pattern with options"),
        ("tasks: {a: filters.yaml}", "no task pattern with options"),
        ("tasks: {a: {filter: filters.yaml}}", "did you mean filters"),
        ("tasks: {a: {filters: 1}}", "`filters` is no file, but 1"),
        ("tasks: {a: {filters: []}}", "a: filters: filters are a list of entries"),
        ("tasks: {a: {filters: [{name: x}]}}", "a: filters: entry 1 needs"),
        ("tasks: {a: {filters: nowhere.yaml}}", r"nowhere\.yaml: No such file"),
        ("tasks: {a: {filters: metrics.yaml}}", r"a: .*metrics\.yaml: entry 1 needs `name`"),
        ("tasks: {a: {include_path: [1]}}", "`include_path` is no folder"),
        ("tasks: {a: {include_path: nowhere}}", "there is no such folder"),
        ("tasks: {a: {as_logged: 1}}", "`as_logged` is 1, no bool"),
        ("tasks: {a: {bootstrap_iters: true}}", "`bootstrap_iters` is True, no int"),
        ("tasks: {a: {bootstrap_iters: -1}}", "bootstrap_iters -1: 0 for no"),
        ("tasks: {a: {as_logged: true, task_yaml: filters.yaml}}", "exclude each other"),
        ("tasks: {a: {filters: !function x.y}}", r"no file .*x\.py"),
        ("tasks: {a: [", "while parsing"),
    ],
)
def test_a_malformed_recipe_is_refused_with_its_place(folder: Path, text: str, says: str) -> None:
    path = written(folder, text)
    with pytest.raises(UsageError, match=says) as caught:
        read_recipe_file(path)
    assert path in str(caught.value)


def test_a_missing_recipe_file_is_named(folder: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml"):
        read_recipe_file(str(folder / "nowhere.yaml"))
