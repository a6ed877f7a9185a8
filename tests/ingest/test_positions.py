from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rescore_db.ingest.positions import FREE, Positions, Seen


def place(positions: Positions, seen: Seen, doc: int) -> tuple[int, int]:
    position, nth = seen.locate(positions, doc)
    if position == FREE:
        position = positions.add(doc, nth, request_id=doc, response=nth)
    seen.add(position)
    return position, nth


@given(st.lists(st.lists(st.integers(0, 5), max_size=30), max_size=4))
def test_the_nth_line_of_a_doc_goes_with_the_nth_of_another_filter(
    filters: list[list[int]],
) -> None:
    positions = Positions()
    expected: dict[tuple[int, int], int] = {}
    for docs in filters:
        seen, counts = Seen(), Counter[int]()
        for doc in docs:
            key = (doc, counts[doc])
            counts[doc] += 1
            position = expected.setdefault(key, len(expected))
            assert place(positions, seen, doc) == (position, key[1])
        assert {at for at in range(len(expected)) if at in seen} == {
            expected[doc, nth] for doc, count in counts.items() for nth in range(count)
        }
    assert positions.count == len(expected)


def test_many_docs_keep_apart() -> None:
    positions, first, second = Positions(), Seen(), Seen()

    docs = [number * 1024 + number % 7 for number in range(5000)]  # ids that share their slots

    assert [place(positions, first, doc)[0] for doc in docs] == list(range(5000))
    assert [place(positions, second, doc)[0] for doc in docs] == list(range(5000))
    assert first.in_order
    assert second.in_order


def test_documents_that_ascend_are_placed_at_once() -> None:
    positions, seen = Positions(), Seen()
    assert positions.continue_with([3, 5, 9])
    assert not positions.continue_with([3, 3])
    positions.extend([3, 5, 9], [30, 50, 90], [1, 2, 3])
    seen.extend(3)

    assert [positions.find(doc, 0) for doc in (2, 3, 4, 5, 9, 10)] == [FREE, 0, FREE, 1, 2, FREE]
    assert not positions.continue_with([9])
    assert [place(positions, seen, doc) for doc in (12, 4, 5)] == [(3, 0), (4, 0), (5, 1)]
    assert not positions.continue_with([20])
    assert [positions.find(doc, 0) for doc in (3, 4, 5, 9, 12)] == [0, 4, 1, 2, 3]


def test_ranges_of_ids_that_overlap_in_the_table_take_no_longer() -> None:
    positions, seen = Positions(), Seen()
    half = 20_000
    docs = [*range(half), *(number + 64 * 1024 * 1024 for number in range(half))]

    found = [place(positions, seen, doc)[0] for doc in docs]

    assert found == list(range(2 * half))


def test_one_doc_many_times_takes_no_longer() -> None:
    positions, seen = Positions(), Seen()

    found = [place(positions, seen, 0) for _ in range(20_000)]

    assert found[-1] == (19_999, 19_999)
