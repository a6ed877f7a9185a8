"""Which sample each line of a samples file belongs to, in little memory.

Lines of several filters are one sample when they hold the same document, and the n-th line of a
document under one filter goes with the n-th under another.  Only digests are kept, about 45 bytes
a sample: a dictionary would take three times as much.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Final

WIDTH: Final = 16  # bytes of a digest that are kept
FREE: Final = -1
MISMATCH: Final = 1  # a logged hash does not fit what the line holds
ODD: Final = 2  # the sample's columns do not give its lines back


class Positions:
    """The samples of one evaluation by document and occurrence.

    Attributes:
        count: samples so far; the next one gets this position.
        flags: one byte a sample, of `MISMATCH` and `ODD`.
    """

    def __init__(self) -> None:
        """Begin with no sample."""
        self.count = 0
        self.flags = bytearray()
        self._keys = bytearray()
        self._prints = bytearray()
        self._table = array("q", [FREE]) * 1024

    def find(self, key: bytes) -> int:
        """Return the position of a key (see `occurrence_key`), `FREE` if there is none."""
        return self._table[self._slot(key)]

    def add(self, key: bytes, fingerprint: bytes) -> int:
        """Give a new sample the next position.

        Args:
            key: of its document and occurrence, which `find` did not find.
            fingerprint: digest of what the lines of all its filters should agree on.
        """
        position = self.count
        self._keys += key
        self._prints += fingerprint
        self.flags.append(0)
        self._table[self._slot(key)] = position
        self.count += 1
        if self.count * 2 > len(self._table):
            self._grow()
        return position

    def fingerprint(self, position: int) -> bytes:
        """Return the fingerprint that a sample was added with."""
        return bytes(self._prints[position * WIDTH : (position + 1) * WIDTH])

    def _slot(self, key: bytes) -> int:
        """Return where in the table a key stands, or would stand."""
        table, keys = self._table, self._keys
        mask = len(table) - 1
        slot = int.from_bytes(key[:8], "little") & mask
        while (at := table[slot]) != FREE and keys[at * WIDTH : (at + 1) * WIDTH] != key:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        self._table = array("q", [FREE]) * (len(self._table) * 2)
        for position in range(self.count):
            key = bytes(self._keys[position * WIDTH : (position + 1) * WIDTH])
            self._table[self._slot(key)] = position


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
        self._repeats: dict[bytes, int] = {}
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

    def __contains__(self, position: int) -> bool:
        """Tell whether the filter has a line for a position."""
        if self.in_order:
            return position < self.count
        return position < len(self._marks) and self._marks[position] == 1

    def locate(self, positions: Positions, doc: bytes) -> tuple[int, int, bytes]:
        """Return where a line of this filter belongs: (position or `FREE`, occurrence, key).

        Args:
            positions: the evaluation's samples.
            doc: hash of the line's document.
        """
        nth = self._repeats.get(doc, 0) if self._repeats else 0
        while True:
            key = occurrence_key(doc, nth)
            position = positions.find(key)
            if position == FREE or position not in self:
                return position, nth, key
            nth += 1
            self._repeats[doc] = nth


def occurrence_key(doc: bytes, nth: int) -> bytes:
    """Return the digest that stands for the n-th occurrence of a document, counted from 0."""
    if nth == 0:
        return doc[:WIDTH]
    return hashlib.sha256(doc + nth.to_bytes(8, "little")).digest()[:WIDTH]
