"""What a run's files add to what the store has of the run.

A run is known by its model, date and, where it has no date, origin.  The same content adds
nothing; what the newest version lacks is added to it; content that differs makes a new version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rescore_db.store.runs import RunVersion

Digests = frozenset[bytes]
"""The digests of one content: what older versions of this program stored, and what it does now."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """Digests of a run's files: of its results, None if it has none, and of samples by task."""

    results: bytes | None
    samples: Mapping[str, Digests]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a run's files.

    Attributes:
        kind: "known": nothing; "add": what `version` lacks; "new": store a new version.
        version: the version that is concerned, None for a run that the store does not have.
    """

    kind: Literal["known", "add", "new"]
    version: RunVersion | None


def decide(versions: Sequence[RunVersion], incoming: Incoming) -> Decision:
    """Compare a run's files with its stored versions.

    Args:
        versions: newest first.
        incoming: the files.
    """
    if not versions:
        return Decision("new", None)
    for version in versions:
        if is_within(version, incoming):
            return Decision("known", version)
    newest = versions[0]
    if not differing(newest, incoming):
        return Decision("add", newest)
    return Decision("new", newest) if _has_news(versions, incoming) else Decision("known", newest)


def is_within(version: RunVersion, incoming: Incoming) -> bool:
    """Tell whether a version has all of some files' content."""
    return (incoming.results is None or incoming.results == version.results_digest) and all(
        has_samples(version, task, digests) for task, digests in incoming.samples.items()
    )


def differing(version: RunVersion, incoming: Incoming) -> list[str | None]:
    """Return the tasks whose samples a version has with other content, None for the results."""
    found: list[str | None] = [
        task
        for task, digests in incoming.samples.items()
        if (known := version.evaluations.get(task)) is not None
        and known.digest is not None
        and known.digest not in digests
    ]
    if None not in {incoming.results, version.results_digest}:
        found += [None] if incoming.results != version.results_digest else []
    return found


def has_samples(version: RunVersion, task: str, digests: Digests) -> bool:
    """Tell whether a version has just these samples of a task."""
    known = version.evaluations.get(task)
    return known is not None and known.digest in digests


def _has_news(versions: Sequence[RunVersion], incoming: Incoming) -> bool:
    """Tell whether any of the content is in no version."""
    results = {version.results_digest for version in versions} | {None}
    return incoming.results not in results or any(
        not any(has_samples(version, task, digests) for version in versions)
        for task, digests in incoming.samples.items()
    )
