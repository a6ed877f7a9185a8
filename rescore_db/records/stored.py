"""What is stored, as the listings show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run, as `rescore runs` lists it."""

    id: int
    name: str | None
    model: str
    date: str | None
    version: int
    lm_eval_version: str | None
    evaluations: int
    samples: int
    scorings: int
    step: int | None = None  # of training, as users say
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One evaluation of a run.

    Attributes:
        id: primary key, the first part of its samples' ids.
        task: name of the task.
        task_version: lm-eval's, None where unknown.
        task_hash: of the definition, hex.
        samples: how many are stored; 0 where only aggregates were logged.
        num_fewshot: None where unknown.
        incomplete: something is missing, see `notes`.
        hash_mismatches: samples with a logged hash that their content does not have.
        quarantined: lines of its file that could not be stored.
        notes: what was missing or odd at ingest.
    """

    id: int
    task: str
    task_version: str | None
    task_hash: str
    samples: int
    num_fewshot: int | None
    incomplete: bool
    hash_mismatches: int
    quarantined: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoringRow:
    """One scoring of one run, as `rescore scorings` lists it."""

    id: int
    name: str
    run: int
    model: str
    date: str | None
    kind: str
    subset: str | None
    status: str
    evaluations: int
    n: int
    created_at: str


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run with its evaluations and scorings."""

    run: RunRow
    ingested_at: str
    evaluations: tuple[EvaluationRow, ...]
    scorings: tuple[ScoringRow, ...]


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task definition, as `rescore tasks` lists it.

    Attributes:
        id: primary key of the definition.
        name: the task's name, which several definitions may have.
        version: lm-eval's, None where unknown.
        hash: of the definition, hex.
        output_type: "generate_until", "multiple_choice" …
        evaluations: how many used it.
        docs: how many docs they asked, each counted once.
        differs_from: the first definition of the same name; None where this one is the first.
        differing: the fields in which it differs from that, as far as both are known.
    """

    id: int
    name: str
    version: str | None
    hash: str
    output_type: str | None
    evaluations: int
    docs: int
    differs_from: int | None = None
    differing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One sample, as `rescore samples` lists it.

    Attributes:
        id: "<evaluation>:<position>".
        run: primary key of the run.
        model: its model.
        task: name of the task.
        position: 0, 1 … in the order of the file.
        doc_id: lm-eval's index of the row in the dataset, None where it logged none.
        doc_key: primary key of the doc in the store.
        doc: the dataset's row.
        prompt: what the model was given, first request.
        target: the reference.
        response: what the model answered; JSON where it was more than one text.
    """

    id: str
    run: int
    model: str
    task: str
    position: int
    doc_id: int | None
    doc_key: int
    doc: Any
    prompt: str | None
    target: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class SampleScore:
    """One score of one sample under one scoring."""

    scoring: str
    filter: str
    metric: str
    value: Any
    filtered: Any


@dataclass(frozen=True, slots=True)
class SampleDetail:
    """One sample with all that was asked, answered and scored."""

    sample: SampleRow
    requests: tuple[Any, ...]
    responses: Any
    scores: tuple[SampleScore, ...]


@dataclass(frozen=True, slots=True)
class SubsetRow:
    """One version of a subset."""

    id: int
    name: str
    version: int
    docs: int
    predicate: str
    run: str | None
    created_at: str
