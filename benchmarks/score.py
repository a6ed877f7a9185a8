"""How fast `rescore score` is beside lm-eval: `python benchmarks/score.py [--json]`.

Documents and metrics in one process, lm-eval's way and ours in turn on the same samples, the
least CPU time of the rounds; whole processes for the start and for memory.  All is made up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

from ingest import PROGRAM, Use, measured
from made_up_samples import KINDS, labels, log_likelihood, texts

from rescore_db.harness.interface import TaskRequest
from rescore_db.harness.isolation import isolated
from rescore_db.harness.offline import load_task
from rescore_db.harness.scoring import as_response, request_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rescore_db.harness.interface import Sample
    from rescore_db.harness.offline import OfflineTask

HERE = Path(__file__).parent
DOCS = 400
FEW = {"truthfulqa_gen": 4}  # documents of a task that takes lm-eval a second for each
SMALL, BIG = 500, 5000  # documents: shards of 500 bound the memory
ITERS = 100_000  # lm-eval's own default
METRICS = {  # lm-eval's function → a maker of items, their number, resamples that lm-eval is given
    "f1_score": (labels, 277, 300),
    "matthews_corrcoef": (labels, 277, 300),
    "perplexity": (log_likelihood, 5153, 1000),
    "median": (log_likelihood, 1000, 2000),
    "nanmean": (log_likelihood, 1000, 2000),
    "bleu": (texts, 300, 10),
    "chrf": (texts, 300, 10),
    "ter": (texts, 50, 5),
}
CAPPED = {"bleu": 100, "chrf": 100, "ter": 100}  # resamples, whatever is asked for
START = (
    "from rescore_db.harness.isolation import isolated\nwith isolated(): import lm_eval.api.task"
)
MAKE_LOGS = """
import sys
from pathlib import Path
place, tree, task, count = sys.argv[1:]
sys.path.insert(0, place)
from made_up_logs import Task, write_model
made = Task(task, is_open=task == "gsm8k", count=int(count))
write_model(Path(tree), "made-up/model", [made])
"""
IMPORTS = {
    "import lm_eval.api.task": [sys.executable, "-c", "import lm_eval.api.task"],
    "the same in a scoring child": [sys.executable, "-c", START],
}


def cpu_of(work: Callable[[], object]) -> float:
    """Return the CPU time of some work, in seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


# ----------------------------------------------------------------------------------- documents


def documents(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the CPU time of a document of each kind, in microseconds."""
    for name, make in KINDS.items():
        random = Random(name)  # noqa: S311 - the same samples each time
        samples = [make(random) for _ in range(FEW.get(name, DOCS))]
        task = load_task(TaskRequest(name), samples[0].doc)
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            for way, work in ways(task, samples).items():
                times[way].append(cpu_of(work))
        least = {way: 1e6 * min(taken) / len(samples) for way, taken in times.items()}
        yield {"task": name} | least


def ways(task: OfflineTask, samples: Sequence[Sample]) -> dict[str, Callable[[], object]]:
    """Return lm-eval's way, its scoring alone, and ours."""
    instances = made_instances(samples)
    own = task.lm_eval_task

    def ours() -> None:
        found = task.score(samples)
        task.target_texts(samples)
        if failed := next((one.error for one in found if one.error), None):
            sys.exit(f"{task.definition.name}: {failed}")

    def theirs(*, logged: bool) -> None:
        with as_lm_eval_is():
            lm_eval_loop(own, samples, instances, logged=logged)

    return {
        "lm_eval": lambda: theirs(logged=True),
        "lm_eval_unlogged": lambda: theirs(logged=False),
        "ours": ours,
    }


def made_instances(samples: Sequence[Sample]) -> list[Any]:
    """Return lm-eval's instances with the model's responses in them."""
    from lm_eval.api.instance import Instance

    return [
        Instance(
            request_type=request_type(arguments),
            doc=sample.doc,
            arguments=tuple(arguments),
            idx=number,
            metadata=("made-up", index, 1),
            resps=[as_response(one, request_type(arguments)) for one in sample.responses[number]],
        )
        for index, sample in enumerate(samples)
        for number, arguments in enumerate(sample.arguments)
    ]


@contextlib.contextmanager
def as_lm_eval_is() -> Iterator[None]:
    """Take the shortcut that outlasts scoring out of `rouge_score`, for a block."""
    module = sys.modules.get("rouge_score.scoring")
    aggregator: Any = module and module.BootstrapAggregator
    with isolated():
        if not hasattr(aggregator, "resample_many"):
            yield
            return
        shortcut = aggregator._bootstrap_resample  # noqa: SLF001
        aggregator._bootstrap_resample = aggregator.resample_many  # noqa: SLF001
        try:
            yield
        finally:
            aggregator._bootstrap_resample = shortcut  # noqa: SLF001


def lm_eval_loop(
    task: Any,  # noqa: ANN401 - lm-eval's Task
    samples: Sequence[Sample],
    instances: list[Any],
    *,
    logged: bool,
) -> None:
    """Do what `lm_eval.evaluator.evaluate` does with responses, under "Postprocess outputs"."""
    from lm_eval.utils import handle_non_serializable, hash_string

    for ensemble in task._filters:  # noqa: SLF001 - `apply_filters`, on instances of our own
        ensemble.apply(instances)
    by_doc = defaultdict(list)
    for instance in instances:
        by_doc[instance.doc_id].append(instance)
    for several in by_doc.values():
        several.sort(key=lambda one: one.idx)
    raw, lines = defaultdict(list), []
    for name in instances[0].filtered_resps:
        for doc_id, sample in enumerate(samples):
            doc, requests = sample.doc, by_doc[doc_id]
            metrics = task.process_results(doc, [one.filtered_resps[name] for one in requests])
            if logged:
                target = task.doc_to_target(doc)
                text = json.dumps(
                    doc, indent=2, default=handle_non_serializable, ensure_ascii=False
                )
                line = {
                    "doc_id": doc_id,
                    "doc": doc,
                    "target": target,
                    "arguments": [one.args for one in requests],
                    "resps": [one.resps for one in requests],
                    "filtered_resps": [one.filtered_resps[name] for one in requests],
                    "filter": name,
                    "metrics": list(metrics.keys()),
                    "doc_hash": hash_string(text),
                    "prompt_hash": hash_string(requests[0].arguments[0]),
                    "target_hash": hash_string(str(target)),
                }
                lines.append(line | metrics)
            for metric, value in metrics.items():
                raw[metric, name].append(value)


# ----------------------------------------------------------------------------- standard errors


def standard_errors(rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the CPU time of a metric's standard error, in seconds.

    lm-eval's is what it takes for a part of the resamples, times what that is of all.
    """
    from lm_eval.api import metrics

    from rescore_db.harness.bootstrap import fast_bootstrap
    from rescore_db.harness.segments import remembered_segments

    for name, (make, count, some) in METRICS.items():
        random = Random(name)  # noqa: S311 - the same items each time
        items = [make(random) for _ in range(count)]
        f, iters = getattr(metrics, name), CAPPED.get(name, ITERS)
        own, ours = [], []
        theirs = partial(metrics.bootstrap_stderr, f, items, some)
        all_of_it = partial(metrics.bootstrap_stderr, f, items, iters)
        for _ in range(rounds):
            with isolated():
                own.append(cpu_of(theirs) * iters / some)
                with fast_bootstrap(), remembered_segments():
                    ours.append(cpu_of(all_of_it))
        least = {"lm_eval": min(own), "ours": min(ours)}
        yield {"metric": name, "items": count, "resamples": iters} | least


# ------------------------------------------------------------------------------------ processes


def processes(rounds: int) -> dict[str, Use]:
    """Return what whole processes took: the median wall and the greatest peak of the rounds."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        commands, urls = dict(IMPORTS), dict.fromkeys(IMPORTS, "")
        for task, count in (("arc_easy", 20), ("gsm8k", SMALL), ("gsm8k", BIG)):
            name = f"rescore score: {task}, {count} documents"
            tree, urls[name] = folder / f"{task}-{count}", f"sqlite:///{folder}/{task}-{count}.db"
            made = [sys.executable, "-c", MAKE_LOGS, HERE, tree, task, str(count)]
            for command in (made, [PROGRAM, "db", "init"], [PROGRAM, "ingest", tree]):
                measured(command, urls[name])
            commands[name] = [PROGRAM, "score", "--force"]
        uses = defaultdict(list)
        for number in range(rounds + 1):
            for name, command in commands.items():
                use = measured(command, urls[name])
                if number:  # the first warms caches and the index
                    uses[name].append(use)
    return {
        name: Use(
            median(one.cpu for one in several),
            median(one.wall for one in several),
            max(one.peak_mb for one in several),
        )
        for name, several in uses.items()
    }


# ---------------------------------------------------------------------------------------- output


def show(found: dict[str, Any]) -> None:
    """Print tables."""
    print(f"load: {found['load']}\n\n| task | rescore, µs | lm-eval, µs | ratio | unlogged |")
    print("|---|---:|---:|---:|---:|")
    for one in found["documents"]:
        ratios = [one[way] / one["ours"] for way in ("lm_eval", "lm_eval_unlogged")]
        shown = f"| {one['task']} | {one['ours']:.0f} | {one['lm_eval']:.0f} |"
        print(shown, " | ".join(f"{ratio:.1f}" for ratio in ratios), "|")
    print("\n| metric | items | resamples | rescore, s | lm-eval, s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for one in found["standard_errors"]:
        shown = f"| {one['metric']} | {one['items']} | {one['resamples']} | {one['ours']:.2f} |"
        print(shown, f"{one['lm_eval']:.1f} | {one['lm_eval'] / one['ours']:.1f} |")
    print("\n| process | CPU, s | wall, s | peak, MB |\n|---|---:|---:|---:|")
    for name, use in found["processes"].items():
        print(f"| {name} | {use['cpu']:.2f} | {use['wall']:.2f} | {use['peak_mb']:.0f} |")


def main() -> None:
    """Print tables, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    found: dict[str, Any] = {  # processes first: what is loaded here would count as their peak
        "processes": {name: vars(use) for name, use in processes(options.rounds).items()},
        "documents": list(documents(options.rounds)),
        "standard_errors": list(standard_errors(options.rounds)),
    }
    found["load"] = (before, os.getloadavg()[0])
    print(json.dumps(found, indent=2)) if options.json else show(found)


if __name__ == "__main__":
    main()
