"""The tour: the main job on small logs that ship with the package.

`logs` was written by lm-eval itself over the tasks in `tasks`, with a scripted model in place of a
real one (`python -m tests.demo_logs` in a checkout makes it again).  Answers and questions are
invented; files, filters, metrics, standard errors and hashes are lm-eval's.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rescore_db.errors import AlreadyExistsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE: Final = Path(__file__).parent
PARTS: Final = ("logs", "tasks", "last-number.yaml")
STORE: Final = "rescore.db"


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the tour, and what it is there to show."""

    says: str
    command: str


STEPS: Final = (
    Step("Take the logs of two models into a new store.", "rescore ingest logs"),
    Step("Again: everything is known, nothing is added.", "rescore ingest logs"),
    Step("One model ran on three days.", "rescore runs"),
    Step(
        "Choose documents with SQL, over any field that the dataset has.",
        """rescore subset create hard --where "doc->>'level' >= 3" """,
    ),
    Step(
        "Score the stored responses again with the tasks' own filters: no model, no dataset.",
        "rescore score --include-path tasks --name again",
    ),
    Step(
        "Read the same answers in another way: the filter is in last-number.yaml.",
        "rescore score --task shop_sums --filters last-number.yaml --include-path tasks"
        " --name lenient",
    ),
    Step(
        "The same on the hard documents alone.",
        "rescore score tern-ai/heron-7b --task shop_sums --subset hard --filters last-number.yaml"
        " --include-path tasks --name lenient-hard",
    ),
    Step(
        "Can it be trusted?  Recompute all that lm-eval logged, and compare to the last bit.",
        "rescore verify --include-path tasks",
    ),
    Step(
        "Two models, document by document.",
        "rescore compare larch/wren-1b@2026-03-30 tern-ai/heron-7b",
    ),
    Step(
        "Two filters over the answers of one model.",
        "rescore compare tern-ai/heron-7b/strict-match tern-ai/heron-7b:lenient/last-number",
    ),
    Step(
        "One model over time, under the new filter.",
        "rescore history --task shop_sums --model larch/wren-1b --scoring lenient",
    ),
    Step(
        "Everything is a table: which topics are hard?",
        """rescore sql "SELECT d.doc->>'topic' AS topic, s.filter, count(*) AS n, avg(s.value) """
        "AS mean FROM scores s JOIN docs d ON d.id = s.doc_key WHERE s.task = 'shop_sums' "
        """AND s.scoring = 'logged' GROUP BY 1, 2 ORDER BY 1, 2" """,
    ),
)

NEXT: Final = """\
The store stays where it is, with the logs and tasks it was made from:

  {enter}
  rescore samples --task shop_sums --where "response LIKE '%...'"
  rescore scorings
  rescore history --task trades
  rescore --help

Then your own logs: `lm_eval … --log_samples --output_path results`, `rescore ingest results`."""


def run_tour(
    main: Callable[[Sequence[str]], int], folder: Path | None, echo: Callable[[str], None]
) -> int:
    """Show the main job, one real command after the other, in a scratch store that is kept.

    Args:
        main: runs one command line, without the program's name, and returns its exit code.
        folder: where to work, made if missing; None makes a scratch folder.
        echo: prints one line.

    Returns:
        0, or the exit code of the first command that failed.

    Raises:
        AlreadyExistsError: the folder holds something.
    """
    place = prepare(folder)
    with _working_in(place):
        _show(echo, f"Working in {place}, where rescore finds its store, {STORE}.")
        for step in STEPS:
            _show(echo, "", f"# {step.says}", f"$ {step.command.strip()}")
            code = main(shlex.split(step.command)[1:])
            if code:
                return code
    enter = f"cd {shlex.quote(str(place))}" + ("; unset RESCORE_DB" if _names_a_store() else "")
    _show(echo, "", NEXT.format(enter=enter))
    return 0


def prepare(folder: Path | None) -> Path:
    """Copy logs, tasks and filter to a folder and return its absolute path.

    Raises:
        AlreadyExistsError: the folder holds something.
        UsageError: it cannot be made or written.
    """
    try:
        return _prepared(folder)
    except OSError as error:
        place = error.filename or folder or tempfile.gettempdir()
        why = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        msg = f"{place} can't be written: {why}; name another folder"
        raise UsageError(msg) from error


def _prepared(folder: Path | None) -> Path:
    place = Path(tempfile.mkdtemp(prefix="rescore-demo-")) if folder is None else folder.absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        msg = f"{place} is not an empty folder; name another one, or none for a scratch folder"
        raise AlreadyExistsError(msg)
    place.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        source = HERE / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    return place


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    """Let commands see `folder` as the working directory and the store in it as the default."""
    before = os.environ.get("RESCORE_DB")
    os.environ["RESCORE_DB"] = f"sqlite:///{STORE}"
    try:
        with chdir(folder):
            yield
    finally:
        if before is None:
            del os.environ["RESCORE_DB"]
        else:
            os.environ["RESCORE_DB"] = before


def _names_a_store() -> bool:
    return bool(os.environ.get("RESCORE_DB"))


def _show(echo: Callable[[str], None], *lines: str) -> None:
    for line in lines:
        echo(line)
