"""What the rest of the program hands to the harness and gets back; no lm-eval in sight.

Plain frozen dataclasses; a request crosses a pipe as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Source = Literal["registry", "include-path", "task-yaml", "as-logged"]
"""Where a definition came from."""

FUNCTION: Final = "!function"
"""Key under which filters and metrics name a function or class: `{"!function": "module.name",
"sha256": …}`, with the SHA-256 of its source file."""


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """Which task is to be built, from which definition, with what changed.

    Attributes:
        name: the task's name, as lm-eval logged it; inline tasks of groups are `group::task`.
        include_paths: folders of task definitions; they win over lm-eval's registry, later ones
            over earlier ones.
        task_yaml: path of the one YAML file that defines the task, or None.
        as_logged: the definition is the config that lm-eval logged.
        config_json: that config as JSON text, None where it is still to be looked up.
        filters_json: a `filter_list` that replaces the task's own, as JSON text, or None.
        metrics_json: a `metric_list` that replaces the task's own, as JSON text, or None.
        code: (SHA-256, path) of the source files that filters and metrics refer to.
        allow_unsafe: build tasks that execute model-written code.
        groups: groups that the task was evaluated under; what they override applies to it.
    """

    name: str
    include_paths: tuple[str, ...] = ()
    task_yaml: str | None = None
    as_logged: bool = False
    config_json: str | None = None
    filters_json: str | None = None
    metrics_json: str | None = None
    code: tuple[tuple[str, str], ...] = ()
    allow_unsafe: bool = False
    groups: tuple[str, ...] = ()

    def to_json(self) -> str:
        """Return JSON text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TaskRequest:
        """Give back what `to_json` wrote."""
        fields = json.loads(text)
        fields["include_paths"] = tuple(fields["include_paths"])
        fields["code"] = tuple(map(tuple, fields.get("code", ())))
        fields["groups"] = tuple(fields.get("groups", ()))
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Sample:
    """One document with what was asked about it and what was answered.

    Attributes:
        doc: the document as logged.
        arguments: one list a request, as logged: `[[arg_0, arg_1, …], …]`.
        responses: one list a request of one entry a repeat, as logged: a text, or
            `["-1.25", "True"]` for a log-likelihood; native numbers of old logs do as well.
    """

    doc: Any
    arguments: list[list[Any]]
    responses: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Definition:
    """A task as lm-eval built it.

    Attributes:
        name: the task's name.
        version: lm-eval's `VERSION` of the task: a number, a text or None.
        output_type: `generate_until`, `multiple_choice`, `loglikelihood` …; None for classes
            that mix several.
        filters: names of the filters, in lm-eval's order.
        metrics: names of the metrics that the definition declares.
        source: where the definition came from.
        files: the YAML files it was read from, the task's own first; those of lm-eval relative
            to its task folder.
        config_json: the config, as lm-eval would log it.
        per_doc_filters: each document is filtered on its own, so that an evaluation may be
            scored in parts; False makes it one shard.
        nondeterministic: why two scorings may differ, or None.
        higher_is_better: by metric; None where lm-eval does not know.
        code: name and SHA-256 of the source file of every function and class in the config.
    """

    name: str
    version: Any
    output_type: str | None
    filters: tuple[str, ...]
    metrics: tuple[str, ...]
    source: Source
    files: tuple[str, ...]
    config_json: str
    per_doc_filters: bool
    nondeterministic: str | None
    higher_is_better: dict[str, bool | None]
    code: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SampleScores:
    """What one filter and `process_results` gave for one sample.

    Attributes:
        filter: the filter's name.
        index: which of the given samples this is, from 0.
        filtered: the filtered response of each request, as lm-eval would log it: texts, or
            lists of texts; empty where a filter failed.
        metrics: metric → value, exactly as `process_results` gave it; empty on error.
        error: what failed, and for which document; None when nothing did.
    """

    filter: str
    index: int
    filtered: list[Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
