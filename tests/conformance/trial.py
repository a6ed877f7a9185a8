"""One guess at a task's documents, through lm-eval stage by stage."""

from __future__ import annotations

import itertools
from collections import defaultdict
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import datasets

from tests.conformance.model import MadeUpModel

if TYPE_CHECKING:
    from collections.abc import Callable

STAGES = ("dataset", "build", "requests", "target", "filters", "process_results", "aggregation")


class TrialError(Exception):
    """A stage failed.

    Attributes:
        stage: number of the stage.
        cause: what lm-eval or the task raised.
    """

    def __init__(self, stage: str, cause: BaseException) -> None:
        """Keep both."""
        super().__init__(stage)
        self.stage = STAGES.index(stage)
        self.cause = cause

    @property
    def reason(self) -> str:
        """The cause in one line."""
        return " ".join(f"{type(self.cause).__name__}: {self.cause}".split())[:160]


class MadeDataset(dict[str, Any]):
    """Has every split; each holds the made documents."""

    def __init__(self, rows: Any) -> None:
        """Answer with these rows."""
        super().__init__(test=rows, validation=rows, train=rows)
        self._rows = rows

    def __missing__(self, split: str) -> Any:
        """Return the rows."""
        return self._rows


NUMBERS = itertools.count(1)


class Unhashed:
    """Numbers datasets in place of hashing what was done to them, which takes most of the time."""

    def update(self, _: Any) -> None:
        """Take what would be hashed."""

    def hexdigest(self) -> str:
        """Return another number each time."""
        return f"{next(NUMBERS):016x}"

    @classmethod
    def hash(cls, _: Any) -> str:
        """Return another number each time."""
        return cls().hexdigest()


class Rows:
    """What `datasets.load_dataset` gives while a task is tried or evaluated."""

    def __init__(self) -> None:
        """Start without documents."""
        self.docs: list[dict[str, Any]] = []

    def install(self) -> None:
        """Take the place of `datasets.load_dataset` in this process."""
        datasets.disable_progress_bars()
        datasets.disable_caching()
        datasets.fingerprint.Hasher = Unhashed
        datasets.load_dataset = self.load_dataset

    def load_dataset(self, *_: Any, split: Any = None, **__: Any) -> Any:
        """Stand in for the function of `datasets`."""
        rows = datasets.Dataset.from_list(self.docs)
        return MadeDataset(rows) if split is None else rows


class Trial:
    """Tries documents with one task."""

    def __init__(
        self, name: str, config: dict[str, Any], rows: Rows, build: Callable[[dict[str, Any]], Any]
    ) -> None:
        """Prepare to try documents.

        Args:
            name: the task's.
            config: its config with functions; it is copied for each try.
            rows: what will be handed to the task as its dataset.
            build: config → lm-eval's task.
        """
        self.name = name
        self.config = config
        self._rows = rows
        self._build = build

    def run(self, docs: list[dict[str, Any]]) -> None:
        """Go through every stage.

        Raises:
            TrialError: one failed.
        """
        self._rows.docs = docs
        stage = "dataset"
        try:
            self._rows.load_dataset()
            stage = "build"
            task = self._build(deepcopy(self.config))
            stage = "requests"
            instances = self._requests(task)
            stage = "target"
            self._check_targets(task)
            stage = "filters"
            task.apply_filters()
            stage = "process_results"
            scores = self._scores(task, instances)
            stage = "aggregation"
            self._aggregate(task, scores)
        except (Exception, SystemExit) as error:
            raise TrialError(stage, error) from error

    def _requests(self, task: Any) -> list[Any]:
        if task.get_config("num_fewshot") is None or task.get_config("num_fewshot") != 0:
            task.set_config("num_fewshot", 0)
        task.set_fewshot_seed(seed=1234)
        task.build_all_requests(limit=None, rank=0, world_size=1)
        instances = task.instances
        if not instances:
            msg = "no documents are left of those that were made"
            raise ValueError(msg)
        MadeUpModel().answer(instances)
        return list(instances)

    def _check_targets(self, task: Any) -> None:
        """Refuse multiple-choice documents whose answer is none of the choices."""
        docs = [doc for _, doc in task.doc_iterator(rank=0, limit=None, world_size=1)]
        targets = [task.doc_to_target(doc) for doc in docs]
        if task.OUTPUT_TYPE != "multiple_choice" or task.config.process_results is not None:
            return
        for doc, target in zip(docs, targets, strict=True):
            choices = task.doc_to_choice(doc)
            if (
                isinstance(target, str)
                and target not in choices
                and not getattr(task, "multiple_input", 0)
            ):
                msg = f"the target {target!r} is none of the choices"
                raise LookupError(msg)
            if isinstance(target, int) and target >= len(choices):
                msg = f"the target {target!r} is none of the choices"
                raise LookupError(msg)

    def _scores(self, task: Any, instances: list[Any]) -> dict[tuple[str, str], list[Any]]:
        by_doc: dict[int, list[Any]] = defaultdict(list)
        for one in instances:
            by_doc[one.doc_id].append(one)
        found: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for name in instances[0].filtered_resps:
            for doc_id, doc in task.doc_iterator(rank=0, limit=None, world_size=1):
                asked = sorted(by_doc[doc_id], key=lambda one: one.idx)
                metrics = task.process_results(doc, [one.filtered_resps[name] for one in asked])
                for metric, value in metrics.items():
                    found[metric, name].append(value)
        return found

    def _aggregate(self, task: Any, scores: dict[tuple[str, str], list[Any]]) -> None:
        from lm_eval.evaluator_utils import _compute_task_aggregations

        _compute_task_aggregations(task, scores, 0)
