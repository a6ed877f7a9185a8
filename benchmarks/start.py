"""How long the command line takes to start: `python benchmarks/start.py [--json]`.

Measures whole processes, in turn, so that a busy machine slows all of them alike; the median of
the runs counts.  The bar is Python itself doing nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("rescore"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "rescore --help": [PROGRAM, "--help"],
    "rescore --version": [PROGRAM, "--version"],
    "rescore runs": [PROGRAM, "runs"],  # of an empty store
}


def seconds(command: list[str], folder: str) -> float:
    """Return the wall time of one run of a command, in seconds."""
    start = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        cwd=folder,
        env=os.environ | {"RESCORE_DB": "sqlite:///start.db"},
    )
    return time.perf_counter() - start


def measure(runs: int) -> dict[str, float]:
    """Return the median wall time of each command, in seconds, after one run that warms caches."""
    with tempfile.TemporaryDirectory() as folder:
        seconds([PROGRAM, "db", "init"], folder)
        times: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for round_number in range(runs + 1):
            for name, command in COMMANDS.items():
                taken = seconds(command, folder)
                if round_number:
                    times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, help="how often each command runs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    medians = measure(options.runs)
    if options.json:
        print(json.dumps({"runs": options.runs, "median_seconds": medians}, indent=2))
        return
    print("| command | median, ms |\n|---|---:|")
    for name, median in medians.items():
        print(f"| `{name}` | {1000 * median:.0f} |")


if __name__ == "__main__":
    main()
