"""Write made-up logs in lm-eval 0.4.13's layout: `python benchmarks/made_up_logs.py DIR`.

A model has eight multiple-choice tasks with five examples in each context, and two of generation
with two filters, some 90 MB together.  Hashes are those of the content; scores are made up.  The
same options give the same bytes, and all models answer the same documents.
"""

from __future__ import annotations

import argparse
import json
from hashlib import sha256
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

CHOICE_TASKS, CHOICE_DOCS = 8, 1200
OPEN_TASKS, OPEN_DOCS = 2, 1320
SHOTS = 5
SKILL = 0.6  # the share of right answers
FILTERS = ("strict-match", "flexible-extract")
SYLLABLES = tuple(a + b for a, b in product(("k", "l", "m", "s", "t", "v"), ("a", "e", "ir", "os")))
VOCABULARY = tuple(a + b for a, b in product(SYLLABLES, SYLLABLES))


def words(random: Random, least: int, most: int) -> str:
    """Return a made-up sentence without its full stop."""
    return " ".join(random.choices(VOCABULARY, k=random.randint(least, most))).capitalize()


def choice_doc(random: Random, number: int) -> dict[str, Any]:
    """Return a question with four choices."""
    return {
        "id": f"made-up-{number}",
        "question": f"{words(random, 15, 45)}?",
        "choices": {"text": [words(random, 4, 12) for _ in "ABCD"], "label": list("ABCD")},
        "answerKey": random.choice("ABCD"),
    }


def open_doc(random: Random, _number: int) -> dict[str, Any]:
    """Return a question whose answer is reasoning and a number."""
    steps = ". ".join(words(random, 8, 16) for _ in range(3))
    return {
        "question": f"{words(random, 30, 60)}?",
        "answer": f"{steps}.\n#### {random.randint(2, 999)}",
    }


def right_answer(doc: dict[str, Any]) -> str:
    """Return what examples show as a document's answer."""
    if "answer" in doc:
        return str(doc["answer"])
    return str(doc["choices"]["text"]["ABCD".index(doc["answerKey"])])


class Task:
    """A task's documents, and what of their lines is the same for every model."""

    def __init__(self, name: str, *, is_open: bool, count: int) -> None:
        """Make up the documents."""
        self.name = name
        self.is_open = is_open
        random = Random(name)  # noqa: S311 - the same logs each time
        make = open_doc if is_open else choice_doc
        self.docs = [make(random, number) for number in range(count)]
        self.heads = [self._head(random, number) for number in range(count)]

    def _head(self, random: Random, number: int) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a line's fields before the responses, and its hashes."""
        doc = self.docs[number]
        shown = [*random.sample(self.docs, SHOTS), doc]
        asked = [f"Question: {one['question']}\nAnswer:" for one in shown]
        examples = [f"{ask} {right_answer(one)}" for ask, one in zip(asked, shown, strict=True)]
        context = "\n\n".join([*examples[:-1], asked[-1]])
        target = doc["answer"] if self.is_open else str("ABCD".index(doc["answerKey"]))
        until = {"until": ["Question:", "</s>"], "do_sample": False, "temperature": 0.0}
        rests = [until] if self.is_open else [f" {text}" for text in doc["choices"]["text"]]
        arguments = {
            f"gen_args_{at}": {"arg_0": context, "arg_1": rest} for at, rest in enumerate(rests)
        }
        hashed = {
            "doc": json.dumps(doc, indent=2, ensure_ascii=False),
            "prompt": context,
            "target": target,
        }
        head = {"doc_id": number, "doc": doc, "target": target, "arguments": arguments}
        return head, {f"{k}_hash": sha256(v.encode()).hexdigest() for k, v in hashed.items()}

    def lines(self, random: Random) -> list[dict[str, Any]]:
        """Return one model's lines."""
        if not self.is_open:
            return [self._choice_line(random, number) for number in range(len(self.docs))]
        said = [self._said(random, doc) for doc in self.docs]
        return [
            self._line(number, [[said[number]]], [self._extracted(said[number], name)], name)
            | {"exact_match": float(said[number].endswith(self.docs[number]["answer"][-5:]))}
            for name in FILTERS
            for number in range(len(self.docs))
        ]

    def _choice_line(self, random: Random, number: int) -> dict[str, Any]:
        pairs = [[str(-random.randint(1, 2**23) / 2**17), "False"] for _ in "ABCD"]
        scores = {"acc": float(random.random() < SKILL), "acc_norm": float(random.random() < SKILL)}
        return self._line(number, [[one] for one in pairs], pairs, "none", tuple(scores)) | scores

    def _line(
        self,
        number: int,
        responses: list[Any],
        filtered: list[Any],
        filter_name: str,
        metrics: tuple[str, ...] = ("exact_match",),
    ) -> dict[str, Any]:
        head, hashes = self.heads[number]
        answered = {"resps": responses, "filtered_resps": filtered, "filter": filter_name}
        return head | answered | {"metrics": list(metrics)} | hashes

    @staticmethod
    def _said(random: Random, doc: dict[str, Any]) -> str:
        number = doc["answer"].rpartition(" ")[2] if random.random() < SKILL else "1000"
        return f" {words(random, 30, 90)}.\n#### {number}"

    @staticmethod
    def _extracted(said: str, filter_name: str) -> str:
        number = said.rpartition(" ")[2]
        return number if filter_name == FILTERS[0] else f"${number}"


def write_model(folder: Path, model: str, tasks: list[Task]) -> None:
    """Write the logs of one model."""
    place = folder / model.replace("/", "__")
    place.mkdir(parents=True)
    date = "2026-01-01T06-00-00.000001"
    for task in tasks:
        lines = task.lines(Random(f"{model} {task.name}"))  # noqa: S311 - the same logs each time
        path = place / f"samples_{task.name}_{date}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    results = {
        "results": {one.name: {"alias": one.name, "sample_len": len(one.docs)} for one in tasks},
        "configs": {
            one.name: {
                "task": one.name,
                "output_type": "generate_until" if one.is_open else "multiple_choice",
                "num_fewshot": SHOTS,
            }
            for one in tasks
        },
        "versions": {one.name: 1.0 for one in tasks},
        "n-samples": {
            one.name: {"original": len(one.docs), "effective": len(one.docs)} for one in tasks
        },
        "config": {"model": "hf", "model_args": f"pretrained={model}"},
        "lm_eval_version": "0.4.13",
        "model_name": model,
        "model_name_sanitized": place.name,
    }
    (place / f"results_{date}.json").write_text(json.dumps(results, indent=2), encoding="utf-8")


def main() -> None:
    """Write the logs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; must not have these models yet")
    parser.add_argument("--models", type=int, default=10, help="how many models")
    parser.add_argument("--choice-tasks", type=int, default=CHOICE_TASKS)
    parser.add_argument("--choice-docs", type=int, default=CHOICE_DOCS, help="a task")
    parser.add_argument("--open-tasks", type=int, default=OPEN_TASKS, help="of generation")
    parser.add_argument("--open-docs", type=int, default=OPEN_DOCS, help="a task")
    options = parser.parse_args()
    tasks = [
        Task(f"choice_{number:03d}", is_open=False, count=options.choice_docs)
        for number in range(options.choice_tasks)
    ]
    tasks += [
        Task(f"open_{number:03d}", is_open=True, count=options.open_docs)
        for number in range(options.open_tasks)
    ]
    for number in range(options.models):
        write_model(options.folder, f"made-up/model-{number:03d}", tasks)


if __name__ == "__main__":
    main()
