"""Files without a date in their name: results of any release, and samples before 0.4.3.

Such samples are named for the model's arguments and the task, `<model arguments>_<task>.jsonl`,
and nothing in the name tells where the task begins: the results file beside them does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.files import read_start, read_whole
from rescore_db.harness_log.locations import folder_name, parent
from rescore_db.harness_log.naming import (
    BOM,
    RESULTS,
    RESULTS_START,
    SAMPLES,
    START,
    Form,
    kind_of,
    names_of_arguments,
    plain_stem,
)
from rescore_db.harness_log.results import is_results, parse_results
from rescore_db.harness_log.run_facts import utc_date

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NOT_OURS: Final = "not a file of lm-eval, by its name and its content"
PROMPTS: Final = (
    "prompts and answers that lm-eval wrote out before 0.4 (--write_out): only results are read "
    "of those releases"
)
NO_TASK: Final = (
    "samples of lm-eval, but neither their name nor a results file beside them tells task and "
    "date: put the results file into the same folder, or name them samples_<task>_<date>.jsonl"
)


@dataclass(frozen=True, slots=True)
class UndatedSamples:
    """A samples file whose name has no date."""

    path: str
    form: Form


@dataclass(slots=True)
class UndatedResults:
    """A results file whose name has no date.

    Attributes:
        path: where it is.
        date: ISO 8601 in UTC, where its content tells; else "".
        tasks: those with a configuration.
        beginnings: how the names of its samples files may begin.
        samples: path, task and form of those that belong to it.
    """

    path: str
    date: str
    tasks: frozenset[str]
    beginnings: tuple[str, ...]
    samples: list[tuple[str, str, Form]] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Return what tells the run from other undated ones of its model: its file's name.

        Every user's `results.json` is called so: there it is the folder's name that tells.
        """
        stem = plain_stem(self.path)
        name = f"{folder_name(self.path)}/{stem}" if stem == RESULTS else stem
        return "" if self.date else json_exact.storable(name)[0]


def read_undated(path: str) -> UndatedResults | UndatedSamples | str:
    """Return what a file is, or why it is passed over.

    Raises:
        LogFormatError: a results file that is cut or damaged.
    """
    try:
        start = read_start(path, START)
        kind = kind_of(start)
        if kind == "results":
            return _results(path, read_whole(path)) or NOT_OURS
    except LogFormatError as error:
        if error.file == path and error.line is not None:
            raise
        return error.message
    if kind == "array" or kind == "lines":  # noqa: PLR1714 - mypy narrows this
        return UndatedSamples(path, kind)
    return PROMPTS if kind == "prompts" else NOT_OURS


def _results(path: str, raw: bytes) -> UndatedResults | None:
    """Read a results file; None if it is not lm-eval's.

    Raises:
        LogFormatError: it begins like one, but is cut or damaged.
    """
    try:
        content = json_exact.loads(raw.removeprefix(BOM).decode())
    except (ValueError, RecursionError):
        if RESULTS_START.match(raw.removeprefix(BOM)):
            parse_results(raw, path)  # says what is wrong, and where
        return None
    if not is_results(content):
        return None
    configs, config = content.get("configs"), content.get("config")
    arguments = config.get("model_args") if isinstance(config, dict) else None
    return UndatedResults(
        path=path,
        date=utc_date(content.get("date")) or "",
        tasks=frozenset(configs) if isinstance(configs, dict) else frozenset(),
        beginnings=names_of_arguments(arguments) if isinstance(arguments, str) else (),
    )


def assign(
    results: Sequence[UndatedResults], samples: Iterable[UndatedSamples]
) -> list[UndatedSamples]:
    """Give each samples file to the results file beside it that it belongs to.

    Returns:
        the samples files that belong to none.
    """
    folders: dict[str, list[UndatedResults]] = {}
    for one in results:
        folders.setdefault(parent(one.path), []).append(one)
    rest = [
        one
        for one in sorted(samples, key=lambda one: one.path)
        if not _give(one, folders.get(parent(one.path), []), exactly=True)
    ]
    # A results file whose own samples were not found by its arguments may have been renamed.
    open_to = {
        folder: [one for one in found if not one.samples] for folder, found in folders.items()
    }
    return [one for one in rest if not _give(one, open_to.get(parent(one.path), []), exactly=False)]


def _give(samples: UndatedSamples, results: Sequence[UndatedResults], *, exactly: bool) -> bool:
    """Give a samples file to the results file with the longest task that its name ends in."""
    stem = plain_stem(samples.path)
    taken = {(id(one), task) for one in results for _, task, _ in one.samples}
    fits = [
        (len(task), -rank, task)
        for rank, one in enumerate(results)
        for task in one.tasks
        if (id(one), task) not in taken and _names(stem, task, one.beginnings, exactly=exactly)
    ]
    if not fits:
        return False
    _, rank, task = max(fits)
    results[-rank].samples.append((samples.path, task, samples.form))
    return True


def _names(stem: str, task: str, beginnings: Sequence[str], *, exactly: bool) -> bool:
    if exactly:
        return stem == SAMPLES + task or any(stem == f"{start}_{task}" for start in beginnings)
    return stem == task or stem.endswith(f"_{task}")
