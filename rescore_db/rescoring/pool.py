"""Runs work units on several slots at once."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from rescore_db.rescoring.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from rescore_db.settings import Settings

SAMPLES_WORTH_A_CHILD: Final = 2000  # a child's start costs as much as scoring these


class Pool:
    """Threads, each of which borrows a slot for one work unit after another."""

    def __init__(self, settings: Settings, workers: int, *, wide: bool = False) -> None:
        """Prepare `workers` slots; children start as work comes."""
        self._free: SimpleQueue[Slot] = SimpleQueue()
        self._slots = [Slot(settings, wide=wide) for _ in range(workers)]
        for slot in self._slots:
            self._free.put(slot)
        self._threads = ThreadPoolExecutor(workers)

    def __enter__(self) -> Self:
        """Return the pool."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every child; work that has not begun is dropped."""
        if kind is not None:  # do not wait for shards whose results nobody wants
            for slot in self._slots:
                slot.interrupt()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for slot in self._slots:
            slot.close()

    def run(self, units: Iterable[Callable[[Slot], Any]]) -> Iterator[Any]:
        """Run every unit and yield the results as they come, in any order.

        Raises:
            Exception: the first that a unit raises.
        """
        waiting: set[Future[Any]] = set()
        for unit in units:
            waiting.add(self._threads.submit(self._borrow, unit))
            if len(waiting) > 2 * len(self._slots):  # keep the queue short: units may be big
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def _borrow(self, unit: Callable[[Slot], Any]) -> Any:  # noqa: ANN401 - the unit's result
        slot = self._free.get()
        try:
            return unit(slot)
        finally:
            self._free.put(slot)


def workers_for(samples: int, asked: int | None) -> int:
    """Return how many children to use for so many samples, unless the user says."""
    if asked is not None:
        return max(1, asked)
    return max(1, min(os.cpu_count() or 1, -(-samples // SAMPLES_WORTH_A_CHILD)))
