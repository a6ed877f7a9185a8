"""A samples file is scored again with no store at hand, line by line."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from typing import TYPE_CHECKING

import pytest

import rescore_db
from rescore_db.errors import LogFormatError, TaskError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")


@pytest.mark.parametrize("task", ["small_sums", "small_things", "small_pages", "small_orders"])
def test_every_line_gets_the_scores_that_lm_eval_logged(truth: Truth, task: str) -> None:
    found = list(
        rescore_db.rescore_file(truth.samples_file(task), include_paths=[str(truth.tasks)])
    )
    lines = truth.samples(task)
    assert [(one.doc_id, one.filter) for one in found] == [
        (line["doc_id"], line["filter"]) for line in lines
    ]
    for one, line in zip(found, lines, strict=True):
        assert one.error is None
        assert one.metrics == one.logged == {name: line[name] for name in line["metrics"]}
        assert one.filtered == line["filtered_resps"]


def test_other_filters_are_applied_once_a_document(truth: Truth, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "- {name: first, filter: [{function: take_first}]}\n"
        "- {name: lower, filter: [{function: lowercase}, {function: take_first}]}\n"
    )
    found = list(
        rescore_db.rescore_file(
            truth.samples_file("small_sums"), include_paths=[str(truth.tasks)], filters=mine
        )
    )
    docs = {line["doc_id"] for line in truth.samples("small_sums")}
    assert len(found) == 2 * len(docs)
    assert {one.filter for one in found} == {"first", "lower"}
    assert all(one.logged == {} for one in found)


def test_a_condition_and_a_limit_choose_documents(truth: Truth) -> None:
    found = list(
        rescore_db.rescore_file(
            truth.samples_file("small_things"),
            include_paths=truth.tasks,
            where=lambda line: line.doc_id >= 2,
            limit=2,
        )
    )
    assert [one.doc_id for one in found] == [2, 3]


def test_a_compressed_file_and_a_task_by_name_do_as_well(truth: Truth, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(gzip.compress(truth.samples_file("small_things").read_bytes()))
    with pytest.raises(UsageError, match="say task="):
        rescore_db.rescore_file(path)
    found = rescore_db.rescore_file(path, task="small_things", include_paths=[str(truth.tasks)])
    assert all(one.metrics == one.logged for one in found)


def test_a_damaged_line_is_named_and_what_came_before_it_is_given(
    truth: Truth, tmp_path: Path
) -> None:
    path = tmp_path / "samples_small_things_2026-01-01T00-00-00.jsonl"
    lines = [json.dumps(line) for line in truth.samples("small_things")] * 100
    path.write_text("\n".join([*lines[:300], lines[300][:50]]))
    scores = rescore_db.rescore_file(path, include_paths=[str(truth.tasks)])
    given = list(islice(scores, 200))
    assert [one.line for one in given] == list(range(1, 201))
    with pytest.raises(LogFormatError, match=r"jsonl:301: the file ends in the middle"):
        list(scores)


def test_a_task_that_is_nowhere_says_how_to_give_it(truth: Truth) -> None:
    with pytest.raises(TaskError, match="--include-path"):
        list(rescore_db.rescore_file(truth.samples_file("small_units")))


def test_filters_that_see_all_documents_are_refused(truth: Truth) -> None:
    scores = rescore_db.rescore_file(
        truth.samples_file("small_units"), include_paths=[str(truth.tasks)]
    )
    with pytest.raises(TaskError, match="all documents at once"):
        next(scores)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples_small_things_2026-01-01T00-00-00.jsonl"
    path.touch()
    with pytest.raises(LogFormatError, match="no line"):
        list(rescore_db.rescore_file(path))
