from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.harness_log.blocks import Blocks, FilterRanks, document, find_blocks
from rescore_db.harness_log.lines import LogLine

if TYPE_CHECKING:
    from collections.abc import Sequence


def records(documents: Sequence[object]) -> list[LogLine]:
    """Records with every second line of the file blank."""
    return [
        LogLine(2 * at, b"", {"doc_id": msgspec.Raw(str(one).encode())})
        for at, one in enumerate(documents, 1)
    ]


def ranks(documents: Sequence[object], expected: int | None) -> tuple[list[int], Blocks]:
    lines = records(documents)
    blocks = find_blocks(lines, expected)
    by_file = FilterRanks(blocks)
    return [by_file.rank(line) for line in lines], blocks


@pytest.mark.parametrize(
    ("documents", "expected", "found"),
    [
        ([0, 1, 2, 0, 1, 2], 2, [0, 0, 0, 1, 1, 1]),
        ([0, 1, 2, 0, 1, 2], None, [0, 0, 0, 1, 1, 1]),
        ([0, 1, 2], None, [0, 0, 0]),
        ([5, 900, 5, 900, 5, 900], None, [0, 0, 1, 1, 2, 2]),  # --samples
        ([0, 0, 0], 3, [0, 1, 2]),  # --limit 1
        ([0, 0, 0], None, [0, 1, 2]),
        # a document twice, in each block
        ([0, 1, 1, 2, 0, 1, 1, 2], 2, [0, 0, 0, 0, 1, 1, 1, 1]),
        ([0, 1, 1, 2, 0, 1, 1, 2], None, [0, 0, 0, 0, 1, 1, 1, 1]),
        # two processes, each with its documents
        ([0, 2, 4, 0, 2, 4, 1, 3, 1, 3], 2, [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]),
        ([0, 2, 0, 2, 1, 3, 1, 3], None, [0, 0, 1, 1, 0, 0, 1, 1]),
        ([], 2, []),
    ],
)
def test_blocks_are_told_apart(
    documents: list[int], expected: int | None, found: list[int]
) -> None:
    by_file, blocks = ranks(documents, expected)

    assert by_file == found
    assert blocks.is_even


@pytest.mark.parametrize(
    ("documents", "expected", "found"),
    [
        ([0, 1, 2, 3, 0, 1], 2, [0, 0, 0, 0, 1, 1]),  # cut, and 6 divides by 2
        ([0, 1, 2, 3, 0], None, [0, 0, 0, 0, 1]),
        ([0, 1, 2], 2, [0, 0, 0]),
        ([0, 2, 3, 0, 1, 2, 3], 2, [0, 0, 0, 1, 1, 1, 1]),  # a line of the first block is missing
        ([0, 1, 2, 0, 1, 2, 0, 1, 2], 2, [0, 0, 0, 1, 1, 1, 1, 1, 1]),  # more than there are
        ([0, 1, 2, 2, 4, 5, 6, 6, 8, 9], None, [0] * 10),  # changed by hand
    ],
)
def test_what_does_not_divide_evenly_is_told(
    documents: list[int], expected: int | None, found: list[int]
) -> None:
    by_file, blocks = ranks(documents, expected)

    assert by_file == found
    assert not blocks.is_even


def test_documents_without_a_usable_number_are_told_apart_by_what_they_are() -> None:
    odd = ["null", str(2**63 + 5), "-1", "1.5"]

    assert ranks(odd * 2, None)[0] == [0, 0, 0, 0, 1, 1, 1, 1]
    line = LogLine(1, b"", {"doc": msgspec.Raw(b'{"a": 1}')})
    assert document(line) != document(LogLine(1, b"", {"doc": msgspec.Raw(b'{"a": 2}')}))


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    filters=st.integers(2, 4),
    far=st.sampled_from([0, 1 << 27, 1 << 62]),
    is_told=st.booleans(),
)
def test_any_number_of_processes_and_filters(
    sizes: list[int], filters: int, far: int, is_told: bool
) -> None:
    documents, wanted = array("q"), []
    for process, size in enumerate(sizes):
        for rank in range(filters):
            documents.extend(far + process + len(sizes) * at for at in range(size))
            wanted += [rank] * size

    assert ranks(documents, filters if is_told else None)[0] == wanted
