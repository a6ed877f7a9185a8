"""Filters and metrics of users' own in Python: loaded from the file they named, nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

import rescore_db
from rescore_db.errors import TaskError, UsageError
from rescore_db.rescoring.recipes import add_recipe
from rescore_db.rescoring.request import RecipeEntry, ScoreRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.store import schema
from rescore_db.store.engine import reading

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import ScoreRow
    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")
FIRST_RUN = "larch/wren-1b@2026-01-05"

MINE = '''
from lm_eval.api.filter import Filter

class LastWord(Filter):
    """Keeps the last word, without what stands around it."""

    def __init__(self, around=".") -> None:
        self.around = around

    def apply(self, resps, docs):
        return [[(text.split() or [""])[-1].strip(self.around) for text in row] for row in resps]

def first_of_each(resps, docs):
    return [row[0] for row in resps]

def length(references, predictions, factor=1):
    return factor * len(predictions[0])

def longest(items):
    return max(items)

NUMBER = 3
'''
FILTERS = """
- name: last-word
  filter:
    - {function: !function mine.LastWord, around: "."}
    - {function: custom, filter_fn: !function mine.first_of_each}
"""
METRICS = """
- {metric: !function mine.length, aggregation: mean, higher_is_better: true, factor: 2}
- {metric: exact_match, aggregation: !function mine.longest, higher_is_better: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "filters.yaml").write_text(FILTERS)
    (tmp_path / "metrics.yaml").write_text(METRICS)
    return tmp_path


def request(
    truth: Truth, folder: Path, *, filters: str | None = None, metrics: str | None = None
) -> ScoreRequest:
    return ScoreRequest(
        ("small_sums",),
        include_paths=(str(truth.tasks),),
        filters=str(folder / filters) if filters else None,
        metrics=str(folder / metrics) if metrics else None,
    )


def last_words(truth: Truth) -> list[str]:
    lines = [line for line in truth.samples("small_sums") if line["filter"] == "strict-match"]
    return [(line["resps"][0][0].split() or [""])[-1].strip(".") for line in lines]


def test_a_class_and_functions_of_the_users_filter_and_score(
    filled: Engine, truth: Truth, folder: Path
) -> None:
    asked = request(truth, folder, filters="filters.yaml", metrics="metrics.yaml")
    rows = {row.metric: row for row in score_runs(filled, [FIRST_RUN], asked)}
    words = last_words(truth)
    assert {(row.filter, row.status, row.reason) for row in rows.values()} == {
        ("last-word", "complete", None)
    }
    assert rows["length"].value == sum(2 * len(word) for word in words) / len(words)
    lines = [line for line in truth.samples("small_sums") if line["filter"] == "strict-match"]
    hits = [word == line["target"] for word, line in zip(words, lines, strict=True)]
    assert rows["exact_match"].value == float(any(hits))


def test_a_recipe_holds_a_functions_name_and_the_hash_of_its_file(
    filled: Engine, truth: Truth, folder: Path
) -> None:
    score_runs(filled, [FIRST_RUN], request(truth, folder, filters="filters.yaml"))
    with reading(filled) as conn:
        (text,) = conn.scalars(select(schema.recipe.c.content_json))
        (how,) = conn.scalars(
            select(schema.scoring.c.how_json).where(schema.scoring.c.kind == "rescored")
        )
    digest = hashlib.sha256(MINE.encode()).hexdigest()
    step = json.loads(text)["filters"][0]["filter"][0]
    assert step["function"] == {"!function": "mine.LastWord", "sha256": digest}
    assert ["mine.LastWord", digest] in json.loads(text)["code"]
    assert str(folder) not in text + how


def test_other_code_is_another_way_of_scoring(filled: Engine, truth: Truth, folder: Path) -> None:
    asked = request(truth, folder, filters="filters.yaml")
    first = {row.scoring for row in score_runs(filled, [FIRST_RUN], asked)}
    (folder / "mine.py").write_text(MINE.replace("[-1]", "[0]"))
    second = list(score_runs(filled, [FIRST_RUN], asked))
    assert not any(row.known for row in second)
    assert first.isdisjoint({row.scoring for row in second})


def only(rows: list[ScoreRow]) -> ScoreRow:
    (row,) = rows
    return row


@pytest.mark.parametrize(
    ("code", "filters", "says"),
    [
        ("x = 1/0\n", "mine.f", r"mine\.py, line 1: it cannot be imported: ZeroDivisionError"),
        ("\ndef f(:\n", "mine.f", r"mine\.py, line 2: it cannot be imported: SyntaxError"),
        ("import nothing_of_it\n", "mine.f", "line 1: .*No module named 'nothing_of_it'"),
        ("raise SystemExit(3)\n", "mine.f", "line 1: .*SystemExit"),
        ("def first(): ...\n", "mine.firs", r"no function in .*mine\.py named 'firs'; .* first"),
        ("f = 3\n", "mine.f", "f in .* is no function or class, but int"),
    ],
)
def test_code_that_cannot_be_had_says_what_where_and_why(
    filled: Engine, truth: Truth, folder: Path, code: str, filters: str, says: str
) -> None:
    (folder / "mine.py").write_text(code)
    (folder / "filters.yaml").write_text(
        f"[{{name: x, filter: [{{function: custom, filter_fn: !function {filters}}}]}}]"
    )
    asked = request(truth, folder, filters="filters.yaml")
    with pytest.raises(UsageError, match=says) as caught:
        score_runs(filled, [FIRST_RUN], asked)
    assert str(caught.value).startswith(str(folder / "filters.yaml"))
    assert "Traceback" not in str(caught.value)


def test_a_function_is_no_step(filled: Engine, truth: Truth, folder: Path) -> None:
    (folder / "filters.yaml").write_text(
        "[{name: x, filter: [{function: !function mine.first_of_each}]}]"
    )
    asked = request(truth, folder, filters="filters.yaml")
    with pytest.raises(UsageError, match="filter_fn: !function"):
        score_runs(filled, [FIRST_RUN], asked)


def test_a_typo_is_told_once_with_its_file(filled: Engine, truth: Truth, folder: Path) -> None:
    (folder / "metrics.yaml").write_text("[{metric: exact_mach}]")
    asked = request(truth, folder, metrics="metrics.yaml")
    with pytest.raises(UsageError, match=r"metrics\.yaml: no metric .* did you mean exact_match"):
        score_runs(filled, [], replace(asked, tasks=()))


def test_a_metric_that_raises_is_unsupported_and_names_the_sample(
    filled: Engine, truth: Truth, folder: Path
) -> None:
    (folder / "mine.py").write_text("def f(references, predictions):\n    return 1/0\n")
    (folder / "metrics.yaml").write_text("[{metric: !function mine.f, aggregation: mean}]")
    rows = list(score_runs(filled, [FIRST_RUN], request(truth, folder, metrics="metrics.yaml")))
    assert {row.status for row in rows} == {"unsupported"}
    assert "position 0" in (rows[0].reason or "")
    assert "ZeroDivisionError" in (rows[0].reason or "")


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ("[{metric: !function mine.length, aggregation: mean}]", "computes no mine.length;"),
        ("[{metric: acc}, {metric: bleu}]", "multiple_choice task, .* computes no bleu;"),
    ],
)
def test_a_metric_that_a_tasks_kind_does_not_compute_is_refused(
    filled: Engine, truth: Truth, folder: Path, metrics: str, says: str
) -> None:
    (folder / "metrics.yaml").write_text(metrics)
    asked = replace(request(truth, folder, metrics="metrics.yaml"), tasks=("small_things",))
    row = only(list(score_runs(filled, [FIRST_RUN], asked)))
    assert row.status == "failed"
    with pytest.raises(TaskError, match=says):
        raise TaskError(row.reason)


def test_functions_work_on_a_file_too(truth: Truth, folder: Path) -> None:
    metrics = folder / "metrics.yaml"
    metrics.write_text("[{metric: !function mine.length, aggregation: mean}]")
    found = list(
        rescore_db.rescore_file(
            truth.samples_file("small_sums"), include_paths=truth.tasks, metrics=metrics
        )
    )
    assert found
    assert all(one.metrics == {"length": len(one.filtered[0])} for one in found)


def test_a_recipe_finds_its_code_as_it_was_or_says_so(
    filled: Engine, truth: Truth, folder: Path
) -> None:
    entry = RecipeEntry(
        ("small_sums",), filters=str(folder / "filters.yaml"), include_paths=(str(truth.tasks),)
    )
    add_recipe(filled, "mine", [entry])
    asked = ScoreRequest(recipe="mine")
    assert {row.status for row in score_runs(filled, [FIRST_RUN], asked)} == {"complete"}
    kept = folder / "kept"
    kept.mkdir()
    (folder / "mine.py").rename(kept / "mine.py")
    with pytest.raises(rescore_db.RescoreError, match=r"recipe 'mine' needs mine\.\w+ as it was"):
        score_runs(filled, [], asked)
    moved = ScoreRequest(recipe="mine", include_paths=(str(kept),))
    assert all(row.known for row in score_runs(filled, [FIRST_RUN], moved))
