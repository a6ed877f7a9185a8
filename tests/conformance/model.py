"""A model that answers anything: with what stands in the document, or nearly so.

Its answers depend on the request alone, so a task is answered the same way each time.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM
from lm_eval.utils import handle_non_serializable

from tests.conformance.values import dice_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

FRAMES = (
    "{}", " {}", "{}.", "The answer is {}.", "#### {}", "\\boxed{{{}}}", "({})", "{}\nQ:", "**{}**",
    "So the best answer is {}\n\nIs it?", "<answer>{}</answer>", "```\n{}\n```", "Answer: {}",
)  # fmt: skip
ANYTHING = ("A", "B", "yes", "no", "1", "12", "[1, 2]", "", "True")


class MadeUpModel(LM):  # type: ignore[misc]  # lm_eval ships no types
    """An lm-eval model without weights that takes any task."""

    MULTIMODAL = True

    def __init__(self, **_: object) -> None:
        """Take the arguments that lm-eval adds."""
        super().__init__()

    def answer(self, instances: Sequence[Any]) -> None:
        """Answer as lm-eval's `evaluate` lets a model answer."""
        kinds: dict[str, list[Any]] = {}
        for one in instances:
            kinds.setdefault(one.request_type, []).extend([one] * one.repeats)
        for kind, asked in kinds.items():
            for one, response in zip(asked, getattr(self, kind)(asked), strict=True):
                one.resps.append(response)

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Weigh each continuation by dice."""
        dice = [_dice(request) for request in requests]
        return [(-one.uniform(0.1, 20), one.random() < 0.5) for one in dice]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Weigh a text by its length and dice."""
        return [-len(request.args[0]) * _dice(request).uniform(0.5, 1.5) for request in requests]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Say something that stands in the document, in one of several ways."""
        asked: Counter[int] = Counter()
        answers = []
        for request in requests:
            nth = asked[id(request)]
            asked[id(request)] += 1
            dice = _dice(request, nth)
            said = [*_texts(request.doc)] or list(ANYTHING)
            answers.append(_said(dice, said))
        return answers

    def apply_chat_template(self, chat_history: list[dict[str, str]], **_: object) -> str:
        """Write a conversation down."""
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in chat_history)


def _said(dice: random.Random, texts: list[str]) -> str:
    text = dice.choice(texts) if dice.random() < 0.8 else dice.choice(ANYTHING)
    return dice.choice(FRAMES).format(text)


def _dice(request: Any, nth: int = 0) -> random.Random:
    doc = json.dumps(request.doc, default=handle_non_serializable, sort_keys=True)
    return dice_of(request.doc_id, request.idx, nth, doc)


def _texts(value: Any) -> Iterator[str]:
    """Return the texts and numbers in a document."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str | int | float):
        yield str(value)
