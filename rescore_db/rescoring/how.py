"""How evaluations are scored: what a request says, with its files read, and the recipe that makes.

A request has one way for all tasks; a named recipe has one for each of its task patterns.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.rescoring import groups, overrides
from rescore_db.store import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from rescore_db.harness.interface import TaskRequest
    from rescore_db.rescoring.request import RecipeEntry, ScoreRequest, VerifyRequest
    from rescore_db.store.evaluations import StoredEvaluation

NAME: Final = re.compile(r"[\w.-]{1,100}", re.ASCII)
"""What a scoring may be called: `RUN:SCORING/FILTER` must stay readable, also by programs."""

DEFAULT_BOOTSTRAP_ITERS: Final = 100_000  # lm-eval's own


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run's results file says beyond its tasks.

    Attributes:
        bootstrap_iters: how often lm-eval resampled for standard errors.
        members: group → direct members, plain tasks left out.
    """

    bootstrap_iters: int
    members: dict[str, list[str]]

    @classmethod
    def read(cls, conn: Connection, run_id: int) -> RunFacts:
        """Read a run's results file, if there was one."""
        text = runs.get_results_json(conn, run_id)
        results = json.loads(text) if text else {}
        config = results.get("config")
        iters = config.get("bootstrap_iters") if isinstance(config, dict) else None
        return cls(
            iters if isinstance(iters, int) else DEFAULT_BOOTSTRAP_ITERS,
            groups.group_members(results),
        )

    def groups_of(self, task: str) -> tuple[str, ...]:
        """Return the groups above a task: what they override applies to it."""
        return tuple(g for g in self.members if task in groups.leaves(g, self.members))


@dataclass(frozen=True, slots=True)
class Way:
    """One way of scoring tasks: options with their files read.

    Attributes:
        tasks: patterns of the tasks that it is for; none means every task.
        template: the task request, but for the task's name.
        source: where definitions come from, as recipes say it.
        bootstrap_iters: how often to resample for standard errors; None as the run did.
    """

    tasks: tuple[str, ...]
    template: TaskRequest
    source: str
    bootstrap_iters: int | None

    def covers(self, task: str) -> bool:
        """Tell whether a task is scored this way."""
        return not self.tasks or any(fnmatch.fnmatchcase(task, one) for one in self.tasks)

    def iters_for(self, facts: RunFacts) -> int:
        """Return how often to resample for standard errors of a run."""
        return facts.bootstrap_iters if self.bootstrap_iters is None else self.bootstrap_iters

    def request_for(self, task: str, facts: RunFacts) -> str:
        """Return the task request for one task of a run, as JSON."""
        return replace(self.template, name=task, groups=facts.groups_of(task)).to_json()

    def options(self) -> dict[str, Any]:
        """Return what identifies this way, without tasks and paths."""
        return {
            "source": self.source,
            "filters": json.loads(self.template.filters_json or "null"),
            "metrics": json.loads(self.template.metrics_json or "null"),
        }


@dataclass(frozen=True, slots=True)
class How:
    """What a request says, the same for every run.

    Attributes:
        ways: of a task, the first that covers it counts.
        how_json: what identifies a scoring of this kind.
        name: what to call it when the user does not say.
        subset: `NAME@VERSION` of the subset, or None.
    """

    ways: tuple[Way, ...]
    how_json: str
    name: str
    subset: str | None

    def way_for(self, task: str) -> Way | None:
        """Return how a task is scored, None if it is not."""
        return next((way for way in self.ways if way.covers(task)), None)

    @property
    def include_paths(self) -> tuple[str, ...]:
        """Where definitions, of groups too, are looked for first."""
        return tuple(
            dict.fromkeys(path for way in self.ways for path in way.template.include_paths)
        )


def read_how(request: ScoreRequest, subset: str | None) -> How:
    """Read a request's files and give it its identity.

    Raises:
        NotFoundError: a file does not exist.
        UsageError: a file is malformed, or a number is too small.
    """
    check_name(request.name)
    way = read_way(request)
    how = {**way.options(), "selection": selection_of(request, subset)}
    if way.bootstrap_iters is not None:
        how["bootstrap_iters"] = way.bootstrap_iters
    named = [Path(path).stem for path in (request.filters, request.metrics) if path]
    return How((way,), json.dumps(how, sort_keys=True), name_of(request, *named), subset)


def check_name(name: str | None) -> None:
    """Refuse a scoring's name that references could not hold.

    Raises:
        UsageError: it is such a name.
    """
    if name is not None and NAME.fullmatch(name) is None:
        msg = f"--name {name!r}: use letters, digits, '.', '_' and '-', at most 100"
        raise UsageError(msg)


def selection_of(request: ScoreRequest, subset: str | None) -> dict[str, Any]:
    """Return what a request says of samples, empty where it means all.

    Raises:
        UsageError: the limit is not positive.
    """
    if request.limit is not None and request.limit < 1:
        msg = f"--limit {request.limit}: at least 1 sample is needed"
        raise UsageError(msg)
    chosen = {"where": request.where, "subset": subset, "limit": request.limit}
    return {key: value for key, value in chosen.items() if value is not None}


def read_way(
    options: ScoreRequest | RecipeEntry,
    tasks: Sequence[str] = (),
    code: Mapping[str, str] | None = None,
) -> Way:
    """Read the files that options name.

    Args:
        options: what the user says.
        tasks: patterns of the tasks that the way is for; none means every task.
        code: SHA-256 → path of the source files that lists among the options refer to.

    Raises:
        NotFoundError: a file does not exist.
        UsageError: a file is malformed, or a number is too small.
    """
    iters = options.bootstrap_iters
    if iters is not None and iters < 0:
        msg = f"bootstrap_iters {iters}: 0 for no standard errors, or more"
        raise UsageError(msg)
    filters = _overrides(
        options.filters, "filters", overrides.read_filters, overrides.checked_filters
    )
    metrics = _overrides(
        options.metrics, "metrics", overrides.read_metrics, overrides.checked_metrics
    )
    files = dict(code or {}) | (dict(filters.code) if filters else {})
    files |= dict(metrics.code) if metrics else {}
    template = replace(
        task_request(options),
        filters_json=json.dumps(filters.entries) if filters else None,
        metrics_json=json.dumps(metrics.entries) if metrics else None,
        code=tuple(sorted(files.items())),
    )
    return Way(tuple(tasks), template, _source(options), iters)


def _overrides(
    given: Any,  # noqa: ANN401 - a path, a parsed list, or nothing
    what: str,
    read: Callable[[str], overrides.Overrides],
    check: Callable[[Any, str], overrides.Entries],
) -> overrides.Overrides | None:
    if given is None:
        return None
    return read(given) if isinstance(given, str) else overrides.Overrides(check(given, what), {})


def task_request(request: ScoreRequest | RecipeEntry | VerifyRequest) -> TaskRequest:
    """Return where definitions are looked for, with absolute paths, for any task.

    Raises:
        NotFoundError: an include path or YAML file does not exist.
        UsageError: two definitions are asked for.
    """
    from rescore_db.harness.interface import TaskRequest

    if request.as_logged and request.task_yaml:
        msg = "--as-logged and --task-yaml exclude each other: each is a whole definition"
        raise UsageError(msg)
    named = [("--include-path", path) for path in request.include_paths]
    if request.task_yaml:
        named.append(("--task-yaml", request.task_yaml))
    for option, path in named:
        if not Path(path).exists():
            msg = f"{option} {path}: there is no such {'file' if 'yaml' in option else 'folder'}"
            raise NotFoundError(msg)
    return TaskRequest(
        name="",
        include_paths=tuple(str(Path(path).resolve()) for path in request.include_paths),
        task_yaml=str(Path(request.task_yaml).resolve()) if request.task_yaml else None,
        as_logged=request.as_logged,
        allow_unsafe=getattr(request, "allow_unsafe", False),
    )


def _source(options: ScoreRequest | RecipeEntry) -> str:
    """Name where definitions come from; what they say is part of each recipe."""
    if options.as_logged:
        return "as-logged"
    if options.task_yaml is None:
        return "include-path" if options.include_paths else "registry"
    try:
        digest = hashlib.sha256(Path(options.task_yaml).read_bytes()).hexdigest()
    except OSError as error:
        msg = f"--task-yaml {options.task_yaml}: {error.strerror or error}"
        raise NotFoundError(msg) from None
    return f"task-yaml {digest}"


def name_of(request: ScoreRequest, *named: str) -> str:
    """Make a scoring's name of what is special about a request, such as its recipe's name."""
    parts = list(named)
    if request.subset:
        parts.append(request.subset.replace("@", "."))
    elif request.where:
        parts.append("where")
    if request.limit:
        parts.append(f"first-{request.limit}")
    return re.sub(r"[^\w.-]", "-", "-".join(parts), flags=re.ASCII)[:80] or "rescored"


def recipe_json(
    evaluation: StoredEvaluation, definition: Mapping[str, Any], way: Way, facts: RunFacts
) -> str:
    """Return what is applied to one task, as the text whose hash identifies it.

    No path, address or environment is in it: two machines that apply the same thing agree.

    Args:
        evaluation: an evaluation of the task.
        definition: the fields of the task's `Definition`.
        way: how it is scored.
        facts: what the evaluation's run says.
    """
    from rescore_db.harness_log.definition import definition_hash

    content = {
        "task": evaluation.task,
        "version": definition["version"],
        "definition": definition_hash(definition["config_json"]).hex(),
        "code": definition["code"],
        **way.options(),
        "bootstrap_iters": way.iters_for(facts),
    }
    return json.dumps(content, sort_keys=True)
