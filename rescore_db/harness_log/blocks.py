"""Which filter each record of an older samples file belongs to, where no record says so.

Before 0.4.7 the records of one filter follow those of another, each with the same documents, and
nothing marks where a block ends.  Runs on several processes hold such blocks for each process in
turn: there only the n-th record of a document tells the n-th filter.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rescore_db.harness_log.lines import LogLine

MAX_ID: Final = 1 << 26  # a document's number up to which one byte is kept for each
LONGEST: Final = 18  # digits that surely fit 64 bits


@dataclass(frozen=True, slots=True)
class Blocks:
    """How the records of a file divide.

    Attributes:
        count: how many filters there are.
        starts: numbers of the records with which blocks begin, ascending; empty where the n-th
            record of a document belongs to the n-th filter.
        is_even: all blocks hold the same documents.
    """

    count: int
    starts: tuple[int, ...]
    is_even: bool


ONE_BLOCK: Final = Blocks(1, (0,), is_even=True)


class FilterRanks:
    """Tells record by record, in the file's order, the filter's rank."""

    def __init__(self, blocks: Blocks) -> None:
        """Begin a file that divides as given."""
        self._blocks = blocks
        self._seen = bytearray()
        self._rest: Counter[int] = Counter()

    def rank(self, line: LogLine) -> int:
        """Return the rank of the filter that the next record belongs to."""
        if self._blocks.starts:
            return max(0, bisect_right(self._blocks.starts, line.number) - 1)
        return min(self._occurrence(document(line)), self._blocks.count - 1)

    def _occurrence(self, key: int) -> int:
        """Return how often a document came before."""
        if not 0 <= key < MAX_ID:
            self._rest[key] += 1
            return self._rest[key] - 1
        if key >= len(self._seen):
            self._seen.extend(bytes(key + 1024 - len(self._seen)))
        before = self._seen[key]
        self._seen[key] = min(before + 1, 255)
        return before


def document(line: LogLine) -> int:
    """Return what tells a record's document from others: lm-eval's number of it, else a hash."""
    logged = bytes(line.fields.get("doc_id", b""))
    if logged.isdigit() and len(logged) <= LONGEST:
        return int(logged)
    return hash((logged, bytes(line.fields.get("doc", b""))))


def find_blocks(lines: Iterable[LogLine], expected: int | None) -> Blocks:
    """Find how the records of a file divide.

    Args:
        lines: all its records.
        expected: how many filters the results file names, None where it does not say.
    """
    numbers, documents = array("q"), array("q")
    for line in lines:
        numbers.append(line.number)
        documents.append(document(line))
    return divide(numbers, documents, expected)


def divide(numbers: Sequence[int], documents: array[int], expected: int | None) -> Blocks:
    """Find how the records with these numbers, of these documents, divide."""
    total = len(documents)
    if not total:
        return ONE_BLOCK
    rising = [0, *(at for at in range(1, total) if documents[at] <= documents[at - 1])]
    count = expected or (1 if len(rising) == 1 else _periods(documents))
    if count and total % count == 0:
        size = total // count
        if all(documents[at : at + size] == documents[:size] for at in range(size, total, size)):
            return Blocks(count, tuple(numbers[0:total:size]), is_even=True)
    often = Counter(documents)
    most = max(often.values())
    count = expected or (most if len(rising) == most else max(1, round(total / len(often))))
    if len(rising) <= count:
        return Blocks(count, tuple(numbers[at] for at in rising), is_even=False)
    is_even = set(often.values()) == {count}
    return Blocks(count, () if count > 1 else (numbers[0],), is_even=is_even)


def _periods(documents: array[int]) -> int:
    """Return how many blocks there are if each begins with the first document; 0 if none fits."""
    try:
        size = documents.index(documents[0], 1)
    except ValueError:
        return 1 if len(set(documents)) == len(documents) else 0
    return 0 if len(documents) % size else len(documents) // size
