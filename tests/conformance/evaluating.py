"""lm-eval's side of the comparison, in a process: `python -m tests.conformance.evaluating`.

Takes `Work` as JSON on stdin.  For each name it makes documents, lets lm-eval evaluate them and
write its logs to `out/<number>`, keeps what lm-eval held in memory beside them as `truth.json`,
and says so in a line of JSON on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypedDict
from unittest.mock import patch

from rescore_db.errors import RescoreError
from rescore_db.harness.definitions import read_config
from rescore_db.harness.index import TaskNames
from rescore_db.harness.interface import TaskRequest
from rescore_db.harness.isolation import isolated
from rescore_db.harness.members import as_lm_eval_entry, group_of_names
from rescore_db.harness.templates import cached_templates

with isolated():
    import lm_eval
    import lm_eval.api.task
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._factory import TaskFactory, _ctor_accepts_config
    from lm_eval.tasks._index import TaskIndex
    from lm_eval.tasks._yaml_loader import load_yaml

    from tests.conformance.documents import MissingError, NoDocumentsError, make_documents
    from tests.conformance.model import MadeUpModel
    from tests.conformance.trial import Rows, Trial

from tests.conformance.exact import exact
from tests.conformance.network import cut_network
from tests.conformance.outcome import Verdict, kind_of_config
from tests.run_lm_eval import save, set_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOTSTRAPS = 40
FIRST_DATE = datetime(2026, 1, 1)  # noqa: DTZ001 - as lm-eval has it

Docs = dict[str, list[dict[str, Any]]]


class CannotEvaluateError(Exception):
    """A name cannot be evaluated.

    Attributes:
        verdict: which of the verdicts it gets.
        kind: of the task, or group, or tag.
    """

    verdict: Verdict

    def __init__(self, kind: str, reason: object) -> None:
        """Say why."""
        super().__init__(" ".join(str(reason).split()))
        self.kind = kind


class NotExercisedError(CannotEvaluateError):
    """It can be built, but not be evaluated on made documents."""

    verdict = "built only"


class UnsupportedError(CannotEvaluateError):
    """It cannot be built here."""

    verdict = "unsupported"


class Work(TypedDict):
    """What the process is to do.

    Attributes:
        names: of tasks, groups and tags.
        first: number of the first of them.
        out: folder of the logs.
        seconds: for making the documents of one task.
        members: how many tasks a group or tag may have that is evaluated as a whole.
    """

    names: list[str]
    first: int
    out: str
    seconds: float
    members: int


class LmEval:
    """lm-eval in this process, with made documents for datasets."""

    def __init__(self, seconds: float, members: int) -> None:
        """Read the registry.

        Args:
            seconds: for making the documents of one task.
            members: how many tasks a group or tag may have that is evaluated as a whole.
        """
        self._seconds = seconds
        self._most_members = members
        self._rows = Rows()
        self._rows.install()
        self._docs: Docs = {}
        self._names = TaskNames()
        self._give_documents_by_task()
        with isolated():
            self._manager = _manager(self._names)

    def evaluate(self, name: str, out: Path, date: datetime) -> str:
        """Evaluate a task, group or tag, write its logs and the truth; return its kind.

        Raises:
            CannotEvaluateError: it cannot be built, or no documents can be made.
        """
        entry = self._names.get(name)
        if entry.kind in ("group", "tag"):
            kind: str = entry.kind
            self._docs = {}
            for task in self._members(name):
                self._docs[task] = self._documents(task, (name,))[0]
        else:
            docs, kind = self._documents(name, ())
            self._docs = {name: docs}
        try:
            self._run(name, out, date)
        except (Exception, SystemExit) as error:
            reason = f"lm-eval: {type(error).__name__}: {error}"
            raise NotExercisedError(kind, reason) from error
        return kind

    def _members(self, name: str) -> list[str]:
        entry = self._names.get(name)
        try:
            with isolated():
                members = (
                    list(entry.tasks)
                    if entry.kind == "tag"
                    else [
                        one.task_name for one in group_of_names(self._names, name).get_all_tasks()
                    ]
                )
        except RescoreError as error:
            raise UnsupportedError(entry.kind, error) from error
        if len(members) > self._most_members:
            reason = f"more than {self._most_members} tasks, which are looked at one by one"
            raise NotExercisedError(entry.kind, reason)
        return members

    def _documents(self, task: str, groups: tuple[str, ...]) -> tuple[Any, str]:
        """Make a task's documents; return them and its kind."""
        try:
            with isolated():
                config = read_config(TaskRequest(task, allow_unsafe=True, groups=groups)).config
        except RescoreError as error:
            raise UnsupportedError(self._raw_kind(task), error) from error
        kind = kind_of_config(config)
        if callable(config.get("custom_dataset")):
            reason = "its code makes its documents, from sources that it downloads"
            raise NotExercisedError(kind, reason)
        end = time.process_time() + self._seconds
        trial = Trial(task, config, self._rows, self._build)
        try:
            with isolated(), cached_templates():
                made = make_documents(trial, lambda: end - time.process_time())
        except MissingError as error:
            raise UnsupportedError(kind, error) from error
        except NoDocumentsError as error:
            raise NotExercisedError(kind, error) from error
        return made.docs, kind

    def _raw_kind(self, name: str) -> str:
        """Return the kind of a task whose functions cannot be loaded."""
        path = self._names.get(name.partition("::")[0]).path
        return kind_of_config(load_yaml(path, resolve_func=False))

    def _build(self, config: dict[str, Any]) -> Any:
        """Build a task as lm-eval's factory does."""
        if "class" not in config:
            return ConfigurableTask(config=config)
        kind = config["class"]
        return kind(config=config) if _ctor_accepts_config(kind) else kind()

    def _give_documents_by_task(self) -> None:
        """Let each task that lm-eval builds find its own documents."""
        build, init = TaskFactory._build_task, ConfigurableTask.__init__  # noqa: SLF001

        def build_task(factory: Any, entry: Any, overrides: Any) -> Any:
            self._take((overrides or {}).get("task") or entry.name)
            return build(factory, entry, overrides)

        def make(task: Any, *arguments: Any, **named: Any) -> None:
            self._take((named.get("config") or {}).get("task"))
            init(task, *arguments, **named)

        TaskFactory._build_task = build_task  # noqa: SLF001
        ConfigurableTask.__init__ = make

    def _take(self, task: str | None) -> None:
        if task in self._docs:
            self._rows.docs = self._docs[task]

    def _run(self, name: str, out: Path, date: datetime) -> None:
        """Evaluate, keep what lm-eval held in memory, and save what it would."""
        set_clock(date.isoformat())
        with isolated():
            tracker = EvaluationTracker(output_path=str(out))
            results = lm_eval.simple_evaluate(
                model=MadeUpModel(),
                model_args={"pretrained": f"made-up/{out.name}"},
                tasks=[name],
                num_fewshot=0,
                bootstrap_iters=BOOTSTRAPS,
                log_samples=True,
                evaluation_tracker=tracker,
                task_manager=self._manager,
                confirm_run_unsafe_code=True,
            )
            truth = _truth(results)
            save(tracker, results)
        (out / "truth.json").write_text(json.dumps({"name": name, **truth}), encoding="utf-8")


def _manager(names: TaskNames) -> Any:
    """Return lm-eval's own `TaskManager`, with its index as our cache keeps it."""
    index = {name: as_lm_eval_entry(names.get(name)) for name in names.names()}
    with patch.object(TaskIndex, "build", lambda *_: index):
        return TaskManager()


def _truth(results: dict[str, Any]) -> dict[str, Any]:
    """Return lm-eval's numbers as exact texts, before they are written anywhere."""
    return {
        "results": {
            task: {key: exact(value) for key, value in found.items() if "," in key}
            for task, found in results["results"].items()
        },
        "samples": {
            task: [
                {
                    "filter": one["filter"],
                    "filtered": _as_logged(one["filtered_resps"]),
                    "metrics": {metric: exact(one[metric]) for metric in one["metrics"]},
                    "target": str(one["target"]),
                }
                for one in samples
            ]
            for task, samples in results["samples"].items()
        },
        "groups": {
            group: {key: exact(value) for key, value in found.items()}
            for group, found in results.get("groups", {}).items()
        },
    }


def _as_logged(value: Any) -> Any:
    """Return filtered responses as lm-eval's tracker writes them."""
    from lm_eval.utils import sanitize_list

    return sanitize_list(deepcopy(value))


@contextmanager
def _answers() -> Iterator[IO[str]]:
    """Keep stdout for answers; what else prints goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        yield answers


def main() -> None:
    """Evaluate the names on stdin."""
    work: Work = json.load(sys.stdin)
    cut_network()
    with _answers() as answers:

        def say(**answer: Any) -> None:
            print(json.dumps(answer), file=answers, flush=True)

        here = LmEval(work["seconds"], work["members"])
        for number, name in enumerate(work["names"], work["first"]):
            say(begun=name)
            out = Path(work["out"], str(number))
            out.mkdir()
            start = time.monotonic()
            answer = {"verdict": "evaluated", "reason": ""}
            try:
                answer["kind"] = here.evaluate(name, out, FIRST_DATE + timedelta(seconds=number))
            except CannotEvaluateError as error:
                answer = {"verdict": error.verdict, "reason": str(error), "kind": error.kind}
            say(done=name, number=number, seconds=time.monotonic() - start, **answer)


if __name__ == "__main__":
    main()
