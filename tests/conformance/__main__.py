"""The whole registry of lm-eval, rescored and compared with lm-eval itself."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
from pathlib import Path

from rescore_db.harness.index import TaskNames
from tests.conformance.report import fidelity, summary
from tests.conformance.walk import State, Walk
from tests.truth import ROOT

FIDELITY = ROOT / "docs" / "fidelity.md"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m tests.conformance", description=__doc__)
    add = parser.add_argument
    add("names", nargs="*", help="names, patterns or families (gsm8k 'mmlu_*'); none: all")
    add("--sample", type=int, metavar="N", default=1, help="only every N-th of them")
    add("--jobs", type=int, default=1, help="pairs of processes at a time")
    add("--seconds", type=float, default=6.0, help="of CPU, for making the documents of one task")
    add("--members", type=int, default=20, help="of groups and tags that are evaluated as a whole")
    add("--state", type=Path, help="file of what is known; a walk that was stopped goes on there")
    add("--write", action="store_true", help=f"write {FIDELITY.relative_to(ROOT)}")
    add("--report-only", action="store_true", help="walk no further: report what --state holds")
    return parser.parse_args()


def chosen(walk: Walk, names: list[str], patterns: list[str], sample: int) -> list[str]:
    """Return the names that patterns choose, or families, or all; every n-th of them."""
    found = [
        name
        for name in names
        if not patterns
        or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        or walk.family(name) in patterns
    ]
    return found[::sample]


def main() -> int:
    """Walk and report; 1 when something differs."""
    given = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        state = State(given.state or Path(scratch, "outcomes.jsonl"))
        walk = Walk(
            state,
            seconds=given.seconds,
            members=given.members,
            tell=lambda line: print(line, flush=True),
        )
        every = TaskNames().names()
        names = chosen(walk, every, given.names, given.sample)
        if not names:
            print(f"no name, pattern or family of the registry: {' '.join(given.names)}")
            return 2
        if not given.report_only:
            walk.run(names, given.jobs)
    outcomes = [state.outcomes[name] for name in names if name in state.outcomes]
    print(summary(outcomes))
    if given.write:
        FIDELITY.write_text(fidelity(outcomes, len(every)), encoding="utf-8")
    return int(any(one.verdict == "different" for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
