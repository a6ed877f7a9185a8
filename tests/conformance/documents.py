"""Documents for a task without its dataset: guessed, tried with lm-eval, and mended.

A guess goes through lm-eval's own code stage by stage; the error that it ends with says which
field is missing or has the wrong shape.  The first guess that passes every stage is taken.
"""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.conformance import hints
from tests.conformance.blueprint import Blueprint
from tests.conformance.in_functions import functions_of, literals_in
from tests.conformance.outcome import SCORING
from tests.conformance.trial import STAGES, Trial, TrialError
from tests.conformance.values import SENTENCE, among, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conformance.uses import Uses
    from tests.conformance.values import Shape

COUNT = 5  # documents a task
TRIES = 300  # guesses a task
MISSING = (
    re.compile(r"'([^']+)' is undefined"),
    re.compile(r"has no attribute '([^']+)'"),
    re.compile(r"Column ([\w ]+) not in the dataset"),
    re.compile(r"Column to remove \['([^']+)'"),
)


class NoDocumentsError(Exception):
    """No guess passed; says how the last one ended."""


class MissingError(NoDocumentsError):
    """No documents would do: the task wants a package, a file or the network."""


@dataclass(frozen=True)
class Made:
    """Documents that lm-eval can evaluate a task on.

    Attributes:
        docs: the dataset's rows, as they are before `process_docs`.
        tries: how many guesses it took.
    """

    docs: list[dict[str, Any]]
    tries: int


def make_documents(trial: Trial, seconds_left: Callable[[], float]) -> Made:
    """Make documents for a task.

    Args:
        trial: tries documents with lm-eval.
        seconds_left: of the time that the task may take.

    Raises:
        NoDocumentsError: none of the guesses passes.
    """
    functions, templates = hints.of_config(trial.config)
    literals = literals_in(functions_of(trial.config))
    extra = [*_by_language(trial.config), *(among(one) for one in literals)]
    blueprint = Blueprint(trial.name, functions, templates, extra)
    search = _Search(trial, blueprint, (functions, templates), seconds_left)
    return search.run()


def _by_language(config: dict[str, Any]) -> list[Shape]:
    """Return the shape of a pair of sentences by language, where the dataset's name has two."""
    parts = re.split(r"[-_]", str(config.get("dataset_name") or ""))
    languages = [part for part in parts if 2 <= len(part) <= 4]
    return [record(dict.fromkeys(languages, SENTENCE))] if len(languages) == 2 else []


class _Search:
    def __init__(
        self,
        trial: Trial,
        blueprint: Blueprint,
        uses: tuple[Uses, Uses],
        seconds_left: Callable[[], float],
    ) -> None:
        self._trial = trial
        self._blueprint = blueprint
        self._uses = uses
        self._seconds_left = seconds_left
        self._tries = 0
        self._seen: set[str] = set()
        self._furthest: TrialError | None = None

    def run(self) -> Made:
        """Try and mend until a guess passes."""
        error = self._try()
        while error is not None:
            self._seen.add(_signature(error))
            if self._add_missing(error):
                error = self._try()
                continue
            choice = self._blueprint.current()
            better = self._change_one(error)
            if better is error:
                self._blueprint.choose(choice)
                raise self._failure()
            error = better
        return Made(self._blueprint.documents(COUNT), self._tries)

    def _try(self) -> TrialError | None:
        self._tries += 1
        if self._tries > TRIES or self._seconds_left() < 0:
            raise self._failure()
        try:
            self._trial.run(self._blueprint.documents(COUNT))
        except TrialError as error:
            if wants_what_is_missing(error.cause):
                where = SCORING if error.stage > STAGES.index("build") else ""
                raise MissingError(where + error.reason) from error
            if self._furthest is None or error.stage > self._furthest.stage:
                self._furthest = error
            return error
        return None

    def _failure(self) -> NoDocumentsError:
        furthest = self._furthest
        why = f"{STAGES[furthest.stage]}: {furthest.reason}" if furthest else "no time was left"
        return NoDocumentsError(why)

    def _add_missing(self, error: TrialError) -> bool:
        """Add the field that an error names."""
        cause = error.cause
        if isinstance(cause, KeyError) and cause.args and isinstance(cause.args[0], str):
            field = cause.args[0]
            return len(field) < 40 and not self._is_a_value(field) and self._blueprint.add(field)
        for pattern in MISSING:
            found = pattern.search(str(cause))
            if found and "object" not in str(cause)[: found.start()]:
                return self._blueprint.add(found[1])
        return False

    def _is_a_value(self, text: str) -> bool:
        """Tell whether a missing key is a field's value: something was looked up by it."""
        return any(text in _leaves(doc) for doc in self._blueprint.documents(COUNT))

    def _change_one(self, error: TrialError) -> TrialError | None:
        """Give one field another shape: the first that passes, gets further or fails anew."""
        start = self._blueprint.current()
        new: tuple[dict[str, int], TrialError] | None = None
        changed = ""
        for field, number in self._changes(error):
            if new is not None and field != changed:
                break
            self._blueprint.choose(start | {field: number})
            found = self._try()
            if found is None or found.stage > error.stage:
                return found
            if (
                new is None
                and _signature(found) not in self._seen
                and _place(found) != _place(error)
            ):
                new, changed = (self._blueprint.current(), found), field
        if new is None:
            return error
        self._blueprint.choose(new[0])
        return new[1]

    def _changes(self, error: TrialError) -> Iterator[tuple[str, int]]:
        """Return fields and numbers of shapes, in the order of their likelihood."""
        named, others = self._suspects(error)
        for fields, likely in ((named, True), (named, False), (others, True), (others, False)):
            for field in fields:
                for number in self._blueprint.alternatives(field, likely=likely):
                    yield field, number

    def _suspects(self, error: TrialError) -> tuple[list[str], list[str]]:
        """Return the fields that the failing lines speak of, and the others."""
        text = " ".join(
            f"{frame.line} {frame.name}"
            for frame in traceback.extract_tb(error.cause.__traceback__)
        )
        for key in ("doc_to_text", "doc_to_target", "doc_to_choice"):
            if key in text or STAGES[error.stage] == "target":
                text += f" {self._trial.config.get(key)}"
        fields = self._blueprint.fields
        named = [field for field in fields if re.search(rf"\b{re.escape(field)}\b", text)]
        values = [
            field
            for field in fields
            if isinstance(error.cause, (KeyError, ValueError))
            and field not in named
            and any(
                str(doc[field]) in str(error.cause)
                for doc in self._blueprint.documents(2)
                if doc[field] not in (0, 1, None, "")
            )
        ]
        first = [*values, *named]
        return first, [field for field in fields if field not in first]


def wants_what_is_missing(cause: BaseException) -> bool:
    """Tell errors that have nothing to do with the documents."""
    missing = isinstance(cause, (ImportError, OSError, NameError))
    words = ("pip install", "Please install", "Hugging Face Hub")
    return missing or any(one in str(cause) for one in words)


def _place(error: TrialError) -> tuple[Any, ...]:
    """Return where an error was raised, and from where in the task's own code."""
    frames = traceback.extract_tb(error.cause.__traceback__)
    ours = [(one.lineno, one.colno) for one in frames if "lm_eval/tasks" in one.filename]
    last = [(one.filename, one.lineno) for one in frames[-1:]]
    return (type(error.cause), *last, *ours)


def _signature(error: TrialError) -> str:
    return f"{error.stage} {_place(error)} {str(error.cause)[:80]}"


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
