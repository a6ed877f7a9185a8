"""The views that users' SQL reads, and what their columns mean.

They are the store's public face: the same on both databases, and stable across migrations, which
create them.  Documentation is generated from here, and a test compares it with both databases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class View:
    """One view: its name, what a row is, and its columns in order, each with its meaning."""

    name: str
    row: str
    columns: Mapping[str, str]


_RUN: Final = {
    "run": "the run's id",
    "model": "the model's name",
    "date": "when lm-eval ran, ISO 8601; NULL where nothing tells",
}
_SCORING: Final = {
    "scoring_id": "the scoring's id",
    "scoring": "the scoring's name",
    "kind": "`logged` by lm-eval, or `rescored`",
}
_DOC: Final = {
    "doc_id": "lm-eval's `doc_id`: the row's index in the dataset; NULL where it logged none",
    "doc_key": "the doc's id in `docs`",
}
_RESULT: Final = {
    "value": "the metric's value; NULL where it is not one number",
    "stderr": "its standard error; NULL where there is none",
    "n": "samples that have a score",
}

VIEWS: Final = (
    View(
        "runs",
        "one invocation of lm-eval for one model",
        {
            "id": "the run's id",
            "name": "the name that a user gave it",
            "model": _RUN["model"],
            "date": _RUN["date"],
            "version": "1, 2 … of the same model and date (of one results file if undated)",
            "step": "the training step that a user gave",
            "tags": "the tags that users gave, in order, with commas between; NULL for none",
            "lm_eval_version": "the lm-eval that made it, where it says so",
            "evaluations": "how many tasks",
            "samples": "how many samples",
            "is_newest": "whether it is the last of its versions",
        },
    ),
    View(
        "evaluations",
        "one run's samples for one task",
        {
            "id": "the evaluation's id",
            **_RUN,
            "task": "the task's name",
            "task_id": "the task definition's id",
            "samples": "how many samples",
            "n_original": "documents of the dataset, as lm-eval logged it",
            "n_effective": "documents that were asked, as lm-eval logged it",
            "num_fewshot": "examples in each prompt",
            "incomplete": "whether the file held fewer lines than it should",
            "hash_mismatches": "samples with a logged hash that their content does not have",
        },
    ),
    View(
        "tasks",
        "one task definition, as it was evaluated",
        {
            "id": "the task definition's id",
            "name": "the task's name",
            "version": "lm-eval's version of the task, as JSON",
            "hash": "SHA-256 of the definition, hexadecimal",
            "output_type": "`generate_until`, `multiple_choice` …",
            "evaluations": "how many evaluations used it",
        },
    ),
    View(
        "docs",
        "one row of a dataset, shared by all runs",
        {
            "id": "the doc's id",
            "hash": "lm-eval's `doc_hash` of its content, hexadecimal",
            "doc": "the row itself, JSON: `doc->>'question'`",
        },
    ),
    View(
        "samples",
        "one doc, answered in one evaluation",
        {
            "id": "`<evaluation>:<position>`",
            "evaluation": "the evaluation's id",
            **_RUN,
            "task": "the task's name",
            "position": "0, 1 … in the order of the file",
            **_DOC,
            "nth": "0 for a doc's first occurrence in the evaluation, 1 for its second …",
            "doc": "the row of the dataset, JSON",
            "prompt": "what the model was given, first request",
            "target": "the reference",
            "response": "what the model answered; JSON where it was more than one text",
        },
    ),
    View(
        "responses",
        "one response of one sample",
        {
            "sample": "`<evaluation>:<position>`",
            "evaluation": "the evaluation's id",
            "position": "the sample's position",
            "request": "0, 1 … among the sample's requests (the choices of a question)",
            "repeat": "0, 1 … among the answers to the same request",
            "response": "the text, or the JSON of a log-likelihood and whether it was greedy",
        },
    ),
    View(
        "scores",
        "one sample's score by one metric after one filter, in one scoring",
        {
            "sample": "`<evaluation>:<position>`",
            "evaluation": "the evaluation's id",
            **_RUN,
            "task": "the task's name",
            "scoring": _SCORING["scoring"],
            "scoring_id": _SCORING["scoring_id"],
            "scored_evaluation": "the id of this evaluation under this scoring",
            "filter": "the filter's name",
            "metric": "the metric's name",
            "position": "the sample's position",
            **_DOC,
            "value": "the score; NULL where it is not one number",
            "exact": "the score as JSON where one number does not say it all",
        },
    ),
    View(
        "metrics",
        "one metric of one task after one filter, in one scoring",
        {
            **_SCORING,
            **_RUN,
            "task": "the task's name",
            "filter": "the filter's name",
            "metric": "the metric's name",
            **_RESULT,
            "status": "`pending`, `complete`, `nondeterministic`, `unsupported` or `failed`",
            "higher_is_better": "whether more is better; NULL where nothing tells",
        },
    ),
    View(
        "group_metrics",
        "one metric of one group of tasks, in one scoring",
        {
            **_SCORING,
            **_RUN,
            "task": "the group's name",
            "filter": "the filter's name",
            "metric": "the metric's name",
            **_RESULT,
        },
    ),
    View(
        "scorings",
        "one way of scoring one run",
        {
            "id": "the scoring's id",
            **_RUN,
            "kind": _SCORING["kind"],
            "name": "its name, unique in its run",
            "attempt": "1, 2 … of the same way",
            "status": "of its evaluations: `failed`, `pending`, `unsupported` or "
            "`nondeterministic` where one of them is (the first of these), else `complete`",
            "n": "samples selected, over all its evaluations",
        },
    ),
    View(
        "subsets",
        "one doc of one version of a subset; an empty subset has a row without a doc",
        {
            "id": "the id of this version",
            "name": "the subset's name",
            "version": "1, 2 …",
            "predicate": "the condition that chose the docs",
            "task": "the task's name",
            "doc_key": _DOC["doc_key"],
        },
    ),
    View(
        "history",
        "one metric of one run, with what it was scored by",
        {
            **_RUN,
            "task": "the task's name",
            "filter": "the filter's name",
            "metric": "the metric's name",
            "scoring": _SCORING["scoring"],
            "kind": _SCORING["kind"],
            "recipe": "SHA-256 of the recipe, hexadecimal; NULL for what lm-eval logged",
            **_RESULT,
        },
    ),
)
