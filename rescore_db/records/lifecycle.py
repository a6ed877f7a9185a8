"""A store's schema: where it stands, what was done to it, what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Migration:
    """What `init` or `upgrade` did.

    Attributes:
        url: the store, without a password.
        before: the revision it was at, None where there was none.
        after: the revision it is at now.
    """

    url: str
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class Current:
    """Where a store stands; `revision` is None where there is none yet."""

    url: str
    revision: str | None
    head: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `check` found: where it is, and what is wrong."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Check:
    """What `check` looked at and found.

    Attributes:
        url: the store, without a password.
        revision: its revision, which is this version's.
        contents: how many docs, contexts, targets, responses and requests were hashed again.
        problems: the first `MAX_PROBLEMS` of what was found.
        n_problems: how many there are in all.
    """

    url: str
    revision: str
    contents: int
    problems: tuple[Problem, ...]
    n_problems: int
