"""What can be set from outside, each with its variable and its default."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from rescore_db.errors import UsageError

DEFAULT_URL = "sqlite:///rescore.db"


@dataclass(frozen=True)
class Settings:
    """The settings of one process.

    Attributes:
        url: the store, unless `--db` names another (RESCORE_DB).
        busy_seconds: how long a writer waits for another one (RESCORE_BUSY_SECONDS).
        max_line_mb: the longest line that is read, in MB (RESCORE_MAX_LINE_MB).
        cache: folder of indexes that can be made again at any time (RESCORE_CACHE).
        child_seconds: how long a task's code may take for one document; ten times as long for
            what is done for all at once, such as aggregating (RESCORE_CHILD_SECONDS).
        child_mb: how much memory a scoring child may use, in MB (RESCORE_CHILD_MB).
        sql_seconds: how long users' SQL may run (RESCORE_SQL_SECONDS).
    """

    url: str
    busy_seconds: float
    max_line_mb: int
    cache: Path
    child_seconds: float
    child_mb: int
    sql_seconds: float

    @classmethod
    def from_environment(
        cls, *, child_seconds: float | None = None, child_mb: int | None = None
    ) -> Settings:
        """Read the settings from the environment variables named above.

        Args:
            child_seconds: in place of what the environment says, unless None.
            child_mb: the same.

        Raises:
            UsageError: a value that is not a positive number.
        """
        env = os.environ.get
        base = Path(env("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(
            url=env("RESCORE_DB") or DEFAULT_URL,
            busy_seconds=_seconds("RESCORE_BUSY_SECONDS", 600),
            max_line_mb=_megabytes("RESCORE_MAX_LINE_MB", 256),
            cache=Path(env("RESCORE_CACHE") or base / "rescore_db"),
            child_seconds=child_seconds or _seconds("RESCORE_CHILD_SECONDS", 60),
            child_mb=child_mb or _megabytes("RESCORE_CHILD_MB", 8192),
            sql_seconds=_seconds("RESCORE_SQL_SECONDS", 60),
        )


def _seconds(name: str, default: float) -> float:
    given = os.environ.get(name)
    if not given:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        msg = f"{name} must be a positive number of seconds, not {given!r}"
        raise UsageError(msg)
    return seconds


def _megabytes(name: str, default: int) -> int:
    given = os.environ.get(name)
    if not given:
        return default
    try:
        megabytes = int(given)
    except ValueError:
        megabytes = 0
    if megabytes <= 0:
        msg = f"{name} must be a positive whole number of MB, not {given!r}"
        raise UsageError(msg)
    return megabytes
