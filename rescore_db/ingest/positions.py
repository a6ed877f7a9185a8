"""Which sample each line of a samples file belongs to, in little memory.

Lines of several filters are one sample when they hold the same document, and the n-th line of a
document under one filter goes with the n-th under another.  Numbers in arrays take about 50 bytes
a sample: a dictionary would take three times as much.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import islice
from operator import lt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FREE: Final = -1
SPREAD: Final = 0x9E3779B97F4A7C15
MISMATCH: Final = 1  # a logged hash does not fit what the line holds
ODD: Final = 2  # the sample's columns do not give its lines back


class Positions:
    """The samples of one evaluation by document and occurrence.

    Attributes:
        count: samples so far; the next one gets this position.
        flags: one byte a sample, of `MISMATCH` and `ODD`.
        requests: the request's id of each sample.
        responses: `hash()` of the JSON text of each sample's responses, for equality only.
    """

    def __init__(self) -> None:
        """Begin with no sample."""
        self.count = 0
        self.flags = bytearray()
        self.requests = array("q")
        self.responses = array("q")
        self._docs = array("q")
        self._table = array("q")  # empty as long as the documents ascend, as they mostly do
        self._repeats: dict[tuple[int, int], int] = {}

    def find(self, doc_id: int, nth: int) -> int:
        """Return the position of the n-th occurrence of a document, `FREE` if there is none."""
        if nth:
            return self._repeats.get((doc_id, nth), FREE)
        if self._table:
            return self._table[self._slot(doc_id)]
        at = bisect_left(self._docs, doc_id)
        return at if at < self.count and self._docs[at] == doc_id else FREE

    def add(self, doc_id: int, nth: int, request_id: int, response: int) -> int:
        """Give a new sample, which `find` did not find, the next position."""
        position = self.count
        if not self._table and not self.continue_with([doc_id]):
            self._make_table()
        self.requests.append(request_id)
        self.responses.append(response)
        self.flags.append(0)
        self._docs.append(doc_id)
        self.count = position + 1
        if nth:
            self._repeats[doc_id, nth] = position
            return position
        if self._table:
            self._table[self._slot(doc_id)] = position
            if self.count * 2 > len(self._table):
                self._make_table()
        return position

    def continue_with(self, doc_ids: Sequence[int]) -> bool:
        """Tell whether documents surely are new: all so far and these, in order, ascend."""
        if self._table or (self._docs and self._docs[-1] >= doc_ids[0]):
            return False
        return all(map(lt, doc_ids, islice(doc_ids, 1, None)))

    def extend(
        self, doc_ids: Sequence[int], request_ids: Sequence[int], responses: Sequence[int]
    ) -> None:
        """Give new samples, of documents that `continue_with` told, the next positions."""
        self._docs.extend(doc_ids)
        self.requests.extend(request_ids)
        self.responses.extend(responses)
        self.flags.extend(bytes(len(doc_ids)))
        self.count += len(doc_ids)

    def _slot(self, doc_id: int) -> int:
        """Return where in the table a document's first occurrence stands, or would stand.

        Ids come in ranges, and ranges that overlap in the table would pile up: the golden ratio's
        digits spread them.
        """
        table, docs = self._table, self._docs
        mask = len(table) - 1
        slot = (doc_id * SPREAD >> 20) & mask
        while (at := table[slot]) != FREE and docs[at] != doc_id:
            slot = (slot + 1) & mask
        return slot

    def _make_table(self) -> None:
        """Make the table, or one that is twice as large."""
        filled = [at for at in self._table if at != FREE] if self._table else range(self.count)
        self._table = array("q", [FREE]) * (1024 << (self.count // 512).bit_length())
        for position in filled:
            self._table[self._slot(self._docs[position])] = position


class Seen:
    """The positions that one filter has lines for.

    Attributes:
        count: how many.
        in_order: they are 0, 1, 2 … without a gap, in that order.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.count = 0
        self.in_order = True
        self._repeats: dict[int, int] = {}
        self._marks = bytearray()

    def add(self, position: int) -> None:
        """Note a line."""
        if self.in_order and position != self.count:
            self.in_order = False
            self._marks = bytearray(b"\x01") * self.count
        if not self.in_order:
            if position >= len(self._marks):
                self._marks.extend(bytes(position + 1 - len(self._marks)))
            self._marks[position] = 1
        self.count += 1

    def extend(self, count: int) -> None:
        """Note the next lines, which are in order as all before them."""
        self.count += count

    def __contains__(self, position: int) -> bool:
        """Tell whether the filter has a line for a position."""
        if self.in_order:
            return position < self.count
        return position < len(self._marks) and self._marks[position] == 1

    def locate(self, positions: Positions, doc_id: int) -> tuple[int, int]:
        """Return where a line of this filter belongs: (position or `FREE`, occurrence)."""
        nth = self._repeats.get(doc_id, 0) if self._repeats else 0
        while True:
            position = positions.find(doc_id, nth)
            if position == FREE or position not in self:
                return position, nth
            nth += 1
            self._repeats[doc_id] = nth
