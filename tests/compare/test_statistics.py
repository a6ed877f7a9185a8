import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from rescore_db.compare.statistics import (
    Flips,
    PairedDifference,
    count_flips,
    finite,
    is_mean_of,
    paired_difference,
    t_interval,
    verdict,
)

numbers = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-6)
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=60)
any_number = st.floats(allow_nan=True, allow_infinity=True)


def arrays(*sides: list[float]) -> list[np.ndarray]:
    return [np.array(side, np.float64) for side in sides]


def compared(a: list[float], b: list[float], *, higher: bool | None = True) -> PairedDifference:
    return paired_difference(*arrays(a, b), higher_is_better=higher)


@given(pairs)
def test_means_and_standard_error_are_those_of_exact_arithmetic(
    values: list[tuple[float, float]],
) -> None:
    found = compared([a for a, _ in values], [b for _, b in values])

    exact = [(Fraction(a), Fraction(b)) for a, b in values]
    n = len(exact)
    rounded = [Fraction(b - a) for a, b in values]  # a difference is taken in floats
    spread = math.sqrt(statistics.variance(rounded))
    size = max(abs(x) for pair in values for x in pair)
    assert found.n == n
    assert found.a == pytest.approx(float(sum(a for a, _ in exact) / n), abs=1e-12 * size)
    assert found.b == pytest.approx(float(sum(b for _, b in exact) / n), abs=1e-12 * size)
    assert found.diff == pytest.approx(float(sum(rounded) / n), abs=1e-12 * size)
    assert found.stderr == pytest.approx(spread / math.sqrt(n), rel=1e-9, abs=1e-12 * size)


@given(pairs)
def test_the_interval_is_scipys(values: list[tuple[float, float]]) -> None:
    found = compared([a for a, _ in values], [b for _, b in values])

    if found.stderr:
        low, high = stats.t.interval(0.95, found.n - 1, loc=found.diff, scale=found.stderr)
        assert found.ci_low == pytest.approx(low, rel=1e-9, abs=1e-9)
        assert found.ci_high == pytest.approx(high, rel=1e-9, abs=1e-9)
    else:
        assert found.ci_low == found.ci_high == found.diff


@given(
    values=st.lists(st.tuples(any_number, any_number), max_size=40),
    higher=st.sampled_from([True, False]),
)
def test_flips_are_counted_pair_by_pair(values: list[tuple[float, float]], *, higher: bool) -> None:
    same = [
        math.isclose(a, b, rel_tol=1e-12) or (math.isnan(a) and math.isnan(b)) for a, b in values
    ]
    up = sum(b > a and not one for (a, b), one in zip(values, same, strict=True))
    down = sum(b < a and not one for (a, b), one in zip(values, same, strict=True))

    found = count_flips(
        *arrays([a for a, _ in values], [b for _, b in values]), higher_is_better=higher
    )

    assert found == (Flips(up, down, sum(same)) if higher else Flips(down, up, sum(same)))


@given(st.lists(st.tuples(any_number, any_number), max_size=20))
def test_nothing_is_ever_nan_or_infinite(values: list[tuple[float, float]]) -> None:
    found = compared([a for a, _ in values], [b for _, b in values], higher=None)

    numbers = (found.a, found.b, found.diff, found.stderr, found.ci_low, found.ci_high)
    assert all(x is None or math.isfinite(x) for x in numbers)
    assert found.not_finite == sum(not (math.isfinite(a) and math.isfinite(b)) for a, b in values)
    assert verdict(found) in (None, "better", "worse", "same", "unclear")


@given(pairs, st.randoms())
def test_the_order_of_the_pairs_does_not_matter(
    values: list[tuple[float, float]],
    random: st.DataObject,
) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it as its own

    one, other = (compared([a for a, _ in v], [b for _, b in v]) for v in (values, shuffled))

    assert one.flips == other.flips
    assert one.diff == pytest.approx(other.diff, rel=1e-9, abs=1e-6)


def test_what_differs_by_rounding_alone_is_unchanged() -> None:
    found = compared([0.1 + 0.2, 1e-9, 1.0], [0.3, 1.1e-9, 1.0 + 1e-9])

    assert found.flips == Flips(improved=2, regressed=0, unchanged=1)
    assert verdict(compared([0.1 + 0.2] * 9, [0.3] * 9)) == "same"


def test_no_pair_has_no_numbers() -> None:
    assert compared([], []) == PairedDifference(
        0, None, None, None, None, None, None, Flips(0, 0, 0), 0
    )


def test_one_pair_has_a_difference_and_no_error() -> None:
    found = compared([0.0], [1.0])

    assert (found.n, found.a, found.b, found.diff) == (1, 0.0, 1.0, 1.0)
    assert (found.stderr, found.ci_low, found.ci_high) == (None, None, None)
    assert verdict(found) is None


def test_pairs_without_spread_have_an_interval_of_no_width() -> None:
    found = compared([0.0] * 10, [1.0] * 10)

    assert (found.stderr, found.ci_low, found.ci_high) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "higher", "expected"),
    [
        ([0.0] * 20, [1.0] * 15 + [0.0] * 5, True, "better"),
        ([0.0] * 20, [1.0] * 15 + [0.0] * 5, None, "better"),
        ([0.0] * 20, [1.0] * 15 + [0.0] * 5, False, "worse"),
        ([1.0] * 15 + [0.0] * 5, [0.0] * 20, True, "worse"),
        ([1.0] * 15 + [0.0] * 5, [0.0] * 20, False, "better"),
        ([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0], True, "unclear"),
        ([0.0, 1.0, 1.0], [0.0, 1.0, 1.0], True, "same"),
        ([0.0] * 10, [1.0] * 10, True, "better"),  # ten wins of ten are evidence
        ([0.0] * 6, [1.0] * 6, True, "better"),  # p = 0.031
        ([0.0] * 5, [1.0] * 5, True, "unclear"),  # p = 0.063
        ([0.0] * 2, [1.0] * 2, True, "unclear"),  # two wins of two are not
        ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], True, "unclear"),  # equal but for rounding
        ([], [], True, None),
        ([1.0, math.nan], [1.0, 1.0], True, None),
    ],
)
def test_a_verdict_is_read_from_the_interval(
    a: list[float], b: list[float], *, higher: bool | None, expected: str | None
) -> None:
    assert verdict(compared(a, b, higher=higher), higher_is_better=higher) == expected


def test_values_beyond_all_floats_leave_the_numbers_empty() -> None:
    found = compared([1e308, 1e308], [-1e308, -1e308])

    assert (found.a, found.diff, found.stderr) == (None, None, None)
    assert found.flips == Flips(improved=0, regressed=2, unchanged=0)


def test_a_million_pairs_agree_with_exact_sums() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(1_000_000), random.random(1_000_000) + 1e6

    found = paired_difference(a, b)

    assert found.diff == pytest.approx(math.fsum((b - a).tolist()) / 1_000_000, rel=1e-12)
    assert found.stderr == pytest.approx((b - a).std(ddof=1) / 1000, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "aggregate", "expected"),
    [
        ([0.0, 1.0, 1.0], 2 / 3, True),
        ([0.1] * 10, 0.1, True),  # numpy's sum is 0.09999999999999999
        ([0.0, 1.0, 1.0], 1.0, False),  # a median
        ([0.0, 0.0], 0.0, True),
        ([], 0.0, False),
        ([1.0], None, False),
        ([1.0], math.nan, False),
        ([math.nan, 1.0], math.nan, False),
        ([math.inf], math.inf, False),
    ],
)
def test_an_aggregate_is_known_as_the_mean(
    values: list[float], aggregate: float | None, *, expected: bool
) -> None:
    assert is_mean_of(np.array(values), aggregate) is expected


def test_an_interval_needs_a_mean_and_an_error() -> None:
    assert t_interval(None, 1.0, 5) == (None, None)
    assert t_interval(1.0, None, 1) == (None, None)


def test_only_finite_numbers_are_kept() -> None:
    assert [finite(x) for x in (None, math.nan, -math.inf, np.float64(1.5))] == [
        None,
        None,
        None,
        1.5,
    ]
