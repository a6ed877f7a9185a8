"""Scoring children and filled stores: starting or filling one costs more than most tests do."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest

from rescore_db.harness.environment import child_environment
from rescore_db.ingest import ingest_paths
from rescore_db.rescoring.slot import Child, Slot
from rescore_db.store.engine import open_engine
from tests.conftest import Databases

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth


def fill(url: str, truth: Truth) -> None:
    """Take in everything that lm-eval logged over our tasks."""
    engine = open_engine(url)
    assert not ingest_paths(engine, [str(truth.logs)]).errors
    engine.dispose()


@pytest.fixture(scope="session")
def filled_sqlite(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, truth: Truth
) -> Path:
    """A filled store file, to be copied."""
    path = tmp_path_factory.mktemp("filled") / "filled.db"
    shutil.copyfile(sqlite_template, path)
    fill(f"sqlite:///{path}", truth)
    return path


@pytest.fixture(scope="session")
def filled_postgresql(postgres_server: str, postgres_template: str, truth: Truth) -> Iterator[str]:
    """The name of a filled database, to be copied."""
    databases = Databases(postgres_server)
    name = databases.make(postgres_template)
    fill(databases.url(name), truth)
    yield name
    databases.drop_all()


@pytest.fixture(params=["sqlite", "postgresql"])
def filled(
    request: pytest.FixtureRequest, tmp_path: Path, databases: Databases
) -> Iterator[Engine]:
    """A store of its own, with everything that lm-eval logged over our tasks, on each database."""
    if request.param == "sqlite":
        path = tmp_path / "filled.db"
        shutil.copyfile(request.getfixturevalue("filled_sqlite"), path)
        url = f"sqlite:///{path}"
    else:
        url = databases.url(databases.make(request.getfixturevalue("filled_postgresql")))
    opened = open_engine(url)
    yield opened
    opened.dispose()


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
