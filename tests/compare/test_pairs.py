from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from rescore_db.compare import CompareOptions, compare_runs
from rescore_db.errors import BadSqlError, NotFoundError, UsageError
from rescore_db.store import schema
from rescore_db.store.engine import atomic
from tests.small_store import (
    ABSENT,
    DAY,
    Evaluation,
    Metric,
    add_evaluation,
    add_logged_run,
    add_run,
    add_scoring,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from rescore_db.records import CompareRow

STORED = "a and b are the stored aggregates, without a standard error"
EMPTY = "and is not aggregated again over the pairs: a and b are empty"
HOW_TO_PAIR = "RUN/FILTER against RUN/FILTER compares filters of other names"
DOCS = [{"q": i, "level": i % 3} for i in range(6)]


def sums(values: Sequence[Any], **changes: Any) -> Evaluation:
    """Six documents of one task with one metric."""
    metric = Metric(values, higher_is_better=changes.pop("higher_is_better", True))
    return Evaluation("sums", DOCS[: len(values)], {("none", "acc"): metric}, **changes)


def two_runs(engine: Engine, a: Evaluation, b: Evaluation) -> None:
    add_logged_run(engine, "dove", a)
    add_logged_run(engine, "wren", b)


def only_row(engine: Engine, *references: str, **options: Any) -> CompareRow:
    rows = compare_runs(engine, references or ("dove", "wren"), CompareOptions(**options))
    assert len(rows) == 1
    return rows[0]


# -------------------------------------------------------------------------------------- the means


def test_two_runs_are_compared_over_their_pairs(engine: Engine) -> None:
    two_runs(engine, sums([0.0, 0.0, 0.0, 1.0]), sums([1.0, 1.0, 0.0, 0.0]))

    row = only_row(engine)

    assert (row.run_a, row.run_b) == (f"dove@{DAY}", f"wren@{DAY}")
    assert (row.task, row.filter, row.metric) == ("sums", "none", "acc")
    assert (row.n, row.unpaired) == (4, 0)
    assert (row.a, row.b, row.diff) == (0.25, 0.5, 0.25)
    assert row.stderr == pytest.approx(math.sqrt(11 / 12) / 2)
    assert row.ci_low == pytest.approx(0.25 - 3.182446305 * math.sqrt(11 / 12) / 2)
    assert row.ci_high == pytest.approx(0.25 + 3.182446305 * math.sqrt(11 / 12) / 2)
    assert (row.improved, row.regressed, row.unchanged) == (2, 1, 1)
    assert (row.test, row.p, row.p_adjusted) == (None, None, None)
    assert row.verdict == "unclear"
    assert row.warnings == ()


def test_means_are_over_the_pairs_and_the_rest_is_counted(engine: Engine) -> None:
    two_runs(engine, sums([0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), sums([1.0, 0.0, 1.0]))

    row = only_row(engine)

    assert (row.n, row.unpaired) == (3, 3)
    assert [row.a, row.b] == pytest.approx([1 / 3, 2 / 3])


def test_lower_can_be_better(engine: Engine) -> None:
    two_runs(
        engine,
        sums([3, 4, 5, 6], higher_is_better=False),
        sums([1, 1, 2, 4], higher_is_better=False),
    )

    row = only_row(engine)

    assert (row.improved, row.regressed, row.verdict) == (4, 0, "better")
    assert row.diff == -2.5


def test_an_unknown_direction_is_said(engine: Engine) -> None:
    two_runs(
        engine, sums([0.0, 1.0], higher_is_better=None), sums([1.0, 1.0], higher_is_better=None)
    )

    row = only_row(engine)

    assert (row.improved, row.regressed) == (1, 0)
    assert row.warnings == ("nothing tells whether higher is better: an increase counts as better",)


def test_booleans_and_integers_are_numbers(engine: Engine) -> None:
    two_runs(engine, sums([True, False, False]), sums([1, 1, 0]))

    row = only_row(engine)

    assert [row.a, row.b] == pytest.approx([1 / 3, 2 / 3])
    assert row.improved == 1


def test_values_that_are_not_finite_leave_the_numbers_empty(engine: Engine) -> None:
    task = {"definition": {"metric_list": [{"metric": "acc", "aggregation": "mean"}]}}
    two_runs(engine, sums([math.nan, 1.0, 0.0], **task), sums([1.0, 1.0, 1.0], **task))

    row = only_row(engine)

    assert (row.a, row.b, row.diff, row.stderr) == (None, 1.0, None, None)
    assert (row.improved, row.regressed, row.unchanged) == (1, 0, 1)
    assert row.warnings == ("1 pairs hold values that are not finite numbers",)


def test_runs_without_a_common_document_still_have_a_row(engine: Engine) -> None:
    a = Evaluation("sums", ["x", "y"], {("none", "acc"): Metric([1.0, 0.0])})
    b = Evaluation("sums", ["z"], {("none", "acc"): Metric([1.0])})
    two_runs(engine, a, b)

    row = only_row(engine)

    assert (row.n, row.unpaired) == (0, 3)
    assert (row.a, row.b, row.diff, row.stderr, row.verdict) == (None,) * 5
    assert row.warnings == ("no pairs: no document was answered by both sides",)


def test_a_run_of_aggregates_only_has_no_pairs_and_says_why(engine: Engine) -> None:
    two_runs(engine, sums([1.0, 0.0]), sums([1.0, 1.0], has_samples=False))

    row = only_row(engine)

    assert (row.n, row.a, row.b, row.unpaired) == (0, None, None, 2)
    assert row.warnings == ("no pairs: no scores of single samples in b",)


# ------------------------------------------------------------------------- other than plain means


def corpus(values: Sequence[Any], aggregate: object, **changes: Any) -> Evaluation:
    metric = Metric(values, aggregate=aggregate)
    return Evaluation("sums", DOCS[: len(values)], {("none", "f1"): metric}, **changes)


def test_a_corpus_metric_shows_its_aggregates_when_everything_is_paired(engine: Engine) -> None:
    two_runs(engine, corpus([(1, 0), (1, 1)], 0.5), corpus([(1, 1), (1, 1)], 1.0))

    row = only_row(engine)

    assert (row.n, row.a, row.b, row.diff) == (2, 0.5, 1.0, 0.5)
    assert (row.stderr, row.ci_low, row.ci_high, row.verdict) == (None,) * 4
    assert (row.improved, row.regressed, row.unchanged) == (None,) * 3
    assert row.warnings == (f"f1 is not one number per sample: {STORED}",)


@pytest.mark.parametrize(
    "options", [{"where": "level = 1"}, {}], ids=["chosen documents", "unpaired samples"]
)
def test_a_corpus_metric_over_fewer_pairs_is_empty(engine: Engine, options: Any) -> None:
    more = [(1, 1)] * (2 if options else 3)
    two_runs(engine, corpus([(1, 0), (1, 1)], 0.5), corpus(more, 1.0))

    row = only_row(engine, **options)

    assert (row.a, row.b, row.diff) == (None, None, None)
    assert row.n == (1 if options else 2)
    assert row.warnings == (f"f1 is not one number per sample, {EMPTY}",)


def test_a_median_is_never_taken_for_a_mean(engine: Engine) -> None:
    a, b = corpus([0.0, 0.0, 9.0], 0.0), corpus([1.0, 5.0, 9.0], 5.0)  # the mean of b is 5 as well
    two_runs(engine, a, b)

    row = only_row(engine)

    assert (row.a, row.b, row.diff, row.stderr) == (0.0, 5.0, 5.0, None)
    assert (row.improved, row.regressed, row.unchanged) == (None,) * 3
    assert row.warnings == (f"f1 is not the mean of its scores (a): {STORED}",)


def test_aggregates_of_an_incomplete_evaluation_are_not_those_of_its_samples(
    engine: Engine,
) -> None:
    two_runs(engine, corpus([(1, 0), (1, 1)], 0.5, incomplete=True), corpus([(1, 1), (1, 1)], 1.0))

    row = only_row(engine)

    assert (row.a, row.b) == (None, None)
    assert row.warnings[-1] == "a: incomplete: not all samples are in the store"


def test_a_declared_mean_of_an_incomplete_evaluation_is_computed(engine: Engine) -> None:
    task: dict[str, Any] = {
        "definition": {"metric_list": [{"metric": "f1", "aggregation": "mean"}]}
    }
    two_runs(
        engine, corpus([1.0, 0.0], 0.9, incomplete=True, **task), corpus([1.0, 1.0], 1.0, **task)
    )

    row = only_row(engine)

    assert (row.a, row.b, row.stderr) == (0.5, 1.0, 0.5)


def test_a_declared_mean_with_another_aggregate_is_computed_and_said(engine: Engine) -> None:
    task: dict[str, Any] = {
        "definition": {"metric_list": [{"metric": "f1", "aggregation": "mean"}]}
    }
    two_runs(engine, corpus([1.0, 0.0], 0.9, **task), corpus([1.0, 1.0], 1.0, **task))

    row = only_row(engine)

    assert (row.a, row.b, row.stderr) == (0.5, 1.0, 0.5)
    assert row.warnings == ("a: the stored aggregate 0.9 is not the mean of the stored scores",)


def test_null_scores_are_not_numbers(engine: Engine) -> None:
    two_runs(engine, corpus([None, None], 999), corpus([None, None], 999))

    row = only_row(engine)

    assert (row.n, row.a, row.b, row.stderr) == (2, 999, 999, None)


def test_an_aggregate_that_is_no_number_is_empty(engine: Engine) -> None:
    two_runs(engine, corpus([(1, 0)], math.nan), corpus([(1, 0)], "N/A"))

    row = only_row(engine)

    assert (row.a, row.b, row.diff) == (None, None, None)


# ----------------------------------------------------------------------------- filters, scorings


def two_filters(strict: Sequence[float], loose: Sequence[float], task: str = "sums") -> Evaluation:
    return Evaluation(
        task,
        DOCS[: len(strict)],
        {("strict", "acc"): Metric(strict), ("loose", "acc"): Metric(loose)},
    )


def test_filters_of_equal_names_are_paired_and_none_is_averaged(engine: Engine) -> None:
    two_runs(engine, two_filters([0.0, 0.0], [1.0, 0.0]), two_filters([1.0, 0.0], [1.0, 1.0]))

    rows = compare_runs(engine, ["dove", "wren"], CompareOptions())

    assert [(row.filter, row.a, row.b) for row in rows] == [
        ("strict", 0.0, 0.5),
        ("loose", 0.5, 1.0),
    ]


def test_two_filters_of_one_run_are_compared(engine: Engine) -> None:
    add_logged_run(engine, "dove", two_filters([0.0, 0.0, 1.0], [1.0, 0.0, 1.0]))

    row = only_row(engine, "dove/strict", "dove/loose")

    assert row.filter == "strict→loose"
    assert (row.n, row.improved, row.regressed, row.unchanged) == (3, 1, 0, 2)
    assert row.run_a == row.run_b == f"dove@{DAY}"
    assert row.warnings == ()


def test_one_named_filter_leaves_the_others_out_on_both_sides(engine: Engine) -> None:
    two_runs(engine, two_filters([0.0, 0.0], [1.0, 0.0]), two_filters([1.0, 0.0], [1.0, 1.0]))

    row = only_row(engine, "dove/strict", "wren")

    assert (row.filter, row.a, row.b) == ("strict", 0.0, 0.5)


def test_a_run_is_compared_with_a_scoring_of_its_own(engine: Engine) -> None:
    run_id = add_logged_run(engine, "dove", sums([0.0, 1.0, 0.0]))
    scoring_id = add_scoring(engine, run_id, "lenient")
    add_evaluation(engine, run_id, scoring_id, sums([1.0, 1.0, 0.0]), recipe="{}")

    row = only_row(engine, "dove", "dove:lenient")

    assert (row.run_a, row.run_b) == (f"dove@{DAY}", f"dove@{DAY}:lenient")
    assert (row.n, row.improved, row.unchanged) == (3, 1, 2)
    assert row.warnings == ()


def test_scorings_of_two_runs_that_differ_are_said(engine: Engine) -> None:
    first = add_logged_run(engine, "dove", sums([0.0, 1.0]))
    second = add_logged_run(engine, "wren", sums([0.0, 1.0]))
    for run_id, recipe in ((first, "{}"), (second, '{"seed": 1}')):
        scoring_id = add_scoring(engine, run_id, "mine")
        add_evaluation(engine, run_id, scoring_id, sums([1.0, 1.0]), recipe=recipe)

    both = only_row(engine, "dove:mine", "wren:mine")
    one = only_row(engine, "dove", "wren:mine")

    assert both.warnings == ("scored by different recipes",)
    assert one.warnings == ("only b is rescored, the other is as lm-eval logged it",)


# -------------------------------------------------------------------------- what one side has only


def test_nothing_that_only_one_side_has_is_dropped(engine: Engine) -> None:
    more = replace(
        two_filters([0.0, 1.0], [1.0, 0.0], task="more"),
        metrics={
            ("none", "acc"): Metric([0.0, 1.0]),
            ("none", "bleu"): Metric([0.0, 1.0]),
        },
    )
    extra = Evaluation(
        "sums",
        DOCS[:3],
        {
            ("none", "acc"): Metric([1.0, 1.0, 0.0]),
            ("none", "f1"): Metric([1.0, 1.0, 0.0]),
            ("loose", "acc"): Metric([1.0, 1.0, 0.0]),
        },
    )
    add_logged_run(engine, "dove", sums([0.0, 1.0, 1.0]), more)
    add_logged_run(engine, "wren", extra)

    rows = compare_runs(engine, ["dove", "wren"], CompareOptions())

    told = [(r.task, r.filter, r.metric, r.n, r.unpaired, r.warnings) for r in rows]
    assert told == [
        ("sums", "none", "acc", 3, 0, ()),
        ("more", "none", "*", 0, 2, ("only a has this task",)),
        ("sums", "none", "f1", 0, 3, ("only b has this metric",)),
        (
            "sums",
            "loose",
            "acc",
            0,
            3,
            (f"only b has this filter; {HOW_TO_PAIR}",),
        ),
    ]
    assert {(row.a, row.b, row.diff, row.verdict) for row in rows[1:]} == {(None,) * 4}


def test_two_scorings_of_one_run_compare_their_only_filters(engine: Engine) -> None:
    run_id = add_run(engine, "dove")
    for name, values in (("strict", [0.0, 1.0, 0.0]), ("loose", [1.0, 1.0, 1.0])):
        metrics = {(name, "acc"): Metric(values, higher_is_better=True)}
        scoring_id = add_scoring(engine, run_id, name)
        add_evaluation(engine, run_id, scoring_id, Evaluation("sums", DOCS[:3], metrics))

    row = only_row(engine, "dove:strict", "dove:loose")

    assert (row.filter, row.n, row.a, row.b) == ("strict→loose", 3, 1 / 3, 1.0)
    assert (row.improved, row.regressed, row.warnings) == (2, 0, ())


def test_a_row_of_one_side_says_which(engine: Engine) -> None:
    two_runs(engine, sums([1.0]), replace(sums([1.0]), task="words"))

    rows = compare_runs(engine, ("dove", "wren"), CompareOptions())

    assert [(row.task, row.only) for row in rows] == [("sums", "a"), ("words", "b")]


def test_a_task_that_could_not_be_scored_says_why(engine: Engine) -> None:
    failed = replace(
        sums([0.0, 1.0], status="unsupported", reason="it needs punkt_tab"), metrics={}
    )
    two_runs(engine, sums([0.0, 1.0]), failed)

    row = only_row(engine)

    assert row.warnings == (
        "only a has scores of this task",
        "b: unsupported: it needs punkt_tab",
    )


def test_lone_samples_are_counted_over_the_chosen_documents(engine: Engine) -> None:
    other = replace(sums([1.0]), task="other")
    two_runs(engine, sums([0.0, 1.0, 1.0, 1.0]), other)

    rows = compare_runs(engine, ["dove", "wren"], CompareOptions(where="level = 0"))

    assert [(row.task, row.unpaired) for row in rows] == [("other", 1), ("sums", 2)]


# --------------------------------------------------------------------------------------- choosing


@pytest.fixture
def many(engine: Engine) -> None:
    evaluations = [two_filters([0.0, 1.0], [1.0, 1.0], task=t) for t in ("sums", "words", "works")]
    groups = {"group_subtasks": {"all": ["sums", "letters"], "letters": ["words", "works"]}}
    for model in ("dove", "wren"):
        add_logged_run(engine, model, *evaluations, results_json=json.dumps(groups))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 6),
        ({"tasks": ["sums"]}, 2),
        ({"tasks": ["wor*"]}, 4),
        ({"tasks": ["letters"]}, 4),
        ({"tasks": ["all"]}, 6),
        ({"filters": ["strict"]}, 3),
        ({"filters": ["strict"], "tasks": ["words", "sums"]}, 2),
        ({"metrics": ["a*"]}, 6),
    ],
)
@pytest.mark.usefixtures("many")
def test_tasks_groups_filters_and_metrics_narrow_the_rows(
    engine: Engine,
    options: Any,
    expected: int,
) -> None:
    rows = compare_runs(engine, ["dove", "wren"], CompareOptions(**options))

    assert len(rows) == expected
    assert rows.to_dicts() == (
        compare_runs(engine, ["dove", "wren"], CompareOptions(**options)).to_dicts()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ["sum"]}, "no task named 'sum'; did you mean sums"),
        ({"filters": ["strct"]}, "no filter named 'strct'; did you mean strict"),
        ({"metrics": ["f1"]}, "no metric named 'f1'; there are: acc"),
        ({"tasks": ["words"], "filters": ["x*"]}, "no filter named 'x"),
        ({"where": "level = 99"}, "no document that was chosen"),
        ({"subset": "hard"}, "hard"),
        ({"baseline": "crow"}, "no run named 'crow'"),
    ],
)
@pytest.mark.usefixtures("many")
def test_what_is_not_there_is_named(engine: Engine, options: Any, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        compare_runs(engine, ["dove", "wren"], CompareOptions(**options))


@pytest.mark.usefixtures("many")
def test_a_bad_condition_is_an_error(engine: Engine) -> None:
    with pytest.raises(BadSqlError):
        compare_runs(engine, ["dove", "wren"], CompareOptions(where="level ="))


def test_a_condition_chooses_documents(engine: Engine) -> None:
    two_runs(engine, sums([0.0, 0.0, 0.0, 1.0]), sums([1.0, 1.0, 0.0, 0.0]))

    row = only_row(engine, where="level = 0")

    assert (row.n, row.a, row.b, row.unpaired) == (2, 0.5, 0.5, 0)


def test_a_subset_chooses_documents_and_the_condition_narrows_it(engine: Engine) -> None:
    two_runs(engine, sums([0.0, 0.0, 0.0, 1.0]), sums([1.0, 1.0, 0.0, 0.0]))
    with atomic(engine) as conn:
        docs = conn.scalars(select(schema.doc.c.id).order_by(schema.doc.c.id)).all()[:3]
        conn.execute(schema.subset.insert().values(id=1, name="easy"))
        version = {"id": 1, "subset_id": 1, "version": 1, "predicate": "x", "n": 3}
        conn.execute(schema.subset_version.insert().values(**version, created_at=""))
        for doc in docs:
            member = {"subset_version_id": 1, "task_name": "sums", "doc_id": doc}
            conn.execute(schema.subset_doc.insert().values(**member))

    assert only_row(engine, subset="easy").n == 3
    assert only_row(engine, subset="easy", where="level > 0").n == 2


def test_several_sides_stand_against_the_first_or_the_baseline(engine: Engine) -> None:
    for model, value in (("dove", 0.0), ("wren", 1.0), ("crow", 0.5)):
        add_logged_run(engine, model, sums([value, value]))

    first = compare_runs(engine, ["dove", "wren", "crow"], CompareOptions())
    named = compare_runs(engine, ["dove", "wren", "crow"], CompareOptions(baseline="wren"))
    added = compare_runs(engine, ["dove"], CompareOptions(baseline="crow"))

    assert [(row.run_a[:4], row.run_b[:4], row.diff) for row in first] == [
        ("dove", "wren", 1.0),
        ("dove", "crow", 0.5),
    ]
    assert [(row.run_a[:4], row.run_b[:4]) for row in named] == [
        ("wren", "dove"),
        ("wren", "crow"),
    ]
    assert [(row.run_a[:4], row.run_b[:4]) for row in added] == [("crow", "dove")]


@pytest.mark.parametrize("references", [[], ["dove"]])
def test_one_side_is_not_a_comparison(engine: Engine, references: list[str]) -> None:
    add_logged_run(engine, "dove", sums([1.0]))

    with pytest.raises(UsageError, match="two sides"):
        compare_runs(engine, references, CompareOptions())
    with pytest.raises(UsageError, match="two sides"):
        compare_runs(engine, references, CompareOptions(baseline="dove"))


# --------------------------------------------------------------------------------------- warnings


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompt": "Question: {doc}"}, "prompts: 2 of 2 pairs were asked with another prompt"),
        ({"num_fewshot": 5}, "few-shot examples: 0 against 5"),
        ({"num_fewshot": None}, None),
        (
            {"version": "2.0"},
            'task definition differs (version "1.0" against "2.0"): version',
        ),
        (
            {"definition": {"doc_to_text": "{{q}}?", "a": 1}},
            'task definition differs (version "1.0"): a, doc_to_text',
        ),
        (
            {"definition": dict.fromkeys("abcdefgh")},
            'task definition differs (version "1.0"): a, b, c, d, e, f …',
        ),
        (
            {"definition": {"num_fewshot": 5}, "num_fewshot": 5},
            "few-shot examples: 0 against 5",
        ),
        ({"incomplete": True}, "b: incomplete: not all samples are in the store"),
        (
            {"status": "nondeterministic", "reason": "random letters"},
            "b: nondeterministic: random letters",
        ),
    ],
)
def test_other_conditions_of_a_task_are_said(
    engine: Engine,
    changes: Any,
    expected: str | None,
) -> None:
    two_runs(engine, sums([0.0, 1.0]), sums([1.0, 1.0], **changes))

    row = only_row(engine)

    assert row.n == 2
    assert [text.startswith(str(expected)) for text in row.warnings] == (
        [] if expected is None else [True]
    )


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"chat_template": "<user>"}, {}, ["chat template: only a"]),
        ({"chat_template_sha": "1"}, {"chat_template_sha": "2"}, ["chat template: not the same"]),
        ({}, {"system_instruction": "Be brief."}, ["system instruction: only b"]),
        (
            {"lm_eval_version": "0.4.9"},
            {"lm_eval_version": "0.4.13"},
            ["lm-eval version: 0.4.9 against 0.4.13"],
        ),
        ({"lm_eval_version": "0.4.9"}, {}, []),
        ({"fewshot_as_multiturn": True}, {}, ["few-shot examples as turns: only a"]),
        (
            {"config": {"gen_kwargs": {"temperature": 1}}},
            {"config": {"gen_kwargs": {"temperature": 0}}},
            ["generation arguments: not the same"],
        ),
        ({"fewshot_as_multiturn": False}, {"fewshot_as_multiturn": None}, []),
        ({"chat_template": "<user>"}, None, []),
        ({"chat_template": "<user>"}, [], []),
    ],
)
def test_other_settings_of_a_run_are_said(
    engine: Engine, left: object, right: object, expected: list[str]
) -> None:
    for model, results in (("dove", left), ("wren", right)):
        text = None if results is None else json.dumps(results)
        add_logged_run(engine, model, sums([1.0, 0.0]), results_json=text)

    assert list(only_row(engine).warnings) == expected


def test_a_sample_without_a_score_is_unpaired(engine: Engine) -> None:
    a = sums([0.0, 1.0, ABSENT])
    two_runs(engine, a, sums([1.0, 1.0, 0.0]))

    row = only_row(engine)

    assert (row.n, row.unpaired, row.a) == (2, 1, 0.5)


def test_a_run_without_evaluations_compares_as_empty(engine: Engine) -> None:
    add_logged_run(engine, "dove", sums([1.0, 0.0]))
    add_scoring(engine, add_run(engine, "wren"))

    row = only_row(engine)

    assert (row.n, row.unpaired, row.warnings) == (0, 2, ("only a has this task",))
