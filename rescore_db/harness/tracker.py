"""lm-eval's own tracker, to write what `simple_evaluate` returned as the files it would be."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescore_db.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_logs(results: Mapping[str, Any], out: str, *, model: str | None = None) -> Path:
    """Write the files that `lm_eval --log_samples --output_path OUT` would have written.

    What only lm-eval's tracker knows is as in an evaluation with its defaults, without a chat
    template and system instruction, and nobody timed it; where the results say otherwise (as with
    `results | asdict(tracker.general_config_tracker)`), that counts.  The files' date is the one
    in the results, when the evaluation began, so that writing them twice gives the same.

    Args:
        results: what `simple_evaluate` returned; not modified.
        out: an existing folder.
        model: the model's name, None takes it from the results.

    Returns:
        the model's folder.

    Raises:
        UsageError: the results hold no samples or no model, or lm-eval cannot write them.
    """
    samples = results["samples"]
    known = {key: value for key, value in results.items() if key != "samples"}
    tracker = _tracker(known, out, model)
    folder = Path(out, str(tracker.general_config_tracker.model_name_sanitized))
    tracker.save_results_aggregated(results=known, samples=samples)
    written = list(folder.glob("results_*.json"))
    if len(written) != 1:
        msg = "lm-eval could not write the aggregated results: are they what it returned?"
        raise UsageError(msg)
    date = _date(results)
    if date is not None:
        tracker.date_id = date
        written[0].rename(folder / f"results_{date}.json")
    for task in results["configs"]:
        if task in samples:
            _write_samples(tracker, folder, task, samples[task])
    return folder


def _tracker(known: dict[str, Any], out: str, model: str | None) -> Any:  # noqa: ANN401 - lm-eval's
    """Return a tracker that knows what the results tell, and does not look at the clock."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.utils import sanitize_model_name

    tracker = EvaluationTracker(output_path=out)
    about = tracker.general_config_tracker
    about.log_end_time = lambda: None  # nobody timed the evaluation
    config = known.get("config") or {}
    arguments = config.get("model_args") or ""
    turns = signature(simple_evaluate).parameters["fewshot_as_multiturn"].default
    about.log_experiment_args(config.get("model"), arguments, None, None, turns)
    told = about._get_model_name(arguments)  # noqa: SLF001 - lm-eval invents a name otherwise
    for name in asdict(about):
        if name in known:  # another tracker was there before
            setattr(about, name, known[name])
    name = model or known.get("model_name") or told
    if not name:
        msg = "the results do not say which model they are of: give model=NAME"
        raise UsageError(msg)
    about.model_name = name
    about.model_name_sanitized = sanitize_model_name(name)
    return tracker


def _date(results: Mapping[str, Any]) -> str | None:
    """Return when the evaluation began as lm-eval writes dates into names, None if unknown."""
    began = results.get("date")
    if isinstance(began, bool) or not isinstance(began, int | float):
        return None
    local = datetime.fromtimestamp(began)  # noqa: DTZ006 - lm-eval's names have local time
    return local.isoformat().replace(":", "-")


def _write_samples(tracker: Any, folder: Path, task: str, samples: list[dict[str, Any]]) -> None:  # noqa: ANN401
    """Write one task's samples; lm-eval changes those that it is given.

    Raises:
        UsageError: it wrote less than all of them, which it only logs.
    """
    tracker.save_results_samples(task_name=task, samples=[dict(one) for one in samples])
    path = folder / f"samples_{task}_{tracker.date_id}.jsonl"
    lines = 0
    if path.is_file():
        with path.open("rb") as file:
            lines = sum(1 for _ in file)
    if lines != len(samples):
        msg = f"lm-eval could not write the samples of {task}: are they what it returned?"
        raise UsageError(msg)
