"""What a file is: by its name, where lm-eval gave it one, else by how it begins.

`lm_eval` names a results file `results_<date>.json` (`<name>_<date>.json` if `--output_path` is
`<name>.json`) and a samples file `samples_<task>_<date>.jsonl`.  Before 0.4.3 there were no dates:
results were whatever the user said, and samples `<model arguments>_<task>.jsonl`, one JSON array.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from rescore_db.harness_log.compression import split_compression
from rescore_db.harness_log.files import read_start
from rescore_db.harness_log.locations import base_name, parent

Form = Literal["lines", "array"]
"""How a samples file holds its records: one a line, or all in one JSON array."""

Kind = Literal["results", "array", "lines", "prompts"]

DATED: Final = re.compile(
    r"(?P<stem>.+)_(?P<date>\d{4}-\d{2}-\d{2})T(?P<time>\d{2}[-:]\d{2}[-:]\d{2}(?:\.\d+)?)"
    r"(?P<ending>\.jsonl?)",
    re.DOTALL,  # file names may hold line ends
)
SAMPLES: Final = "samples_"
RESULTS: Final = "results"

START: Final = 4096  # bytes of a file that tell what it is

_RESULTS_FIRST: Final = re.compile(
    rb'\s*\{\s*"(?:results|groups|group_subtasks|configs|versions|n-shot|n-samples|config'
    rb'|higher_is_better|chat_template|chat_template_sha|date|git_hash|model_name)"\s*:'
)
RESULTS_START: Final = re.compile(rb'\s*\{\s*"results"\s*:\s*\{')
_ARRAY: Final = re.compile(rb'\s*\[\s*\{\s*"doc_id"\s*:[^,]*,\s*"doc"\s*:')
_PROMPTS: Final = re.compile(rb'\s*\[\s*\{\s*"doc_id"\s*:[^,]*,\s*"prompt_\d+"\s*:')
_LINES: Final = re.compile(rb'\s*\{\s*"doc_id"\s*:')
_BEGINNINGS: Final[tuple[tuple[Kind, re.Pattern[bytes]], ...]] = (
    ("results", _RESULTS_FIRST),
    ("array", _ARRAY),
    ("prompts", _PROMPTS),
    ("lines", _LINES),
)
BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Named:
    """A file whose name lm-eval would give.

    Attributes:
        path: where it is.
        date: ISO 8601, from the name.
        task: None for a results file.
        stem: the name in front of the date.
        ending: of its compression, "" for none.
        form: how it holds its records.
        surely: whether the name alone tells what it is; else the content has to be looked at.
    """

    path: str
    date: str
    task: str | None
    stem: str
    ending: str
    form: Form = "lines"
    surely: bool = True

    @property
    def identity(self) -> tuple[str, str, str | None]:
        """Return what two copies of one file share, compressed or not."""
        return parent(self.path), self.date, self.task


def parse_name(path: str) -> Named | None:
    """Take the name of a dated lm-eval file apart; None if it is not named like one.

    A task's name may hold anything, parts like dates included: the date is the last part.
    """
    plain, ending = split_compression(base_name(path))
    found = DATED.fullmatch(plain)
    if found is None:
        return None
    date = f"{found['date']}T{found['time'].replace('-', ':')}"
    stem = found["stem"]
    is_samples = stem.startswith(SAMPLES) and stem != SAMPLES
    if found["ending"] == ".json":
        task = stem.removeprefix(SAMPLES) if is_samples else None
        return Named(path, date, task, stem, ending, "array", surely=stem == RESULTS)
    if not is_samples:
        return None
    return Named(path, date, stem.removeprefix(SAMPLES), stem, ending)


def looked_into(named: Named) -> Named | None:
    """Say what a file is whose name does not tell it for sure; None if it is not lm-eval's.

    `samples_<task>_<date>.json` is an array in the releases between 0.4.2 and 0.4.3, which wrote
    the first of the Hub's `details`, or results for `--output_path samples_<task>.json`.

    Raises:
        LogFormatError: it cannot be read.
    """
    kind = kind_of(read_start(named.path, START))
    if kind == "results":
        return replace(named, task=None, form="lines", surely=True)
    if named.task is not None and kind in {"array", "lines"}:
        return replace(named, form="array" if kind == "array" else "lines", surely=True)
    return None


def kind_of(start: bytes) -> Kind | None:
    """Tell by its first bytes what a file may be; None for what lm-eval did not write."""
    start = start.removeprefix(BOM)
    return next((kind for kind, looks in _BEGINNINGS if looks.match(start)), None)


def plain_stem(path: str) -> str:
    """Return a file's name without folder, compression and ending."""
    return split_compression(base_name(path))[0].rpartition(".")[0]


_NAMES: Final = (re.compile(r"/|="), re.compile(r'["<>:/|\\?*\[\]]+'))
"""What 0.4.0 and 0.4.1, and then 0.4.2, wrote as `__` in the arguments of a file's name."""


def names_of_arguments(model_args: str) -> tuple[str, ...]:
    """Return how names of samples files began for some model arguments, before 0.4.3."""
    return tuple(strange.sub("__", model_args) for strange in _NAMES)
