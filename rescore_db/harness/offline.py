"""lm-eval tasks built without their datasets.

A mixin in front of the task's class answers for every split with the stored documents, so
lm-eval's own constructor runs as always, on the first document of the evaluation: that document
decides whether a task has several targets or inputs.
"""

from __future__ import annotations

import gc
import inspect
import json
from typing import TYPE_CHECKING, Any

from rescore_db.errors import NotFoundError, RescoreError, TaskError
from rescore_db.harness.as_logged import known_fields
from rescore_db.harness.code import chance_in, code_digests
from rescore_db.harness.definitions import TaskConfig, read_config
from rescore_db.harness.installed import installed_lm_eval
from rescore_db.harness.interface import Definition, TaskRequest
from rescore_db.harness.isolation import isolated
from rescore_db.harness.overrides import (
    is_per_doc,
    replace_filters_and_metrics,
    requested_filters,
)
from rescore_db.harness.scoring import OfflineTask
from rescore_db.harness.templates import cached_templates
from rescore_db.harness.whereabouts import here

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OfflineTask", "load_lm_eval", "load_task"]


class StoredDocs(list[Any]):
    """Stored documents in the shape of a `datasets` split."""

    @property
    def features(self) -> dict[str, None]:
        """The fields of a document, as `Dataset.features` has them as keys."""
        first = self[0] if self else None
        return dict.fromkeys(first) if isinstance(first, dict) else {}


class EverySplit(dict[str, StoredDocs]):
    """A dataset that answers for every split with the stored documents."""

    def __init__(self, docs: StoredDocs) -> None:
        """Answer with these documents."""
        super().__init__()
        self._docs = docs

    def __missing__(self, split: str) -> StoredDocs:
        """Return the documents, whatever the split is called."""
        return self._docs

    def __contains__(self, split: object) -> bool:
        """Tell that there is such a split."""
        return True


class OfflineDocs:
    """The mixin: takes the place of everything in a task that reads a dataset."""

    stored_docs: StoredDocs  # set on the class that is made for one task
    dataset: Any

    def download(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as lm-eval calls it
        """Take the stored documents for the dataset."""
        self.dataset = EverySplit(self.stored_docs)

    def training_docs(self) -> StoredDocs:
        """Return the stored documents."""
        return self.stored_docs

    def validation_docs(self) -> StoredDocs:
        """Return the stored documents."""
        return self.stored_docs

    def test_docs(self) -> StoredDocs:
        """Return the stored documents."""
        return self.stored_docs

    @property
    def eval_docs(self) -> StoredDocs:
        """The stored documents."""
        return self.stored_docs

    def fewshot_docs(self) -> None:
        """Return nothing: the prompts are stored."""


def load_lm_eval() -> None:
    """Import what every task needs, for those who want it done before the first one is built."""
    with isolated():
        import lm_eval.api.task  # noqa: F401 - registers lm-eval's filters and metrics


def load_task(request: TaskRequest, first_doc: Any, cache: Path | None = None) -> OfflineTask:  # noqa: ANN401
    """Build a task of lm-eval's without its dataset.

    Args:
        request: which task, from which definition, with what changed.
        first_doc: the document at position 0 of the evaluation, also where others are scored.
        cache: folder of the task index; None takes the setting's.

    Raises:
        TaskError: the definition is missing or broken, does not fit the documents, or needs what
            the request does not allow or this machine does not have.
        UsageError: filters or metrics that the task does not take.
    """
    load_lm_eval()
    with isolated(may_fork=request.allow_unsafe):
        here.step(f"building task {request.name}")
        found = read_config(request, cache)
        with cached_templates(sandboxed=found.source == "as-logged"):
            replace_filters_and_metrics(found.config, request)
            code = code_digests(found.config)
            chance = chance_in(found.config)
            task = _build(found, request, StoredDocs([first_doc]))
            definition = _definition(task, request, found, code, chance)
        gc.freeze()  # lm-eval's million objects stay: walking them makes scoring 3 times slower
        return OfflineTask(task, definition, may_fork=getattr(task, "UNSAFE_CODE", False))


def _build(found: TaskConfig, request: TaskRequest, docs: StoredDocs) -> Any:  # noqa: ANN401
    """Let lm-eval's constructor run on the stored documents."""
    from lm_eval.api.task import ConfigurableTask

    config = dict(found.config)
    kind = config.get("class", ConfigurableTask)
    offline = type(kind.__name__, (OfflineDocs, kind), {"stored_docs": docs})
    offline.__module__ = kind.__module__
    try:
        if kind is ConfigurableTask or _takes_config(kind):
            task = offline(config=config)
        else:
            task = offline()
    except RescoreError:
        raise
    except (Exception, SystemExit) as error:
        _refuse_unknown_fields(request, found)
        raise _unbuildable(request, found, docs, error) from error
    if "class" in config:
        _finish_class(task, request)
    _refuse_what_is_missing(task, request)
    return task


def _takes_config(kind: type[Any]) -> bool:
    return "config" in inspect.signature(kind.__init__).parameters


def _finish_class(task: Any, request: TaskRequest) -> None:  # noqa: ANN401 - lm-eval's Task
    """Give a class-based task its name, as lm-eval does, and the request's filters."""
    from lm_eval.filters import build_filter_ensemble

    if hasattr(task, "config") and hasattr(task.config, "task"):
        task.config.task = request.name
    if request.filters_json is not None:
        filters = requested_filters(request)
        task._filters = [  # noqa: SLF001 - lm-eval has no other way
            build_filter_ensemble(one["name"], [_as_component(step) for step in one["filter"]])
            for one in filters
        ]


def _as_component(step: dict[str, Any]) -> list[Any]:
    return [step["function"], {key: value for key, value in step.items() if key != "function"}]


def _refuse_what_is_missing(task: Any, request: TaskRequest) -> None:  # noqa: ANN401
    """Refuse tasks that execute code, and metrics that lm-eval could not get hold of."""
    if getattr(task, "UNSAFE_CODE", False) and not request.allow_unsafe:
        msg = f"{request.name} executes code that a model wrote; --allow-unsafe scores it"
        raise TaskError(msg)
    missing = [name for name, fn in getattr(task, "_metric_fn_list", {}).items() if fn is None]
    if missing and _calls_metrics(task):
        msg = (
            f"{request.name}: metric {missing[0]!r} is not lm-eval's own; the `evaluate` library "
            "would have to download it, and rescoring never uses the network"
        )
        raise TaskError(msg)


def _calls_metrics(task: Any) -> bool:  # noqa: ANN401 - lm-eval's Task
    """Tell whether lm-eval calls the functions of a task's metrics.

    It does so for generated text where the task does not score itself; for choices it computes
    the metrics that it knows by name.
    """
    from lm_eval.api.task import ConfigurableTask

    if not isinstance(task, ConfigurableTask) or callable(task.get_config("process_results")):
        return False
    return bool(task.OUTPUT_TYPE == "generate_until")


def _refuse_unknown_fields(request: TaskRequest, found: TaskConfig) -> None:
    """Say which fields of a definition the installed lm-eval does not know; releases differ."""
    known = known_fields()
    for name in found.config if "class" not in found.config else ():
        if name not in known:
            msg = (
                f"{_place(request, found)}: {NotFoundError.among('field of a task', name, known)} "
                f"(lm-eval {installed_lm_eval().version}; other releases have other fields: rename "
                "it or take it out)"
            )
            raise TaskError(msg)


def _unbuildable(
    request: TaskRequest, found: TaskConfig, docs: StoredDocs, error: BaseException
) -> TaskError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return TaskError(
        f"{_place(request, found)} cannot be built on the stored documents, whose fields are "
        f"{', '.join(docs.features) or 'none'}: {reason}; either the definition is not the one "
        "that the run used, or it needs what is not installed here"
    )


def _place(request: TaskRequest, found: TaskConfig) -> str:
    return f"{request.name} ({found.files[0]})" if found.files else request.name


def _definition(
    task: Any,  # noqa: ANN401 - lm-eval's Task
    request: TaskRequest,
    found: TaskConfig,
    code: tuple[tuple[str, str], ...],
    chance: str | None,
) -> Definition:
    """Describe a task that was built."""
    filters = getattr(task, "_filters", [])
    return Definition(
        name=request.name,
        version=task.VERSION,
        output_type=task.OUTPUT_TYPE,
        filters=tuple(ensemble.name for ensemble in filters),
        metrics=tuple(task.aggregation()),
        source=found.source,
        files=found.files,
        config_json=logged_config(task),
        per_doc_filters=is_per_doc(filters),
        nondeterministic=chance,
        higher_is_better=dict(task.higher_is_better()),
        code=code,
    )


def logged_config(task: Any) -> str:  # noqa: ANN401 - lm-eval's Task
    """Return a task's config as JSON text, as lm-eval writes it into a results file."""
    from lm_eval.utils import handle_non_serializable

    return json.dumps(task.dump_config(), default=handle_non_serializable, ensure_ascii=False)
