"""A model that answers by a script: what `tests.run_lm_eval` hands to lm-eval in place of one.

Whether it is right depends on its skill and on a hash of model, document and variant, so the same
model gives the same answers for ever, and a later variant of it (the next training step, say)
changes some of them.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from lm_eval.api.model import LM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Doc = dict[str, Any]
SHARE_CHANGED = 0.25  # of the documents, from one variant to the next


class Request(Protocol):
    """What we read of an lm-eval `Instance`."""

    args: tuple[Any, ...]
    doc: Doc
    doc_id: int
    idx: int
    task_name: str


class ScriptedModel(LM):  # type: ignore[misc]  # lm_eval ships no types
    """An lm-eval model without weights."""

    def __init__(self, pretrained: str, skill: float = 0.6, variant: int = 0, **_: object) -> None:
        """Take the arguments that `--model_args` would hold, and those lm-eval adds."""
        super().__init__()
        self._name = pretrained
        self._skill = skill
        self._variant = variant

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """Give the right continuation a high log-likelihood where the model is right."""
        return [self._weigh(request) for request in requests]

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """Give a text a log-likelihood by its length."""
        return [
            -len(request.args[0]) * self._dice(request).uniform(0.5, 1.5) for request in requests
        ]

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """Answer each request as its task's script says, sampled ones differently each time."""
        asked: Counter[int] = Counter()
        answers = []
        for request in requests:
            nth = asked[id(request)]
            asked[id(request)] += 1
            is_right = self._is_right(request, nth)
            answers.append(
                ANSWERS[request.task_name](request.doc, is_right, self._dice(request, nth))
            )
        return answers

    def _weigh(self, request: Request) -> tuple[float, bool]:
        length = len(request.args[1])
        is_gold = _gold_request(request.doc, request.args) == request.idx
        dice = self._dice(request, request.idx)
        if is_gold and self._is_right(request):
            return -dice.uniform(0.1, 0.9), True
        return -dice.uniform(1.0, 2.5) * (1 + length / 8), False

    def _dice(self, request: Request, nth: int = 0) -> random.Random:
        doc = f"{request.doc_id} {json.dumps(request.doc)}"
        for variant in range(self._variant, 0, -1):
            # the newest variant that changed this document has the say
            if _seeded(f"{self._name} {variant} {doc}").random() < SHARE_CHANGED:
                return _seeded(f"{self._name} {variant} {doc} {nth}")
        return _seeded(f"{self._name} 0 {doc} {nth}")

    def _is_right(self, request: Request, nth: int = 0) -> bool:
        return self._dice(request, 1000 + nth).random() < self._skill


def _seeded(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - answers, no secrets


def _gold_request(doc: Doc, args: tuple[Any, ...]) -> int:
    if "sentence" in doc:  # several contexts, one continuation
        return int(doc["gold"])
    if "gold" in doc:
        n_choices = len(doc.get("choices", ("umbrella", "sunglasses", "gloves")))
        return int(doc["gold"]) + (0 if args[0] else n_choices)
    return int(doc.get("label", 0))


def _sum(doc: Doc, is_right: bool, dice: random.Random) -> str:
    number = doc["answer"].split("#### ")[-1]
    if not is_right:
        number = str(dice.randint(2, 99))
    endings = (
        f"Step by step it is {number}.\n#### {number}",
        f"#### {number}",
        f"Let me think. The answer is {number}.",
        f"I count 3 parts, so {number} in all...",
    )
    return dice.choices(endings, weights=(8, 3, 2, 3) if is_right else (2, 1, 4, 1))[0]


def _vote(doc: Doc, is_right: bool, dice: random.Random) -> str:
    number = doc["answer"] if is_right else str(dice.randint(2, 9))
    return dice.choice((f"The answer is {number}.", f"Hm. The answer is {number}", f"{number}?"))


def _translation(doc: Doc, is_right: bool, dice: random.Random) -> str:
    words = doc["reference"].split()
    if not is_right:
        dice.shuffle(words)
        words = words[: max(2, len(words) - 1)]
    return " " + " ".join(words)


def _conversion(doc: Doc, is_right: bool, dice: random.Random) -> str:
    number = doc["answer"] if is_right else doc["answer"] * dice.choice((0.9, 1.05, 10))
    return dice.choice((f" {number:,} {doc['to']}", f" It is {number} {doc['to']}.", " many"))


def _obedience(_: Doc, is_right: bool, dice: random.Random) -> str:
    return dice.choice(("GOOD DAY", "A PLUM") if is_right else ("Hello there, dear guests", "PEAR"))


def _spelling(doc: Doc, is_right: bool, dice: random.Random) -> str:
    return f" {dice.choice(doc['spellings'])} " if is_right else " graye"


ANSWERS: dict[str, Callable[[Doc, bool, random.Random], str]] = {
    "small_sums": _sum,
    "shop_sums": _sum,
    "small_votes": _vote,
    "small_phrases": _translation,
    "small_units": _conversion,
    "small_orders": _obedience,
    "small_spellings": _spelling,
}
