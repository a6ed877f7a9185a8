from __future__ import annotations

from dataclasses import replace

from rescore_db.records import FileError, IngestReport, Skipped
from rescore_db.report.summaries import (
    ingest_text,
    plural,
    reasons_footer,
    score_footer,
    verify_text,
    warnings_footer,
)
from rescore_db.report.tables import Page
from tests.report.rows import COMPARED, DIFFERENT, FAILED, IDENTICAL, SCORED

NOTHING = IngestReport(runs=(), evaluations=0, samples=0, skipped=(), errors=(), notes=())


def test_a_noun_follows_its_number() -> None:
    assert [plural(n, "run") for n in (0, 1, 1280)] == ["0 runs", "1 run", "1,280 runs"]


def test_an_ingest_says_what_it_added_and_to_which_runs() -> None:
    report = replace(NOTHING, runs=(7, 1, 2, 3), evaluations=1, samples=1280)

    assert ingest_text(report) == "added 1 evaluation, 1,280 samples · 4 runs: 1-3, 7\n"


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
    rows = [COMPARED, COMPARED, replace(COMPARED, warnings=("two\nlines", "the prompts differ"))]

    assert warnings_footer(rows) == ["note: the prompts differ", "note: two↵lines"]


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
