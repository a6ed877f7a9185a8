"""What a field of a made document may hold: named ways to make a value.

A task's dataset is not at hand, but most of what a field may be is one of these.  A value depends
on the field's name and the document's number only, so the same documents are made each time.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WORDS = (
    *("river", "lantern", "seven", "quiet", "garden", "paper", "under", "orange", "window"),
    *("mountain", "slowly", "eleven", "bread", "winter", "harbour", "music", "yellow", "stone"),
)


@dataclass(frozen=True)
class Shape:
    """One way to make a value; two of the same name are the same.

    Attributes:
        name: what it makes, in words.
        make: dice and the document's number → the value.
    """

    name: str
    make: Callable[[random.Random, int], Any]


def dice_of(*seed: object) -> random.Random:
    """Return dice that fall the same way for the same seed."""
    return random.Random(" ".join(map(str, seed)))  # noqa: S311 - documents, no secrets


def _words(dice: random.Random, count: int) -> str:
    return " ".join(dice.choices(WORDS, k=count))


def _phrases(dice: random.Random, count: int) -> list[str]:
    return [f"{word} {dice.choice(WORDS)}" for word in dice.sample(WORDS, count)]


def _by_letter(dice: random.Random, _: int) -> dict[str, str]:
    return dict(zip("ABCDE", _phrases(dice, 5), strict=True))


def _list_of(make: Callable[[random.Random, int], Any], count: int = 4) -> Any:
    return lambda dice, number: [make(dice, number + step) for step in range(count)]


SENTENCE = Shape("a sentence", lambda dice, _: f"The {_words(dice, 6)}. Is it {_words(dice, 2)}?")
PHRASE = Shape("a few words", lambda dice, _: _words(dice, 2))
BIT = Shape("0 or 1", lambda dice, number: dice.choice((0, 1)) if number > 1 else number)
SMALL = Shape("1 to 4", lambda dice, _: dice.randint(1, 4))
NUMBER = Shape("a number", lambda dice, _: dice.randint(5, 60))
FRACTION = Shape("a fraction", lambda dice, _: round(dice.uniform(0.1, 0.9), 3))
TRUTH = Shape("true or false", lambda dice, _: dice.random() < 0.5)
LETTER = Shape("A or B", lambda dice, number: dice.choice("AB") if number > 1 else "AB"[number])
LETTERS = Shape("A to D", lambda dice, _: dice.choice("ABCD"))
SMALL_LETTER = Shape("a or b", lambda dice, _: dice.choice("ab"))
BIT_TEXT = Shape('"0" or "1"', lambda dice, _: dice.choice("01"))
SMALL_TEXT = Shape('"1" to "4"', lambda dice, _: dice.choice("1234"))
NUMBER_TEXT = Shape("a number's text", lambda dice, _: str(dice.randint(5, 60)))
SOLUTION = Shape(
    "a worked solution", lambda dice, _: f"There are {_words(dice, 3)}.\n#### {dice.randint(5, 60)}"
)
BOXED = Shape("a boxed solution", lambda dice, _: f"So it is $\\boxed{{{dice.randint(5, 60)}}}$.")
PHRASES = Shape("a list of texts", lambda dice, _: _phrases(dice, 4))
TWO_PHRASES = Shape("two texts", lambda dice, _: _phrases(dice, 2))
FIVE_PHRASES = Shape("five texts", lambda dice, _: _phrases(dice, 5))
TEN_PHRASES = Shape("ten texts", lambda dice, _: _phrases(dice, 10))
ONE_PHRASE = Shape("a list of one text", lambda dice, _: _phrases(dice, 1))
BITS = Shape("a list of 0 and 1", lambda dice, _: dice.sample([1, 0, 0, 0], 4))
NUMBERS = Shape("a list of numbers", _list_of(lambda dice, _: dice.randint(0, 3)))
NUMBER_TEXTS = Shape("a list of numbers' texts", _list_of(lambda dice, _: str(dice.randint(0, 9))))
LISTS = Shape("a list of lists", lambda dice, _: [_phrases(dice, 2), _phrases(dice, 2)])
BY_LETTER = Shape("texts by letter", _by_letter)
TEXTS_AND_LABELS = Shape(
    "texts and their labels",
    lambda dice, _: {"text": _phrases(dice, 4), "label": ["A", "B", "C", "D"]},
)
CHOICES_AND_LABELS = Shape(
    "choices and their labels",
    lambda dice, _: {"choices": _phrases(dice, 4), "labels": [1, 0, 0, 0]},
)
ANSWERS = Shape(
    "answers and where they start", lambda dice, _: {"text": _phrases(dice, 2), "answer_start": [3]}
)
LABELLED = Shape(
    "a list of records",
    lambda dice, _: [
        {"text": text, "label": letter, "id": letter, "value": text, "content": text}
        for letter, text in zip("ABCD", _phrases(dice, 4), strict=True)
    ],
)
TURNS = Shape(
    "turns of a conversation",
    lambda dice, _: [
        {"role": "user", "content": _words(dice, 5)},
        {"role": "assistant", "content": _words(dice, 4)},
    ],
)
PAIR = Shape("a record", lambda dice, _: {"text": _words(dice, 3), "value": _words(dice, 2)})
LIST_TEXT = Shape("a list as Python text", lambda dice, _: repr(_phrases(dice, 4)))
JSON_LIST = Shape("a list as JSON", lambda dice, _: json.dumps(_phrases(dice, 4)))
JSON_RECORD = Shape("a record as JSON", lambda dice, number: json.dumps(_by_letter(dice, number)))
LINES = Shape(
    "lettered lines",
    lambda dice, _: "\n".join(f"({c}) {p}" for c, p in zip("ABCD", _phrases(dice, 4), strict=True)),
)
BRACKETED = Shape("a bracketed letter", lambda dice, _: f"({dice.choice('AB')})")
BLANK = Shape(
    "a sentence with a blank", lambda dice, _: f"The {_words(dice, 3)} _ the {_words(dice, 2)}."
)
YES_NO = Shape("yes or no", lambda dice, _: dice.choice(("yes", "no")))
NOTHING = Shape("nothing", lambda *_: None)

TEXTS = (SENTENCE, PHRASE, NUMBER_TEXT, SOLUTION, BOXED, LETTERS, BLANK, LINES, YES_NO)
INDEXES = (BIT, BIT_TEXT, LETTER, SMALL, SMALL_TEXT, BRACKETED, SMALL_LETTER)
LISTS_OF = (
    *(PHRASES, FIVE_PHRASES, TWO_PHRASES, TEN_PHRASES, BITS, NUMBERS, NUMBER_TEXTS),
    *(LISTS, LABELLED, TURNS, ONE_PHRASE),
)
RECORDS = (TEXTS_AND_LABELS, BY_LETTER, ANSWERS, CHOICES_AND_LABELS, PAIR)
ENCODED = (LIST_TEXT, JSON_LIST, JSON_RECORD)
PLAIN = (NUMBER, FRACTION, TRUTH, NOTHING)
COMMON = (SENTENCE, PHRASES, BIT, LETTER, NUMBER_TEXT, TEXTS_AND_LABELS, BY_LETTER, LABELLED)
EVERY_SHAPE = (*COMMON, *TEXTS, *INDEXES, *LISTS_OF, *RECORDS, *ENCODED, *PLAIN)


def among(values: Sequence[Any]) -> Shape:
    """Make one of some values."""
    return Shape(
        f"one of {values!r}",
        lambda dice, number: (
            values[number] if number < min(2, len(values)) else dice.choice(values)
        ),
    )


def containing(text: str) -> Shape:
    """Make words with a text between them."""
    return Shape(
        f"words around {text!r}", lambda dice, _: f"The {_words(dice, 3)} {text} {_words(dice, 2)}."
    )


def record(fields: Mapping[str, Shape]) -> Shape:
    """Make a mapping."""
    named = ", ".join(f"{name}: {shape.name}" for name, shape in fields.items())
    return Shape(
        f"a record of {named}",
        lambda dice, number: {name: shape.make(dice, number) for name, shape in fields.items()},
    )


def several(item: Shape, count: int = 4) -> Shape:
    """Make a list."""
    return Shape(
        f"{count} times {item.name}",
        lambda dice, number: [item.make(dice, number + step) for step in range(count)],
    )
