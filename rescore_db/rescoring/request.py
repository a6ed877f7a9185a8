"""What a user may ask of a scoring and of a verification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """How stored responses are to be scored.

    Attributes:
        tasks: task names or patterns (`mmlu_*`); none means all.
        subset: name of a stored subset, or None.
        where: condition that chooses samples, or None.
        limit: at most this many samples of each evaluation, in position order.
        filters: path of a YAML file in lm-eval's `filter_list` syntax, or None.
        metrics: path of a YAML file in lm-eval's `metric_list` syntax, or None.
        include_paths: folders of task definitions that come before lm-eval's own.
        task_yaml: path of one task's definition, used for every chosen evaluation.
        as_logged: the definition is the config that lm-eval logged with each run, as far as it
            is declarative; `include_paths` then only define groups.
        bootstrap_iters: how often to resample for standard errors; None as the run did.
        recipe: name of a stored recipe, which says all of these; `include_paths` then only tell
            where its files are on this machine.
        strict: score no evaluation whose definition drifted.
        name: what the new scoring is called; None picks a name.
        workers: scoring children at once; None picks by cores and work.
        force: score again though a scoring holds the answer.
        allow_unsafe: score tasks that execute model-written code.
        timeout: seconds that a task's code may take for one document, and ten times as long for
            all of them together; None takes the setting's.
        memory: MB that a scoring child may use; None takes the setting's.
    """

    tasks: tuple[str, ...] = ()
    subset: str | None = None
    where: str | None = None
    limit: int | None = None
    filters: str | None = None
    metrics: str | None = None
    include_paths: tuple[str, ...] = ()
    task_yaml: str | None = None
    as_logged: bool = False
    bootstrap_iters: int | None = None
    recipe: str | None = None
    strict: bool = False
    name: str | None = None
    workers: int | None = None
    force: bool = False
    allow_unsafe: bool = False
    timeout: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """How the tasks of some patterns are scored: one entry of a recipe.

    Attributes:
        tasks: task names or patterns (`mmlu_*`); of a task, the first entry that names it counts.
        filters: path of a YAML file in lm-eval's `filter_list` syntax, or such a list, or None.
        metrics: path of a YAML file in lm-eval's `metric_list` syntax, or such a list, or None.
        include_paths: folders of task definitions that come before lm-eval's own.
        task_yaml: path of one task's definition.
        as_logged: the definition is the config that lm-eval logged, see `ScoreRequest`.
        bootstrap_iters: how often to resample for standard errors; None means lm-eval's default.
    """

    tasks: tuple[str, ...] = ()
    filters: str | list[dict[str, Any]] | None = None
    metrics: str | list[dict[str, Any]] | None = None
    include_paths: tuple[str, ...] = ()
    task_yaml: str | None = None
    as_logged: bool = False
    bootstrap_iters: int | None = None


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What is to be recomputed and compared with what lm-eval logged.

    Attributes:
        tasks: task names or patterns; none means all.
        include_paths: folders of task definitions that come before lm-eval's own.
        task_yaml: path of one task's definition, used for every chosen evaluation.
        as_logged: the definition is the config that lm-eval logged, see `ScoreRequest`.
        allow_unsafe: recompute tasks that execute model-written code.
        workers: scoring children at once; None picks by cores and work.
        max_differences: how many differences of one evaluation and filter are kept to show.
        timeout: seconds that a task's code may take for one document, and ten times as long for
            all of them together; None takes the setting's.
        memory: MB that a scoring child may use; None takes the setting's.
    """

    tasks: tuple[str, ...] = ()
    include_paths: tuple[str, ...] = ()
    task_yaml: str | None = None
    as_logged: bool = False
    allow_unsafe: bool = False
    workers: int | None = None
    max_differences: int = 5
    timeout: float | None = None
    memory: int | None = None
