"""What a process that runs a task's code is doing, kept where another process can read it.

Code that hangs, exits or is killed says nothing more.  So each step is written down before it is
taken, in memory that a scoring child shares with its parent: a few stores a document.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SIZE: Final = 1024  # bytes that are shared
HEAD: Final = 24  # three integers: changes, the document's number, bytes of text
NOBODY: Final = -1  # the number while a step is about no document in particular


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as its process wrote it down.

    Attributes:
        count: grows with each step.
        what: what is done, such as "filter 'strict-match'"; empty while no task's code runs.
        noun: what documents are counted by, such as "position".
        number: the document that it is done for, or None.
    """

    count: int
    what: str
    noun: str
    number: int | None

    @classmethod
    def read(cls, shared: bytes) -> Step:
        """Read what `Whereabouts` wrote into shared memory."""
        count, number, length = memoryview(shared[:HEAD]).cast("q")
        text = shared[HEAD : HEAD + length].decode("utf-8", "replace")
        what, _, noun = text.partition("\0")
        return cls(count, what, noun, None if number == NOBODY else number)

    def __str__(self) -> str:
        """Say it in a message: "position 3, filter 'strict-match'"."""
        return self.what if self.number is None else f"{self.noun} {self.number}, {self.what}"


class Whereabouts:
    """Where this process is.  Until it is shared, nobody else reads it."""

    def __init__(self) -> None:
        """Write into memory of this process."""
        self._noun = "document"
        self._numbers: Sequence[int] | None = None
        self._use(memoryview(bytearray(SIZE)))

    def share(self, file: int) -> None:
        """Write into an open file of `SIZE` bytes from now on."""
        self._use(memoryview(mmap.mmap(file, SIZE)))

    def _use(self, memory: memoryview) -> None:
        self._memory, self._head = memory, memory[:HEAD].cast("q")
        self._head[1] = NOBODY

    def read(self) -> Step:
        """Return the last step."""
        return Step.read(bytes(self._memory))

    def count_by(self, noun: str, numbers: Sequence[int] | None = None) -> None:
        """Say by which numbers the next documents are known to who reads this."""
        self._noun, self._numbers = noun, numbers

    def step(self, what: str) -> None:
        """Begin a step."""
        noun = f"\0{self._noun}".encode()
        text = what.encode("utf-8", "replace")[: SIZE - HEAD - len(noun)] + noun
        self._head[1] = NOBODY
        self._memory[HEAD : HEAD + len(text)] = text
        self._head[2] = len(text)
        self._head[0] += 1

    def document(self, index: int) -> None:
        """Go on to a document, counted from 0, within a step."""
        self._head[1] = index if self._numbers is None else self._numbers[index]

    def nowhere(self) -> None:
        """Be done with the documents of a step; what follows concerns all of them."""
        self._head[1] = NOBODY

    @contextmanager
    def excursion(self) -> Iterator[None]:
        """Be back, after a block and its steps, where the process was before.

        What ends the process leaves it where it is, to be read.
        """
        before = bytes(self._memory)
        try:
            yield
        except Exception:
            self._go_back(before)
            raise
        self._go_back(before)

    def _go_back(self, before: bytes) -> None:
        self._memory[8:] = before[8:]
        self._head[0] += 1


here: Final = Whereabouts()
"""Where this process is."""


class WatchedEntries(list[Any]):
    """A filter's input, which notes whose turn it is while it is gone through."""

    def __init__(self, entries: Iterable[Any], indexes: Sequence[int]) -> None:
        """Watch entries, each of the document at its index."""
        super().__init__(entries)
        self._indexes = indexes

    def __iter__(self) -> Iterator[Any]:
        """Yield the entries; whoever takes one is at its document."""
        last = len(self._indexes) - 1
        for number, entry in enumerate(super().__iter__()):
            here.document(self._indexes[min(number, last)])
            yield entry
        here.nowhere()
