"""Small logs in lm-eval 0.4.13's layout, made here: hashes, filters and aggregates fit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

DATE = "2026-01-05T09-30-00.000101"
MODEL = "larch/wren-1b"
Line = dict[str, Any]


def sha(text: str) -> str:
    """Hash a text as lm-eval does."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def sums_line(number: int, filter_: str = "strict", **changed: Any) -> Line:
    """One line of a generation task; `changed` replaces fields after the hashes are made."""
    doc = {"question": f"What is {number} + {number}?", "answer": 2 * number, "level": number % 4}
    prompt, target = f"Q: {doc['question']}\nA:", str(2 * number)
    right = number % 3 != 0
    got = target if right else "?"
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n"], "top_p": 0.5}}},
        "resps": [[f" It is {got}."]],
        "filtered_resps": [got],
        "filter": filter_,
        "metrics": ["exact_match"],
        "doc_hash": sha(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": sha(prompt),
        "target_hash": sha(target),
        "exact_match": float(right),
    } | changed


def choice_line(number: int, **changed: Any) -> Line:
    """One line of a multiple-choice task with two metrics."""
    names = ("ein", "zwei", "drei")
    doc = {"question": f"Which is {number}?", "choices": list(names), "gold": number % 3}
    prompt, target = f"Frage: {doc['question']}\n", str(doc["gold"])
    pairs = [[str(-1.5 - (at - number) % 3), str(at == number % 3)] for at in range(3)]
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {
            f"gen_args_{at}": {"arg_0": prompt, "arg_1": f" {text}"}
            for at, text in enumerate(names)
        },
        "resps": [[pair] for pair in pairs],
        "filtered_resps": pairs,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": sha(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": sha(prompt),
        "target_hash": sha(target),
        "acc": 1.0,
        "acc_norm": float(number % 2),
    } | changed


def sums(count: int = 4, filters: Sequence[str] = ("strict", "loose")) -> list[Line]:
    """Two filter blocks over the same documents."""
    return [sums_line(number, name) for name in filters for number in range(count)]


def choices(count: int = 4) -> list[Line]:
    """One block of multiple choice."""
    return [choice_line(number) for number in range(count)]


def dump(lines: Iterable[Any]) -> bytes:
    """Write lines as lm-eval does."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    return text.encode()


@dataclass
class Log:
    """One run's files before they are written.

    Attributes:
        samples: task → lines, or a whole file's bytes.
        results: entries that replace those of the results file; None leaves the file out.
    """

    samples: dict[str, list[Line] | bytes] = field(default_factory=dict)
    results: dict[str, Any] | None = field(default_factory=dict)
    model: str = MODEL
    date: str = DATE
    compress: tuple[str, Callable[[bytes], bytes]] = ("", bytes)

    def write(self, out: Path) -> Path:
        """Write the files into the model's folder under `out`; return the folder."""
        folder = out / self.model.replace("/", "__")
        folder.mkdir(parents=True, exist_ok=True)
        ending, compressed = self.compress
        for task, lines in self.samples.items():
            raw = lines if isinstance(lines, bytes) else dump(lines)
            path = folder / f"samples_{task}_{self.date}.jsonl{ending}"
            path.write_bytes(compressed(raw))
        if self.results is not None:
            content = results_of(self.samples, self.model) | self.results
            path = folder / f"results_{self.date}.json"
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
        return folder


def results_of(samples: dict[str, list[Line] | bytes], model: str = MODEL) -> dict[str, Any]:
    """Return the content of a results file with means as aggregates."""
    tasks = {task: lines for task, lines in samples.items() if not isinstance(lines, bytes)}
    return {
        "results": {task: _aggregates(task, lines) for task, lines in tasks.items()},
        "group_subtasks": {},
        "configs": {task: _config(task, model) for task in tasks},
        "versions": dict.fromkeys(tasks, 1.0),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {
            task: dict.fromkeys(lines[0]["metrics"], True) for task, lines in tasks.items()
        },
        "n-samples": {
            task: {"original": 1000, "effective": _documents(lines)}
            for task, lines in tasks.items()
        },
        "config": {"model": "hf", "model_args": {"pretrained": model}, "bootstrap_iters": 1000},
        "lm_eval_version": "0.4.13",
        "model_name": model,
    }


def _documents(lines: list[Line]) -> int:
    return sum(1 for line in lines if line["filter"] == lines[0]["filter"])


def _aggregates(task: str, lines: list[Line]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": task, "alias": task, "sample_len": _documents(lines)}
    for filter_ in dict.fromkeys(line["filter"] for line in lines):
        for metric in lines[0]["metrics"]:
            mine = [line for line in lines if line["filter"] == filter_ and metric in line]
            values = [line[metric] for line in mine if isinstance(line[metric], float)]
            if values:
                found[f"{metric},{filter_}"] = sum(values) / len(values)
                found[f"{metric}_stderr,{filter_}"] = 0.125
    return found


def _config(task: str, model: str) -> dict[str, Any]:
    return {
        "task": task,
        "output_type": "generate_until" if task.startswith("sums") else "multiple_choice",
        "process_docs": "<function process at 0x7f0000000123>",
        "metadata": {"version": 1.0, "pretrained": model},
    }
