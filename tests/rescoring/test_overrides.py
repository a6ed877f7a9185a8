"""Users' filter and metric files: what is read, and what is refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.rescoring.overrides import FILTERS, METRICS, read_filters, read_metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("text", [FILTERS, "filter_list:\n" + FILTERS])
def test_filters_are_a_list_or_under_their_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "filters.yaml"
    path.write_text(text)
    (found,) = read_filters(str(path)).entries
    assert found["name"] == "last-number"
    assert found["filter"][0]["regex_pattern"] == "(-?[0-9]+)"


def test_metrics_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.yaml"
    path.write_text(METRICS)
    (found,) = read_metrics(str(path)).entries
    assert found["metric"] == "exact_match"


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (read_filters, "- name: x", "`filter`"),
        (read_filters, "- filter: [{function: take_first}]", "`name`"),
        (read_filters, "- {name: x, filter: [{regex_pattern: a}]}", "`function`"),
        (read_filters, "- {name: x, filter: [{function: a}]}\n" * 2, "stands twice"),
        (read_filters, "text", "under `filter_list:`"),
        (read_filters, "[]", "under `filter_list:`"),
        (read_filters, "- name: [", "while parsing"),
        (read_filters, "- {name: x, filter: [{function: !other os.system}]}", "tag"),
        (
            read_filters,
            "- {name: x, filter: [{function: !function system}]}",
            r"`module\.function`",
        ),
        (read_filters, "- {name: x, filter: [{function: !function [a]}]}", r"`module\.function`"),
        (read_filters, "- {name: x, filter: [{function: !function os.system}]}", "no file .*os.py"),
        (read_metrics, "- {aggregation: mean}", "`metric`"),
        (read_metrics, "- {metric: acc}\n" * 2, "stands twice"),
        (read_filters, " " * 1_000_001, "longer than 1,000,000 bytes"),
        (read_metrics, "filter_list: []", "under `metric_list:`"),
    ],
)
def test_a_malformed_file_is_refused_by_name(
    tmp_path: Path, read: Callable[[str], object], text: str, says: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        read(str(path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_filters(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml"):
        read_filters(str(tmp_path / "nowhere.yaml"))
