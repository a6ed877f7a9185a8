"""Where files lie below an export's folder: names that are safe, and no place given twice.

Models, tasks and dates come from logs that anyone may have written.  Names are lm-eval's wherever
they can be; what is none that a folder can hold, or leads out of it, is changed and told.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from rescore_db.harness_log import written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rescore_db.store.logged_files import LoggedRun

UNSAFE: Final = re.compile("[/\\\\\x00-\x1f\x7f\ud800-\udfff]+")
MAX_BYTES: Final = 255  # of a name, on every common file system
HASH_DIGITS: Final = 12
UNDATED_SAMPLES: Final = "\x00undated samples"
UNDATED_RESULTS: Final = "\x00undated results"


class Places:
    """Gives files their places.

    Attributes:
        notes: what users should know, in the order in which it came up.
    """

    def __init__(self) -> None:
        """Begin with an empty folder."""
        self.notes: list[str] = []
        self._taken: set[PurePosixPath] = set()

    def note(self, run: LoggedRun, text: str) -> None:
        """Note something of a run."""
        self.notes.append(f"run {run.id} ({run.model}@{run.date or 'no date'}): {text}")

    def names(self, run: LoggedRun, wanted: Iterable[tuple[str, str]]) -> list[str]:
        """Return a safe name for each wanted one, no two alike.

        Args:
            run: whose files they are.
            wanted: names and their endings.
        """
        given: list[str] = []
        for stem, ending in wanted:
            name = safe_name(stem, ending)
            if name in given:
                name = cut_name(stem, ending)
            if name != stem + ending:
                self.note(run, f"{stem + ending!r} is written as {name}")
            given.append(name)
        return given

    def claim(self, run: LoggedRun, names: Iterable[str], *, has_samples: bool) -> PurePosixPath:
        """Return the folder for a run's files: the model's, or one of the run's own.

        Two runs may have the same names, as the versions of one run do; and of an undated run's
        samples nothing but their folder tells whose they are.
        """
        wanted = folder_of(run)
        folder = PurePosixPath(safe_name(wanted, ""))
        if str(folder) != wanted:
            self.note(run, f"{wanted!r} is no folder's name: its files are in {folder}")
        own = list(names)
        if not self._is_free(run, folder, own, has_samples=has_samples):
            folder = f"run-{run.id}" / folder
            self.note(run, f"another run has its place: its files are in {folder}")
        self._taken.update(folder / name for name in own)
        if not run.date:
            self._taken.add(folder / (UNDATED_SAMPLES if has_samples else UNDATED_RESULTS))
        return folder

    def _is_free(
        self, run: LoggedRun, folder: PurePosixPath, names: list[str], *, has_samples: bool
    ) -> bool:
        if not run.date and folder / UNDATED_SAMPLES in self._taken:
            return False
        if not run.date and has_samples and folder / UNDATED_RESULTS in self._taken:
            return False
        return not any(folder / name in self._taken for name in names)


def folder_of(run: LoggedRun) -> str:
    """Return the name of the folder that a run's files belong into, as lm-eval gives it.

    The origin of an undated run may name one (see `run.origin` in the schema).
    """
    folder, is_told, _ = run.origin.rpartition("/")
    return folder if is_told else written.model_folder(run.model)


def safe_name(stem: str, ending: str) -> str:
    """Return a name that stays in its folder and that a file system takes."""
    name = UNSAFE.sub("__", stem)
    if not ending and name.strip(". ") == "":
        name = "__"
    if len((name + ending).encode()) > MAX_BYTES:
        return cut_name(stem, ending)
    return name + ending


def cut_name(stem: str, ending: str) -> str:
    """Return a safe name that a hash of the whole tells from all others."""
    digest = hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]
    room = MAX_BYTES - len(ending.encode()) - HASH_DIGITS - 1
    name = UNSAFE.sub("__", stem).encode()[:room].decode(errors="ignore")
    return f"{name}~{digest}{ending}"
