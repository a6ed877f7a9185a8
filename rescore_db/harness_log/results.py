"""A results file: aggregates, groups, configurations and what is known about the run.

Since 0.4 it has a configuration for each task and names metrics `acc,none`, with the filter;
0.2 and 0.3 have neither, and their metrics count as those of the filter `none`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.files import read_whole
from rescore_db.harness_log.lines import BOM, refuse_unstorable
from rescore_db.harness_log.locations import base_name, folder_name
from rescore_db.harness_log.run_facts import model_arguments, model_name, step_of, utc_date

if TYPE_CHECKING:
    from collections.abc import Iterator

STDERR: Final = "_stderr"
MAPPINGS_OF_MAPPINGS: Final = ("results", "groups", "configs", "higher_is_better", "n-samples")
MAPPINGS: Final = (*MAPPINGS_OF_MAPPINGS, "group_subtasks", "versions", "n-shot", "config")
NO_FILTER: Final = "none"
"""lm-eval's name for the filter of a task that declares none."""

NOT_VERSIONED: Final = "Yaml"
"""What early 0.4 has as every task's version; the configuration knows better."""

Metrics = dict[tuple[str, str], tuple[Any, Any]]
"""(filter, metric) → (value, standard error), both exactly as logged, None where absent."""


@dataclass(frozen=True, slots=True)
class TaskResults:
    """What a results file says of one task.

    Attributes:
        name: the task.
        config_json: its entry in `configs` as JSON text, None if it has none.
        version_json: its entry in `versions` as JSON text, "null" if it has none; where that is
            no version (0.4.0 to 0.4.2), the one in its configuration.
        num_fewshot: examples before each question.
        n_original: documents in the split.
        n_effective: documents that were evaluated.
        metrics: the aggregates, in the file's order.
        higher_is_better: metric → direction, None where lm-eval does not know.
    """

    name: str
    config_json: str | None
    version_json: str
    num_fewshot: int | None
    n_original: int | None
    n_effective: int | None
    metrics: Metrics
    higher_is_better: dict[str, bool | None]


@dataclass(frozen=True, slots=True)
class GroupResults:
    """What a results file says of one group; `n` is metric key → samples behind it."""

    name: str
    metrics: Metrics
    n: dict[tuple[str, str], int | None]


@dataclass(frozen=True, slots=True)
class Results:
    """One results file.

    Attributes:
        text: the file, exact.
        digest: SHA-256 of its bytes, uncompressed.
        model: the model's name, None where neither `model_name` nor its arguments tell.
        date: when the run started, ISO 8601 in UTC, None before 0.4.3.
        step: of training, None where neither the model's arguments nor the file's name tell.
        lm_eval_version: as logged, None before 0.4.9.
        bootstrap_iters: how often lm-eval resampled for standard errors, None if not said.
        tasks: task → what is known, also for tasks that only have a configuration.
        groups: the groups with aggregates.
        group_subtasks: group → its members, groups or tasks.
        strange: where something else stands than lm-eval writes, which is passed over.
    """

    text: str
    digest: bytes
    model: str | None
    date: str | None
    step: int | None
    lm_eval_version: str | None
    bootstrap_iters: int | None
    tasks: dict[str, TaskResults]
    groups: tuple[GroupResults, ...]
    group_subtasks: dict[str, tuple[str, ...]]
    strange: tuple[str, ...] = ()


def read_results(path: str) -> Results:
    """Read a results file of lm-eval 0.2 to 0.4.

    Raises:
        LogFormatError: the file cannot be read, is not JSON (with the line where it breaks), or
            is JSON that lm-eval did not write.
    """
    return parse_results(read_whole(path), path)


def parse_results(raw: bytes, path: str) -> Results:
    """Read the content of a results file; `path` is its name for messages.

    Raises:
        LogFormatError: as `read_results`, but for what concerns opening the file.
    """
    try:
        text = raw.removeprefix(BOM).decode()
        content = json_exact.loads(text)
    except UnicodeDecodeError as error:
        message = f"byte {error.start + 1} is not UTF-8, the encoding that lm-eval writes"
        raise LogFormatError(path, None, message) from None
    except ValueError as error:
        line = getattr(error, "lineno", None)
        reason = getattr(error, "msg", None) or str(error)
        message = f"not valid JSON ({reason}): the file is cut or damaged, copy it again"
        raise LogFormatError(path, line, message) from None
    if not is_results(content):
        message = "not a results file of lm-eval: no `results` with `configs`, or with `versions`"
        raise LogFormatError(path, None, message)
    config = _mapping(content, "config")
    arguments = model_arguments(config)
    groups = _groups(content)
    tasks = _tasks(content, {group.name for group in groups})
    _refuse_strange_names(path, tasks, groups)
    return Results(
        text=text,
        digest=hashlib.sha256(raw).digest(),
        model=model_name(content.get("model_name"), arguments),
        date=utc_date(content.get("date")),
        step=step_of(arguments, base_name(path)),
        lm_eval_version=_text_or_none(content.get("lm_eval_version")),
        bootstrap_iters=_whole_or_none(config.get("bootstrap_iters")),
        tasks=tasks,
        groups=groups,
        group_subtasks=_members(content, groups),
        strange=tuple(_strange(content)),
    )


def _strange(content: dict[str, Any]) -> Iterator[str]:
    """Name the fields, and entries of them, that are no mappings as lm-eval writes them."""
    for name in MAPPINGS:
        value = content.get(name)
        if value is not None and not isinstance(value, dict):
            yield f"`{name}` is {_not_a_mapping(value)}"
    for name in MAPPINGS_OF_MAPPINGS:
        for key, value in _mapping(content, name).items():
            if value is not None and not isinstance(value, dict):
                yield f"`{name}` of {key!r} is {_not_a_mapping(value)}"


def _not_a_mapping(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return f"of type {type(value).__name__} where a mapping belongs: passed over"


def _refuse_strange_names(
    path: str, tasks: dict[str, TaskResults], groups: tuple[GroupResults, ...]
) -> None:
    """Refuse names with characters that no database's text column holds."""
    named: list[TaskResults | GroupResults] = [*tasks.values(), *groups]
    names = {one.name for one in named}
    names.update(name for one in named for key in one.metrics for name in key)
    refuse_unstorable(sorted(names), path, None)


def is_results(content: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether parsed JSON is a results file of lm-eval.

    Since 0.4 there are `configs`; before, each task with results has its version, and `config`
    names the model, or at least all results are numbers.
    """
    if not isinstance(content, dict) or not isinstance(content.get("results"), dict):
        return False
    return isinstance(content.get("configs"), dict) or _is_before_0_4(content)


def _is_before_0_4(content: dict[str, Any]) -> bool:
    results, versions = content["results"], content.get("versions")
    if "configs" in content or not results or not isinstance(versions, dict):
        return False
    if not results.keys() <= versions.keys():
        return False
    entries = list(results.values())
    if not all(isinstance(one, dict) and one for one in entries):
        return False
    is_told = "model" in _mapping(content, "config")
    return is_told or all(_is_number(value) for one in entries for value in one.values())


def _is_number(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(content: dict[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key)
    return found if isinstance(found, dict) else {}


def _text_or_none(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, str) and value else None


def _whole_or_none(value: Any) -> int | None:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _groups(content: dict[str, Any]) -> tuple[GroupResults, ...]:
    """Return the groups with aggregates; older files list them among the tasks only."""
    configs, results = _mapping(content, "configs"), _mapping(content, "results")
    named = dict(_mapping(content, "groups"))
    for name, members in _mapping(content, "group_subtasks").items():
        if members and name not in configs and name in results:
            named.setdefault(name, results[name])
    groups = []
    for name, entries in named.items():
        if isinstance(entries, dict):
            metrics = _metrics(entries)
            groups.append(GroupResults(name, metrics, _group_sizes(entries, metrics)))
    return tuple(groups)


def _members(
    content: dict[str, Any], groups: tuple[GroupResults, ...]
) -> dict[str, tuple[str, ...]]:
    """Return the members of groups; before 0.4.3 only the tasks say which groups they are in."""
    if "group_subtasks" in content:
        return {
            name: tuple(map(str, members))
            for name, members in _mapping(content, "group_subtasks").items()
            if isinstance(members, list) and members
        }
    found: dict[str, list[str]] = {group.name: [] for group in groups}
    for task, config in _mapping(content, "configs").items():
        named = config.get("group") if isinstance(config, dict) else None
        for name in named if isinstance(named, list) else [named]:
            if isinstance(name, str) and name in found:
                found[name].append(task)
    return {name: tuple(members) for name, members in found.items() if members}


def _group_sizes(entries: dict[str, Any], metrics: Metrics) -> dict[tuple[str, str], int | None]:
    counts = _mapping(entries, "sample_count")
    total = _whole_or_none(entries.get("sample_len"))
    return {
        (filter_, metric): _whole_or_none(counts.get(f"{metric},{filter_}", total))
        for filter_, metric in metrics
    }


def _tasks(content: dict[str, Any], groups: set[str]) -> dict[str, TaskResults]:
    results = _mapping(content, "results")
    names = [name for name in results if name not in groups and isinstance(results[name], dict)]
    names += [name for name in _mapping(content, "configs") if name not in results]
    return {name: _task(content, name) for name in names}


def _task(content: dict[str, Any], name: str) -> TaskResults:
    config = _mapping(content, "configs").get(name)
    counts = _mapping(_mapping(content, "n-samples"), name)
    direction = _mapping(_mapping(content, "higher_is_better"), name)
    entries = _mapping(_mapping(content, "results"), name)
    return TaskResults(
        name=name,
        config_json=None if config is None else _storable_json(config),
        version_json=_storable_json(_version(content, name)),
        num_fewshot=_num_fewshot(content, name),
        n_original=_whole_or_none(counts.get("original")),
        n_effective=_whole_or_none(counts.get("effective")),
        metrics=_metrics(entries if "configs" in content else _with_filter(entries)),
        higher_is_better={
            metric: value if isinstance(value, bool) else None
            for metric, value in direction.items()
        },
    )


def _version(content: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - as logged
    """Return a task's version."""
    logged = _mapping(content, "versions").get(name)
    if logged != NOT_VERSIONED:
        return logged
    metadata = _mapping(_mapping(content, "configs"), name).get("metadata")
    if isinstance(metadata, list) and metadata:  # as 0.4.0 has it
        metadata = metadata[0]
    return metadata.get("version", logged) if isinstance(metadata, dict) else logged


def _num_fewshot(content: dict[str, Any], name: str) -> int | None:
    """Return how many examples a task had: before 0.4 it is one number for all tasks."""
    if "n-shot" in content:
        return _whole_or_none(_mapping(content, "n-shot").get(name))
    own = _mapping(_mapping(content, "configs"), name).get("num_fewshot")
    given = _mapping(content, "config").get("num_fewshot")
    return _whole_or_none(given if own is None else own)


def _with_filter(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the results of a task before 0.4 with the filter in their keys."""
    return {f"{metric},{NO_FILTER}": value for metric, value in entries.items()}


def _storable_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = json_exact.dumps(value)
    return json_exact.escaped(value) if json_exact.UNSTORABLE.search(text) else text


def _metrics(entries: dict[str, Any]) -> Metrics:
    """Take `"acc,none": 0.5, "acc_stderr,none": 0.1` apart; other entries have no comma."""
    named: dict[tuple[str, str], Any] = {}
    for key, value in entries.items():
        metric, comma, filter_ = key.partition(",")
        if comma:
            named[filter_, metric] = value
    return {
        (filter_, metric): (value, named.get((filter_, metric + STDERR)))
        for (filter_, metric), value in named.items()
        if not (metric.endswith(STDERR) and (filter_, metric.removesuffix(STDERR)) in named)
    }


def training_step(results: Results | None, file_name: str = "") -> int | None:
    """Return the training step that a run's results file or another file's name tells, if one does.

    Args:
        results: the results file, None where there is none.
        file_name: name of a file or folder that counts where the results file does not tell.
    """
    if results is not None and results.step is not None:
        return results.step
    return step_of({}, file_name)


def model_from_folder(path: str) -> str:
    """Return the model that a file's folder is named for: `org__name` stands for `org/name`."""
    name = folder_name(path).replace("__", "/", 1)
    return json_exact.storable(name)[0]
