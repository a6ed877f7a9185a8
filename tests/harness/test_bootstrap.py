"""Standard errors come faster, with the draws and the bits of lm-eval's own."""

from __future__ import annotations

import math
import os
import random
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from rescore_db.harness import bootstrap
from rescore_db.harness.aggregation import aggregate
from rescore_db.harness.bootstrap import fast_bootstrap, iter_draws
from rescore_db.harness.isolation import isolated
from rescore_db.harness.offline import load_task
from rescore_db.harness.replicates import statistic_of
from rescore_db.harness.segments import remembered_segments
from rescore_db.harness.sums import compensated, from_left_to_right, sum_is_compensated
from tests.harness.small_tasks import doc, write_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CHANCE = random.Random(4)  # noqa: S311 - the same items in each run
LABELS = [(CHANCE.randrange(2), CHANCE.randrange(2)) for _ in range(60)]
LOGLIKELIHOODS = [-CHANCE.expovariate(0.2) for _ in range(80)]
WORDS = ["the", "cat", ",", "sat", "on", "a", "Mat", ".", "naïve", "猫", "(hi)"]
TEXTS = [
    (" ".join(CHANCE.choices(WORDS, k=9)), " ".join(CHANCE.choices(WORDS, k=CHANCE.randrange(12))))
    for _ in range(12)
]
QUICK: Final[
    dict[str, list[Any]]
] = {  # items for which lm-eval's code is not called for each resample
    "perplexity": [
        LOGLIKELIHOODS,
        [np.float64(one) for one in LOGLIKELIHOODS],
        [-1.0] * 9,
        [*LOGLIKELIHOODS, -1e-300, 5.5, 0.0, -0.0],
        [-0.1, -0.2],
    ],
    "median": [LOGLIKELIHOODS, [0.0, 1.0, 1.0, 0.0, 1.0], [2.5, math.inf]],
    "nanmean": [
        LOGLIKELIHOODS,
        [math.nan, 0.5, 1.0, -0.0],
        [np.float64(one) for one in LOGLIKELIHOODS],
        [CHANCE.random() for _ in range(9000)],
    ],
    "f1_score": [
        LABELS,
        [(1, np.int64(1)), [0, 1], (1, 0)],
        [(0, 0)] * 4,
        [(1, 1)] * 4,
        [(0, 1)] * 3,
    ],
    "matthews_corrcoef": [LABELS, [(0, 0)] * 4, [(1, 1), (0, 0)], [(0, 1), (1, 1)], [[1, 0]] * 3],
}
LEFT_TO_LM_EVAL: Final[dict[str, list[Any]]] = {
    "perplexity": [[1, 2.0], [1, 2]],
    "median": [[1, 2, 3], [math.nan, 1.0], [0.0, -0.0], ["b", "a"]],
    "nanmean": [[1, 0, 1], [math.nan, math.nan], [True, False]],
    "f1_score": [
        [("no", "no"), ("no", "no")],
        [(True, False), (True, True)],
        [(0.0, 1.0), (1.0, 1.0)],
    ],
    "matthews_corrcoef": [
        [(0, 2), (2, 1), (1, 1)],
        [("a", "b"), ("b", "b")],
        [(True, 1), (False, 0)],
    ],
}


def table(cases: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(name, items) for name, several in cases.items() for items in several]


def function(name: str) -> Callable[[Any], Any]:
    from lm_eval.api import metrics

    found: Callable[[Any], Any] = getattr(metrics, name)
    return found


def replicates(f: Callable[[Any], Any], items: Sequence[Any], iters: int) -> list[Any]:
    from lm_eval.api import metrics

    return [
        (type(one), float(one).hex())
        for one in metrics._bootstrap_internal_no_mp(f, items, iters)  # noqa: SLF001
    ]


def neumaier(values: Sequence[float]) -> float:
    """Python 3.12's `sum` of floats."""
    total, lost = 0.0, 0.0
    for value in values:
        after = total + value
        big, small = (total, value) if abs(total) >= abs(value) else (value, total)
        lost += (big - after) + small
        total = after
    return total + lost if lost and math.isfinite(lost) else total


def plain(values: Sequence[float]) -> float:
    """Python 3.11's `sum` of floats."""
    total = 0.0
    for value in values:
        total += value
    return total


@pytest.mark.parametrize(("n", "iters"), [(1, 3), (7, 2500), (500, 40), (20_000, 3)])
def test_the_draws_are_those_of_lm_eval(n: int, iters: int) -> None:
    chunk = min(1000, iters)
    expected = []
    for seed in range(iters // chunk):
        chance = random.Random(seed)  # noqa: S311 - as lm-eval does
        expected += [chance.choices(range(n), k=n) for _ in range(chunk)]

    drawn = [column.tolist() for block in iter_draws(n, iters) for column in block.T]

    assert drawn == expected


@pytest.mark.parametrize(("name", "items"), table(QUICK))
def test_replicates_have_the_bits_of_lm_evals(name: str, items: list[Any]) -> None:
    with isolated():
        f = function(name)
        slow = name in ("f1_score", "matthews_corrcoef") or len(items) > 1000
        iters = 25 if slow else 1100
        assert statistic_of(f, items) is not None
        expected = replicates(f, items, iters)
        with fast_bootstrap():
            found = replicates(f, items, iters)

    assert [bits for _, bits in found] == [bits for _, bits in expected]
    assert found == expected or "nan" in str(expected)  # a NaN is of either type of float


@pytest.mark.parametrize(("name", "items"), table(LEFT_TO_LM_EVAL))
def test_items_of_another_form_are_left_to_lm_eval(name: str, items: list[Any]) -> None:
    with isolated():
        assert statistic_of(function(name), items) is None


@pytest.mark.parametrize(
    "items", [[math.nan, -1.0], [math.inf, -1.0], [0.0, -0.0], [-1e-320, -1e-310], [1e250] * 3]
)
def test_sums_that_are_not_proven_are_pythons_own(items: list[float]) -> None:
    assert compensated(np.array(items)) is None
    if sum_is_compensated():
        assert statistic_of(function("perplexity"), items) is None
    with isolated():
        expected = replicates(function("perplexity"), items, 30)
        with fast_bootstrap():
            assert replicates(function("perplexity"), items, 30) == expected


def test_a_statistic_of_lm_evals_that_gives_other_values_is_used_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bootstrap, "statistic_of", lambda *_: lambda drawn: [0.5] * drawn.shape[1])
    with isolated():
        expected = replicates(function("median"), LOGLIKELIHOODS, 30)
        with fast_bootstrap():
            assert replicates(function("median"), LOGLIKELIHOODS, 30) == expected


@pytest.mark.parametrize("spread", [0.0, 5.0, 30.0, 200.0])
@pytest.mark.parametrize("signed", [False, True])
def test_sums_are_those_of_either_python(spread: float, signed: bool) -> None:
    chance = np.random.default_rng(3)
    values = -np.exp(chance.normal(0, spread, 300)) * chance.random(300)
    if signed:
        values *= chance.choice([-1.0, 1.0], 300)
    drawn = chance.integers(0, 300, (300, 400))
    columns = [values[column].tolist() for column in drawn.T]

    new, old = compensated(values, neumaier), from_left_to_right(values)

    assert old(drawn).tolist() == [plain(column) for column in columns]
    assert new is None or new(drawn).tolist() == [neumaier(column) for column in columns]
    assert (new is None) == (spread == 200)
    assert sum(columns[0]) == (neumaier if sum_is_compensated() else plain)(columns[0])


def test_sums_too_close_to_call_are_added_one_by_one() -> None:
    values = np.array([1.0, 2.0**-53, -(2.0**-53), 2.0**-106])
    drawn = np.array([[0, 1, 1], [0, 1, 2], [1, 0, 3], [0, 3, 1], [2, 2, 2]]).T
    asked: list[list[float]] = []

    def one_by_one(column: list[float]) -> float:
        asked.append(column)
        return neumaier(column)

    sums = compensated(values, one_by_one)

    assert sums is not None
    assert sums(drawn).tolist() == [neumaier(values[column].tolist()) for column in drawn.T]
    assert asked


@pytest.mark.parametrize("name", ["bleu", "chrf", "chrfpp", "ter"])
def test_segments_that_are_remembered_give_the_same_bits(name: str) -> None:
    from lm_eval.api import metrics

    f = getattr(metrics, name, metrics.chrf)  # 0.4.12 has no chrf++
    texts = [*TEXTS, ("", "a"), ("a", ""), ("", ""), TEXTS[0]]
    several = [([reference, "the cat ."], hypothesis) for reference, hypothesis in texts]
    with isolated():
        expected = [replicates(f, items, 12) for items in (texts, several)]
        value = f(texts)
        with remembered_segments(), fast_bootstrap():
            assert [replicates(f, items, 12) for items in (texts, several)] == expected
            assert f(texts) == value


def test_what_sacrebleu_refuses_it_still_refuses() -> None:
    items = [(1, "a"), (2, "b")]
    with isolated():
        with pytest.raises(TypeError) as expected:
            function("bleu")(items)
        with remembered_segments(), pytest.raises(TypeError, match=str(expected.value)):
            function("bleu")(items)


@pytest.mark.parametrize(
    ("metric", "items", "iters"),
    [
        ("f1", LABELS, 25),
        ("mcc", LABELS, 25),
        ("perplexity", LOGLIKELIHOODS, 1000),
        ("bleu", TEXTS, 150),
    ],
)
def test_a_tasks_results_are_lm_evals_own(
    metric: str, items: list[Any], iters: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.evaluator_utils import _compute_task_aggregations

    way = {"mcc": "matthews_corrcoef"}.get(metric, metric)
    listed = f"metric_list: [{{metric: {metric}, aggregation: {way}, higher_is_better: true}}]"
    task = load_task(write_task(tmp_path, listed), doc("1"))
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")
    with isolated():
        expected, _ = _compute_task_aggregations(
            task.lm_eval_task, {(metric, "none"): items}, iters
        )

    found = aggregate(task, {("none", metric): items}, iters)

    assert found == {
        ("none", metric): (expected[f"{metric},none"], expected[f"{metric}_stderr,none"])
    }
    assert os.environ["DISABLE_MULTIPROC"] == "1"
