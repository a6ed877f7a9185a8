"""How far a long verb is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What long verbs call as they go on."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """Take note of `done` of `total` (bytes for ingest, samples else), now at `what`."""
