"""Scoring children that outlive a test: starting one costs more than most tests do."""

from __future__ import annotations

import os
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest

from rescore_db.harness.environment import child_environment
from rescore_db.rescoring.slot import Child, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator


class Nursery:
    """Keeps two real children; slots borrow them, and bring them back alive."""

    def __init__(self) -> None:
        self._environment = os.environ | child_environment() | {"RESCORE_CHILD_MB": "8192"}
        self._children: list[Child] = []
        self.killed: list[Child] = []  # some take a while to be gone
        self.idle: SimpleQueue[Child] = SimpleQueue()

    def fill(self) -> None:
        """Have two children; by the main thread, for one dies with the thread that started it."""
        while len(self._children) < 2:
            child = Child.start(self._environment)
            self._children.append(child)
            self.idle.put(child)

    def owns(self, child: Child | None) -> bool:
        return child in self._children

    def take_back(self, child: Child) -> None:
        """Keep a child for the next slot, unless it was killed."""
        if child.process.poll() is None and child not in self.killed:
            self.idle.put(child)
        else:
            self._children.remove(child)
            child.end()

    def end(self) -> None:
        for child in self._children:
            child.end()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    kept = Nursery()
    yield kept
    kept.end()


@pytest.fixture
def warm_children(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let slots borrow children that have lm-eval in memory already."""
    nursery.fill()
    start, close, interrupt = Slot._running, Slot.close, Slot.interrupt  # noqa: SLF001 - its child

    def running(self: Slot) -> Child:
        if self._child is None and not self._wide:
            with suppress(Empty):
                self._child = nursery.idle.get_nowait()
        return start(self)

    def bring_back(self: Slot) -> None:
        child = self._child
        if child is not None and nursery.owns(child):
            nursery.take_back(child)
            self._child = None
        close(self)

    def note_death(self: Slot) -> None:
        if self._child is not None:
            nursery.killed.append(self._child)
        interrupt(self)

    monkeypatch.setattr(Slot, "_running", running)
    monkeypatch.setattr(Slot, "interrupt", note_death)
    monkeypatch.setattr(Slot, "close", bring_back)
