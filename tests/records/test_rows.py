from __future__ import annotations

import pytest

from rescore_db.errors import UsageError
from rescore_db.records import SqlResult

RESULT = SqlResult(columns=("n", "n", "n_2"), rows=((1, "a", 0.5), (2, None, 1.5)), truncated=False)
ROWS = [{"n": 1, "n_3": "a", "n_2": 0.5}, {"n": 2, "n_3": None, "n_2": 1.5}]


def test_the_rows_of_a_query_become_dictionaries_and_tables() -> None:
    assert RESULT.to_dicts() == ROWS
    assert RESULT.to_arrow().to_pylist() == ROWS
    frame = RESULT.to_pandas()
    assert list(frame.columns) == ["n", "n_3", "n_2"]
    assert frame["n_2"].to_list() == [0.5, 1.5]


def test_a_query_without_rows_keeps_its_columns() -> None:
    result = SqlResult(columns=("a", "b"), rows=(), truncated=False)

    assert result.to_dicts() == []
    assert list(result.to_pandas().columns) == ["a", "b"]
    assert result.to_arrow().column_names == ["a", "b"]


def test_a_column_of_several_types_is_no_arrow_column() -> None:
    result = SqlResult(columns=("a",), rows=((1,), ("x",)), truncated=False)

    with pytest.raises(UsageError, match="column 'a' holds values of several types"):
        result.to_arrow()
    assert result.to_pandas()["a"].to_list() == [1, "x"]
