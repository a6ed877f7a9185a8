from __future__ import annotations

from dataclasses import replace

import pytest

from rescore_db.records import FileError, HistoryRow, IngestReport, Skipped, TaskRow
from rescore_db.report.summaries import (
    compare_footer,
    ingest_text,
    plural,
    reasons_footer,
    score_footer,
    task_footer,
    tasks_footer,
    verify_text,
    warnings_footer,
)
from rescore_db.report.tables import Page
from tests.report.rows import COMPARED, DIFFERENT, FAILED, IDENTICAL, SCORED

NOTHING = IngestReport(
    runs=(),
    evaluations=0,
    filled=0,
    aggregates_only=0,
    samples=0,
    skipped=(),
    errors=(),
    notes=(),
)


def test_a_noun_follows_its_number() -> None:
    assert [plural(n, "run") for n in (0, 1, 1280)] == ["0 runs", "1 run", "1,280 runs"]


def test_an_ingest_says_what_it_added_and_to_which_runs() -> None:
    report = replace(NOTHING, runs=(7, 1, 2, 3), evaluations=1, filled=1, samples=1280)

    assert ingest_text(report) == "added 1 evaluation, 1,280 samples · 4 runs: 1-3, 7\n"


@pytest.mark.parametrize(
    ("evaluations", "filled", "aggregates_only", "said"),
    [
        (7, 1, 6, "1 evaluation, 80 samples, and aggregates of 6 tasks without samples"),
        (1, 0, 1, "aggregates of 1 task without samples"),
        (2, 0, 0, "aggregates of 2 evaluations"),
        (4, 0, 1, "aggregates of 3 evaluations and of 1 task without samples"),
        (6, 6, 0, "6 evaluations, 80 samples"),
    ],
)
def test_an_ingest_tells_samples_from_aggregates_alone(
    evaluations: int, filled: int, aggregates_only: int, said: str
) -> None:
    report = replace(
        NOTHING,
        evaluations=evaluations,
        filled=filled,
        aggregates_only=aggregates_only,
        samples=80 if filled else 0,
    )

    assert ingest_text(report) == f"added {said}\n"


def test_an_ingest_that_added_nothing_says_so_and_why() -> None:
    names = [f"samples_{i}.jsonl" for i in range(5)]
    skipped = tuple(Skipped(f"out/model/{name}", "already stored") for name in names)

    report = replace(NOTHING, runs=(1,), skipped=(*skipped, Skipped("a\x1b", "not lm-eval's")))

    assert ingest_text(report).splitlines() == [
        "nothing new · 1 run: 1",
        f"skipped 5 files: already stored ({', '.join(names[:3])}, 2 more)",
        "skipped 1 file: not lm-eval's (a\\x1b)",
    ]


def test_errors_are_left_to_stderr() -> None:
    report = replace(NOTHING, errors=(FileError("x", 3, "broken"),))

    assert "broken" not in ingest_text(report)


def test_a_scoring_says_what_is_new_and_what_was_held() -> None:
    rows = [SCORED, replace(SCORED, task="b"), replace(SCORED, run=2), replace(SCORED, known=True)]

    assert score_footer(rows) == [
        "new: scoring rescored-1 (2 runs: 1-2)",
        "already held by scoring rescored-1 (1 run: 1)",
    ]


def test_a_reason_is_told_once_with_the_first_places_where_it_holds() -> None:
    rows = [SCORED, *(replace(FAILED, task=f"t{i}", filter=f) for i in range(5) for f in "ab")]

    assert reasons_footer(rows) == [
        "failed: the task is unknown (run 2 t0, run 2 t1, run 2 t2, 2 more)"
    ]


def test_a_warning_is_told_once() -> None:
    rows = [COMPARED, COMPARED, replace(COMPARED, warnings=("the prompts differ",))]

    assert warnings_footer(rows) == ["note: the prompts differ"]


def test_a_warning_says_which_rows_it_is_about() -> None:
    loose = replace(COMPARED, filter="loose", warnings=("two\nlines",))
    other = replace(COMPARED, task="arc", filter="none", metric="acc", warnings=("two\nlines",))
    rows = [COMPARED, loose, other, replace(other, metric="acc_norm")]

    assert warnings_footer(rows) == [
        "note: the prompts differ (small_sums exact_match,strict-match)",
        "note: two↵lines (small_sums exact_match,loose, arc)",
    ]
    assert warnings_footer([*rows, replace(other, run_b="b", warnings=())])[1] == (
        "note: two↵lines (small_sums exact_match,loose, b = tern-ai/heron-7b, "
        "arc, b = tern-ai/heron-7b)"
    )


def test_a_warning_of_a_history_names_the_runs() -> None:
    row = HistoryRow(
        1, "m", None, None, None, "logged", "t", "none", "acc", 0.5, None, 2, None, ("odd",)
    )
    rows = [row, replace(row, metric="f1"), replace(row, run=2), replace(row, run=3, warnings=())]

    assert warnings_footer(rows) == ["note: odd (run 1, run 2)"]


def test_sides_with_nothing_in_common_are_told_with_what_each_has() -> None:
    lone = replace(COMPARED, n=0, warnings=(), only="a")
    rows = [
        lone,
        replace(lone, task="arc", filter="none", metric="*"),
        replace(lone, filter="*", task="sums"),
        replace(lone, filter="mine", only="b"),
    ]
    said = (
        "note: nothing to compare: no task, filter and metric is in both sides: "
        "a has small_sums exact_match,strict-match, arc, sums; b has small_sums exact_match,mine"
    )

    assert compare_footer(rows) == [said]
    assert compare_footer([COMPARED, *rows[:3]])[0].startswith("note: the prompts differ (")
    assert compare_footer(rows[:1])[0].endswith("; b has nothing")
    both = compare_footer([*rows, replace(COMPARED, run_b="c", warnings=())])
    assert both == [f"{said} (b = tern-ai/heron-7b)"]
    assert compare_footer([]) == []


def test_several_definitions_of_a_task_are_said_and_where_they_differ() -> None:
    first = TaskRow(4, "arc\n", "1.0", "ab", None, 1, 40)
    rows = [
        first,
        replace(first, id=5, differs_from=4, differing=("num_fewshot", "tag")),
        replace(first, id=6, differs_from=4),
        replace(first, id=7, name="sums"),
    ]

    assert tasks_footer(rows) == [
        "note: arc↵ has 3 definitions that differ: `rescore tasks show arc↵` says where"
    ]
    assert task_footer(rows) == [
        "note: definition 5 differs from 4 in num_fewshot, tag",
        "note: definition 6 differs from 4; nothing tells where",
    ]


def test_a_verification_without_differences_is_one_line() -> None:
    assert verify_text([IDENTICAL] * 3, Page(), show_all=False) == "3 identical\n"


def test_a_verification_shows_what_needs_a_look_with_its_first_differences() -> None:
    text = verify_text([IDENTICAL, DIFFERENT, IDENTICAL], Page(), show_all=False)

    assert text.splitlines() == [
        "2 identical · 1 different",
        "",
        "run  model          task        filter            status      n  differences",
        "───  ─────────────  ──────────  ────────────────  ─────────  ──  ───────────",
        "  1  larch/wren-1b  small_sums  flexible-extract  different  12            7",
        "",
        "different: no cause found (run 1 small_sums)",
        "",
        "run 1 · small_sums · flexible-extract: first differences",
        "where                what                logged              recomputed",
        "───────────────────  ──────────────────  ──────────────────  ──────────────────",
        "sample 3 (doc_id 7)  exact_match         1.0                 0.0",
        "aggregate            exact_match stderr  0.1421338109037403  0.1421338109037404",
        "… and 5 more",
    ]


def test_all_verdicts_are_shown_on_request() -> None:
    text = verify_text([IDENTICAL, DIFFERENT], Page(), show_all=True)

    assert "strict-match      identical" in text
