"""Make the logs that `rescore demo` ships: `python -m tests.demo_logs`.

lm-eval itself runs over the tasks in `rescore_db/demo/tasks`; only the model is a script (see
`tests.scripted_model`).  A newer lm-eval writes other bytes: run this again and commit them.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.truth import ROOT, Invocation, make_logs

if TYPE_CHECKING:
    from pathlib import Path

DEMO = ROOT / "rescore_db" / "demo"
SMALL, LARGE = "larch/wren-1b", "tern-ai/heron-7b"
EVERY_TASK = ("shop_sums", "household", "trades")
RUNS = (
    Invocation(EVERY_TASK, SMALL, "2026-03-02T10:04:27.318274", skill=0.5),
    Invocation(("shop_sums",), SMALL, "2026-03-16T09:51:03.770018", skill=0.58, variant=1),
    Invocation(EVERY_TASK, SMALL, "2026-03-30T10:12:44.052391", skill=0.66, variant=2),
    Invocation(EVERY_TASK, LARGE, "2026-03-30T11:40:10.901463", skill=0.85),
)


def make_demo_logs(folder: Path) -> Path:
    """Write the demo's logs to a folder that does not exist yet, and return it."""
    return make_logs(folder, *RUNS, tasks=DEMO / "tasks")


if __name__ == "__main__":
    shutil.rmtree(DEMO / "logs", ignore_errors=True)
    make_demo_logs(DEMO / "logs")
