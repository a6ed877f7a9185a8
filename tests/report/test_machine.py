from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.errors import UsageError
from rescore_db.records import Rows
from rescore_db.report.machine import csv_table, json_list, json_object, json_value
from tests.report.rows import COMPARED, DIFFERENT, SAMPLE_DETAIL

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_any_json_value_is_read_back_as_it_was(value: Any) -> None:
    text = json_value(value)

    assert json.loads(text) == value
    assert "\n" not in text
    text.encode()  # no lone surrogates


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "null"),
        ([float("inf"), -float("inf"), 0.5], "[null, null, 0.5]"),
        ({"a": float("nan"), "NaN": 'Infinity "NaN"'}, r'{"a": null, "NaN": "Infinity \"NaN\""}'),
        (0.1 + 0.2, "0.30000000000000004"),
        (-0.0, "-0.0"),
        (2**70, str(2**70)),
        (np.float64(0.5), "0.5"),
        (np.float32(0.5), "0.5"),
        (np.int64(3), "3"),
        (np.bool_(True), "true"),  # noqa: FBT003 - the value is meant
        (Decimal(12), "12"),
        (Decimal("0.25"), "0.25"),
        (datetime(2026, 3, 2, tzinfo=UTC), '"2026-03-02T00:00:00+00:00"'),
        (b"\x00\xff", '"00ff"'),
        ((1, 2), "[1, 2]"),
        (Rows([1]), "[1]"),
        ("\x1b[2J \x9b \u202e \ud800 é", r'"\u001b[2J \u009b \u202e \ud800 é"'),
    ],
)
def test_awkward_values_become_valid_json(value: Any, text: str) -> None:
    assert json_value(value) == text


def test_a_list_of_rows_is_one_document_with_one_row_a_line() -> None:
    text = json_list([COMPARED, DIFFERENT])

    first, second = json.loads(text)
    assert len(text.splitlines()) == 4
    assert first["diff"] == 0.125
    assert second["differences"][1] == {
        "where": "aggregate",
        "what": "exact_match stderr",
        "logged": 0.1421338109037403,
        "recomputed": 0.1421338109037404,
    }


def test_no_rows_are_an_empty_list() -> None:
    assert json.loads(json_list([])) == []


def test_a_detail_is_one_object() -> None:
    found = json.loads(json_object(SAMPLE_DETAIL))

    assert found["sample"]["doc"] == SAMPLE_DETAIL.sample.doc
    assert found["responses"] == SAMPLE_DETAIL.responses
    assert found["scores"][0]["value"] == 1.0


def test_a_value_that_is_nested_too_deeply_is_a_message() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]

    with pytest.raises(UsageError, match="nested too deeply"):
        json_value(deep)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (0.1 + 0.2, "0.30000000000000004"),
        (np.float64(0.5), "0.5"),
        (float("nan"), "nan"),
        (3, "3"),
        (-3, "-3"),
        ("-3.5", "-3.5"),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("\t=1", "'\t=1"),
        (["a", 1], '["a", 1]'),
        ({"k": None}, '{"k": null}'),
        (Decimal(7), "7"),
    ],
)
def test_a_csv_cell_is_exact_and_never_a_formula(value: Any, cell: str) -> None:
    (_, row) = csv.reader(io.StringIO(csv_table(["x", "y"], [[value, 1]]), newline=""))

    assert row == [cell, "1"]


@given(st.lists(st.text(), min_size=2, max_size=4))
def test_texts_come_back_from_csv(cells: list[str]) -> None:
    text = csv_table([str(i) for i in range(len(cells))], [cells])

    (_, row) = csv.reader(io.StringIO(text, newline=""))
    assert [cell.removeprefix("'") for cell in row] == [cell.removeprefix("'") for cell in cells]
