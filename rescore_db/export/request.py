"""What an export is asked to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Which runs to write, and how.

    Attributes:
        format: "lm-eval" for the files that lm-eval wrote, "responses" for what the models
            answered, as `ingest --responses` reads it.
        runs: references of runs; none means the newest version of each.
        tasks: task names or patterns; none means all.
        force: replace files that are there with other content.
        scoring: write rescored values in place of the logged ones: the name of a scoring, of
            every chosen run that has one of that name; or the id of one, or `RUN:SCORING`.
    """

    format: str = "lm-eval"
    runs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    force: bool = False
    scoring: str | None = None
