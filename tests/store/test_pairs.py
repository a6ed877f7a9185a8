from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.store.engine import reading
from rescore_db.store.pairs import Paired, ScoreReader, Scores, pair
from tests.small_store import ABSENT, Evaluation, Metric, add_evaluation, add_run, add_scoring

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine


def stored(
    engine: Engine,
    model: str,
    docs: Sequence[Any],
    values: Sequence[Any],
    prompt: str = "Q: {doc}",
) -> int:
    """Store one metric of a run of its own; return its aggregate's id."""
    run_id = add_run(engine, model)
    metrics = {("none", "acc"): Metric(values, aggregate=None)}
    evaluation = Evaluation("sums", docs, metrics, prompt=prompt)
    ids = add_evaluation(engine, run_id, add_scoring(engine, run_id), evaluation)
    return ids["none", "acc"]


def paired_of(engine: Engine, a: int, b: int, docs: set[int] | None = None) -> Paired:
    with reading(engine) as conn:
        reader = ScoreReader(conn)
        return pair(reader.read(a), reader.read(b), docs)


def listed(paired: Paired) -> list[tuple[float, float]]:
    assert paired.a is not None
    assert paired.b is not None
    return list(zip(paired.a.tolist(), paired.b.tolist(), strict=True))


# ---------------------------------------------------------------------------------- from a store


def test_samples_pair_by_document_whatever_their_order(engine: Engine) -> None:
    a = stored(engine, "dove", ["x", "y", "z"], [1.0, 2.0, 3.0])
    b = stored(engine, "wren", ["z", "x", "y"], [30.0, 10.0, 20.0])

    found = paired_of(engine, a, b)

    assert sorted(listed(found)) == [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)]
    assert (found.unpaired_a, found.unpaired_b, found.left_out) == (0, 0, 0)
    assert found.asked_differently == 0


def test_every_sample_is_read_the_first_and_the_last_too(engine: Engine) -> None:
    n = 257
    values = [float(i) for i in range(n)]
    a = stored(engine, "dove", list(range(n)), values)

    found = paired_of(engine, a, a)

    assert listed(found) == list(zip(values, values, strict=True))


def test_a_document_that_occurs_twice_pairs_first_with_first(engine: Engine) -> None:
    a = stored(engine, "dove", ["x", "x", "y"], [1.0, 2.0, 3.0])
    b = stored(engine, "wren", ["y", "x", "x", "x"], [30.0, 10.0, 20.0, 40.0])

    found = paired_of(engine, a, b)

    assert sorted(listed(found)) == [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)]
    assert (found.unpaired_a, found.unpaired_b) == (0, 1)


def test_samples_without_a_partner_are_counted_on_each_side(engine: Engine) -> None:
    a = stored(engine, "dove", ["x", "y", "z"], [1.0, 2.0, 3.0])
    b = stored(engine, "wren", ["y", "v"], [5.0, 6.0])

    found = paired_of(engine, a, b)

    assert listed(found) == [(2.0, 5.0)]
    assert (found.unpaired_a, found.unpaired_b) == (2, 1)


def test_a_sample_without_a_score_has_no_pair(engine: Engine) -> None:
    a = stored(engine, "dove", ["x", "y", "z"], [1.0, ABSENT, 3.0])
    b = stored(engine, "wren", ["x", "y", "z"], [4.0, 5.0, 6.0])

    found = paired_of(engine, a, b)

    assert sorted(listed(found)) == [(1.0, 4.0), (3.0, 6.0)]
    assert (found.unpaired_a, found.unpaired_b) == (0, 1)


def test_only_chosen_documents_pair_and_the_rest_is_left_out(engine: Engine) -> None:
    a = stored(engine, "dove", ["x", "y", "z"], [1.0, 2.0, 3.0])
    b = stored(engine, "wren", ["x", "y", "v"], [4.0, 5.0, 6.0])
    everything = paired_of(engine, a, b)
    first = int(everything.doc_ids[0])

    found = paired_of(engine, a, b, {first})
    nothing = paired_of(engine, a, b, set())

    assert found.doc_ids.tolist() == [first]
    assert (found.unpaired_a, found.unpaired_b, found.left_out) == (0, 0, 4)
    assert (len(nothing.doc_ids), nothing.left_out) == (0, 6)


def test_pairs_that_were_asked_something_else_are_counted(engine: Engine) -> None:
    a = stored(engine, "dove", ["x", "y"], [1.0, 2.0])
    b = stored(engine, "wren", ["x", "y"], [1.0, 2.0], prompt="Question: {doc}")

    assert paired_of(engine, a, b).asked_differently == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], [1.0, 0.0]),
        ([1, 0], [1.0, 0.0]),
        ([1, 0.5], [1.0, 0.5]),
        ([-0.0, 1e300], [0.0, 1e300]),
        ([math.nan, -math.inf], [math.nan, -math.inf]),
        ([10**25, -(10**400)], [1e25, -math.inf]),
        ([np.float32(0.5), np.float32(1)], [0.5, 1.0]),
        ([np.float64(0.1), np.bool_(1)], [0.1, 1.0]),
        (["True", "False"], [1.0, 0.0]),  # numpy's booleans in logs up to 0.4.12
        (["0.25", "-1e-3"], [0.25, -0.001]),
    ],
)
def test_every_kind_of_number_is_a_number(
    engine: Engine, values: list[Any], expected: list[float]
) -> None:
    a = stored(engine, "dove", ["x", "y"], values)

    found = paired_of(engine, a, a)

    assert found.a is not None
    np.testing.assert_array_equal(found.a, np.array(expected))


@pytest.mark.parametrize(
    "values",
    [
        [["gold", "guess"], ["gold", "gold"]],
        [(1, 2), (3, 4)],
        [None, None],
        [0.5, None],
        [[True, False], [True]],
        ["some text", "1.0"],
        ["1.0", "some text"],
        [{"a": 1}, {"a": 2}],
    ],
)
def test_values_that_are_not_one_number_each_pair_without_numbers(
    engine: Engine, values: list[Any]
) -> None:
    a = stored(engine, "dove", ["x", "y"], values)

    found = paired_of(engine, a, a)

    assert (found.a, found.b) == (None, None)
    assert len(found.doc_ids) == 2


def test_a_metric_without_scores_pairs_nothing(engine: Engine) -> None:
    a = stored(engine, "dove", ["x"], [ABSENT])
    b = stored(engine, "wren", ["x"], [1.0])

    found = paired_of(engine, a, b)

    assert (listed(found), found.unpaired_a, found.unpaired_b) == ([], 0, 1)


def test_a_reader_reads_many_evaluations_one_after_the_other(engine: Engine) -> None:
    ids = [stored(engine, f"m{i}", ["x", "y"], [float(i), i + 0.5]) for i in range(4)]

    with reading(engine) as conn:
        reader = ScoreReader(conn)
        found = [reader.read(key).values for key in [*ids, *ids]]
        counts = [reader.count(ids[0], docs) for docs in ({1}, {1, 2}, {99}, set())]

    assert [v.tolist() for v in found if v is not None] == 2 * [
        [float(i), i + 0.5] for i in range(4)
    ]
    assert counts == [1, 2, 0, 0]


# ------------------------------------------------------------------------------------ pure arrays

documents = st.lists(st.integers(1, 6), max_size=12)


def scores_of(docs: list[int], offset: float) -> Scores:
    """Build the scores of documents in file order; the value is the place in the file."""
    nths = [docs[:i].count(doc) for i, doc in enumerate(docs)]
    n = len(docs)
    return Scores(
        np.array(docs, np.int64),
        np.array(nths, np.int64),
        np.zeros(n, np.int64),
        np.arange(n, dtype=np.float64) + offset,
    )


@given(documents, documents, st.none() | st.sets(st.integers(1, 6)))
def test_pairing_is_that_of_a_plain_loop(
    docs_a: list[int], docs_b: list[int], chosen: set[int] | None
) -> None:
    a, b = scores_of(docs_a, 0), scores_of(docs_b, 100)
    left, right = (
        {
            (doc, docs[:i].count(doc)): i + offset
            for i, doc in enumerate(docs)
            if chosen is None or doc in chosen
        }
        for docs, offset in ((docs_a, 0.0), (docs_b, 100.0))
    )

    found = pair(a, b, chosen)

    both = sorted(left.keys() & right.keys())
    assert listed(found) == [(left[key], right[key]) for key in both]
    assert found.doc_ids.tolist() == [doc for doc, _ in both]
    assert found.unpaired_a == len(left) - len(both)
    assert found.unpaired_b == len(right) - len(both)
    assert found.left_out == len(docs_a) + len(docs_b) - len(left) - len(right)
