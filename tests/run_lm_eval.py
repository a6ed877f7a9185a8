"""Run lm-eval itself, in a process of its own: the truth that our numbers are compared with.

`tests.truth` starts this module with a JSON list of invocations on stdin, in a folder that holds
the tasks: all paths that lm-eval logs are relative to it.  What `lm_eval run --log_samples
--output_path OUT` does is done here in its order; only the model, the clock and the number of
bootstrap samples are ours.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import lm_eval
import lm_eval.evaluator
from lm_eval.api.registry import register_model
from lm_eval.loggers import EvaluationTracker, evaluation_tracker
from lm_eval.tasks import TaskManager

from tests.scripted_model import ScriptedModel


def set_clock(date: str) -> None:
    """Let lm-eval believe that it is `date` (ISO 8601, UTC) and that its work takes no time."""
    now = datetime.fromisoformat(date).replace(tzinfo=UTC)
    evaluation_tracker.datetime = SimpleNamespace(now=lambda: now.replace(tzinfo=None))
    evaluation_tracker.time = SimpleNamespace(perf_counter=float)
    lm_eval.evaluator.time = SimpleNamespace(time=now.timestamp)


def evaluate(
    *, include_path: str, out: str, date: str, model_args: dict[str, Any], options: dict[str, Any]
) -> None:
    """Evaluate a scripted model and write its logs.

    Args:
        include_path: folder of tasks, relative to the working directory.
        out: what `--output_path` would be.
        date: when the run pretends to take place.
        model_args: what `--model_args` would hold.
        options: arguments of `simple_evaluate`, `tasks` among them.
    """
    set_clock(date)
    tracker = EvaluationTracker(output_path=out)
    results = lm_eval.simple_evaluate(
        model="scripted",
        model_args=model_args,
        batch_size=1,
        device="cpu",
        log_samples=True,
        evaluation_tracker=tracker,
        task_manager=TaskManager(
            include_path=include_path, include_defaults=False, metadata=model_args
        ),
        metadata=model_args,
        **options,
    )
    save(tracker, results)


def save(tracker: EvaluationTracker, results: dict[str, Any]) -> None:
    """Write the logs of an evaluation, as lm-eval's command line does."""
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task_name in results["configs"]:
        tracker.save_results_samples(task_name=task_name, samples=samples[task_name])


def main() -> None:
    """Run the invocations named on stdin."""
    register_model("scripted")(ScriptedModel)
    for invocation in json.load(sys.stdin):
        evaluate(**invocation)


if __name__ == "__main__":
    main()
