"""Metric values come back from the store as what they were, type and bits."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.typed_values import UntypableError, join, kind_of, plain, split

SCALARS = [
    0.1,
    1.0,
    -0.0,
    float("nan"),
    float("inf"),
    -float("inf"),
    5e-324,
    0,
    1,
    -7,
    10**25,
    2**53,
    2**53 + 1,
    True,
    False,
    np.float64(0.1),
    np.float64("nan"),
    np.float32(0.1),
    np.int64(3),
    np.int64(2**62),
    np.bool_(1),
    np.int32(5),
    np.float16(0.5),
]

VALUES = [
    *SCALARS,
    None,
    "text \ud800 \x00",
    [1, 2.0, "x"],
    (0.5, 3),
    [True, False],
    {"a": (1, 2), "b": [None]},
    {1: "int key"},
    {"$tuple": [1]},
    {3, 1, 2},
    np.array([0.25, 0.5]),
    (1, np.array([[1, 2], [3, 4]], dtype=np.int32)),
    [np.float64(1.5)],
]


def identical(a: Any, b: Any) -> bool:
    """Equal in type, in every part's type, and in every bit of a float."""
    if type(a) is not type(b):
        return False
    match a:
        case np.ndarray():
            return bool(a.dtype == b.dtype and np.array_equal(a, b))
        case tuple() | list():
            return len(a) == len(b) and all(map(identical, a, b))
        case dict():
            return list(a) == list(b) and all(identical(a[k], b[k]) for k in a)
        case float() | np.floating():
            return (math.isnan(a) and math.isnan(b)) or (
                bool(a == b) and math.copysign(1, a) == math.copysign(1, b)
            )
    return bool(a == b)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_with_its_type(value: Any) -> None:
    kind = kind_of(value)
    assert identical(join(*split(value, kind), kind), value)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_of_another_kind_than_its_metric_comes_back_too(value: Any) -> None:
    assert identical(join(*split(value, "float"), "float"), value)


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_the_number_of_a_scalar_is_what_queries_see(value: Any) -> None:
    number, _ = split(value, kind_of(value))
    if kind_of(value) == "json" or abs(value) > 2**53 or not math.isfinite(value):
        assert number is None
    else:
        assert number == float(value)


def test_ordinary_numbers_need_no_text() -> None:
    assert split(0.25, "float") == (0.25, None)
    assert split(1, "int") == (1.0, None)
    assert split(np.float64(0.5), "np.float64") == (0.5, None)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_nested_value_comes_back(value: Any) -> None:
    kind = kind_of(value)
    number, exact = split(value, kind)
    assert identical(join(number, exact, kind), value)
    assert exact is None or exact.isascii()


def test_an_object_is_refused_by_its_type() -> None:
    with pytest.raises(UntypableError, match=r"builtins\.object"):
        split(object(), "json")


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        ((1, 2.5), [1, 2.5]),
        (np.float64(0.5), 0.5),
        (np.bool_(1), True),
        ((1, np.array([0.25, 0.75])), [1, "[0.25 0.75]"]),
        ({1: (2,)}, {"1": [2]}),
    ],
)
def test_plain_is_what_lm_eval_logs(value: Any, logged: Any) -> None:
    assert plain(value) == logged
    json.dumps(plain(value))
