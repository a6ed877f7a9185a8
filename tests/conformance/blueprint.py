"""What a task's documents hold, as a guess that can be changed field by field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.conformance import values as v
from tests.conformance.values import Shape, among, containing, dice_of, record, several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.uses import Path, Uses

# The first that fits counts.
BY_NAME: tuple[tuple[str, tuple[Shape, ...]], ...] = (
    (r"(choices|options|endings|candidates|alternatives|answers|list|turns)$", v.LISTS_OF),
    (r"choice|option|ending|sol(ution)?_?\d|answer_.*behavior|^[a-e]$", (v.PHRASE, *v.LISTS_OF)),
    (r"label|gold|idx|index|answerkey|correct|target|answer.?key", v.INDEXES),
    (r"answer|solution", (v.BIT, v.LETTER, v.NUMBER_TEXT, v.SOLUTION, v.BOXED, v.PHRASE)),
    (r"level|year|num|count|id$", (v.NUMBER, v.NUMBER_TEXT)),
)


class Blueprint:
    """Fields, each with the shapes that it may have; one of them is the current one."""

    def __init__(self, task: str, functions: Uses, templates: Uses, extra: Sequence[Shape]) -> None:
        """Guess the fields and shapes.

        Args:
            task: the name of the task, the seed of the documents.
            functions: what its functions do with the fields.
            templates: what its templates do with them.
            extra: shapes that any field may have in this task.
        """
        self._task = task
        self._extra = tuple(extra)
        self._uses = (functions, templates)
        self._shapes: dict[str, list[Shape]] = {}
        self._current: dict[str, int] = {}
        self._likely: dict[str, int] = {}
        for path in (*functions, *templates):
            self.add(str(path[0]))

    @property
    def fields(self) -> list[str]:
        """The fields, those that were found first in front."""
        return list(self._shapes)

    def add(self, field: str) -> bool:
        """Add a field; tell whether it is new."""
        if field in self._shapes:
            return False
        shapes: list[Shape] = []
        for uses in self._uses:
            shapes += self._shapes_of((field,), uses)
        shapes += [*shapes_by_name(field), *self._extra]
        self._likely[field] = len({one.name for one in shapes})
        shapes += v.EVERY_SHAPE
        self._shapes[field] = list({one.name: one for one in shapes}.values())
        self._current[field] = 0
        return True

    def alternatives(self, field: str, *, likely: bool) -> list[int]:
        """Return the numbers of a field's other shapes: the likely ones or the rest."""
        first, last = (
            (0, self._likely[field]) if likely else (self._likely[field], len(self._shapes[field]))
        )
        return [number for number in range(first, last) if number != self._current[field]]

    def current(self) -> dict[str, int]:
        """Return the choice of shapes."""
        return dict(self._current)

    def choose(self, choice: dict[str, int]) -> None:
        """Take a choice that `current` gave, changed or not."""
        self._current = dict(choice)

    def describe(self) -> dict[str, str]:
        """Return the current shapes in words."""
        return {name: self._shapes[name][at].name for name, at in self._current.items()}

    def documents(self, count: int) -> list[dict[str, Any]]:
        """Make documents with the current shapes."""
        return [self._document(number) for number in range(count)]

    def _document(self, number: int) -> dict[str, Any]:
        doc = {
            name: self._shapes[name][at].make(dice_of(self._task, name, number), number)
            for name, at in self._current.items()
        }
        return {name: self._filled(value, doc, number) for name, value in doc.items()}

    def _filled(self, value: Any, doc: dict[str, Any], number: int) -> Any:
        """Put items of other fields' lists in the place of what stands for them."""
        if isinstance(value, _Member):
            items = doc.get(value.field)
            if isinstance(items, list) and items:
                return dice_of(self._task, value.field, number).choice(items)
            return "A"
        if isinstance(value, list):
            return [self._filled(one, doc, number) for one in value]
        if isinstance(value, dict):
            return {name: self._filled(one, doc, number) for name, one in value.items()}
        return value

    def _shapes_of(self, path: Path, uses: Uses) -> list[Shape]:
        """Return the shapes that fit what is done with a field or a part of one."""
        below = sorted(
            {one[len(path)] for one in uses if len(one) > len(path) and one[: len(path)] == path},
            key=str,
        )
        keys = [key for key in below if isinstance(key, str)]
        own = [use for use in uses.get(path, []) if use]
        found: list[Shape] = []
        if keys:
            found.append(record({key: self._first((*path, key), uses) for key in keys}))
        if 0 in below:
            item = self._shapes_of((*path, 0), uses)
            found += [several(item[0])] if item else []
        for use in dict.fromkeys(own):
            found += _shapes_for(use)
        if not found and path in uses:
            found += shapes_by_name(str(path[-1]))[:1]
        return found

    def _first(self, path: Path, uses: Uses) -> Shape:
        return (self._shapes_of(path, uses) or shapes_by_name(str(path[-1])))[0]


class _Member:
    """Stands for an item of another field's list until that is made."""

    def __init__(self, field: str) -> None:
        self.field = field


FOR_USE: dict[str, tuple[Shape, ...]] = {
    "list": v.LISTS_OF,
    "index": (v.BIT, v.LETTER, v.SMALL_TEXT, v.PHRASE),
    "ordinal": (among((1, 2)), among(("1", "2"))),
    "number": (v.BIT_TEXT, v.NUMBER_TEXT, v.SMALL_TEXT, v.BIT),
    "json": (v.JSON_LIST, v.JSON_RECORD, v.NUMBER_TEXT),
    "literal": (v.LIST_TEXT, v.NUMBER_TEXT),
    "record": v.RECORDS,
    "doc_to_target": (v.BIT, v.PHRASE),
    "doc_to_text": (v.PHRASE, v.SENTENCE, v.LETTERS),
    "text": (v.PHRASE, v.SENTENCE, v.LETTERS),
}


def _shapes_for(use: Any) -> tuple[Shape, ...]:
    match use:
        case ("among", options):
            return (among(options),) if options else ()
        case ("member", path):
            return (Shape(f"an item of {path[0]}", lambda *_: _Member(str(path[0]))),)
        case ("contains", text):
            return (containing(text),)
        case ("item", int() as number):
            return (v.TEN_PHRASES,) if number > 3 else (v.PHRASES,)
    return FOR_USE[use]


def shapes_by_name(field: str) -> tuple[Shape, ...]:
    """Return the shapes that a field's name suggests."""
    for pattern, shapes in BY_NAME:
        if re.search(pattern, field.lower()):
            return shapes
    return (v.SENTENCE,)
