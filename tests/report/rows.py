"""Result rows as the verbs return them, with what is awkward in them."""

from __future__ import annotations

from dataclasses import replace

from rescore_db.records import (
    CompareRow,
    Difference,
    SampleDetail,
    SampleRow,
    SampleScore,
    ScoreRow,
    VerifyRow,
)

COMPARED = CompareRow(
    run_a="larch/wren-1b@2026-03-30",
    run_b="tern-ai/heron-7b",
    task="small_sums",
    filter="strict-match",
    metric="exact_match",
    n=1319,
    a=0.3125,
    b=0.4375,
    diff=0.125,
    stderr=0.0123456,
    ci_low=0.1,
    ci_high=0.15,
    test=None,
    p=None,
    p_adjusted=None,
    improved=200,
    regressed=35,
    unchanged=1084,
    unpaired=0,
    verdict=None,
    warnings=("the prompts differ",),
)

SCORED = ScoreRow(
    scoring="rescored-1",
    run=1,
    model="larch/wren-1b",
    task="small_sums",
    filter="strict-match",
    metric="exact_match",
    value=0.73125,
    stderr=0.0141421356,
    n=1319,
    status="complete",
)

FAILED = replace(
    SCORED, run=2, value=None, stderr=None, status="failed", reason="the task is unknown"
)

SAMPLE = SampleRow(
    id="1:0",
    run=1,
    model="larch/wren-1b",
    task="small_sums",
    position=0,
    doc_id=7,
    doc_key=19,
    doc={"question": "How many are left?\nThree were sold.", "answer": 4, "level": None},
    prompt="Q: How many are two and two?\nA: 4\n\nQ: How many are left?\nA:",
    target="4",
    response="Four are left.\x1b[2J The answer is 4 | or so",
)

SAMPLE_DETAIL = SampleDetail(
    sample=SAMPLE,
    requests=((SAMPLE.prompt, {"until": ["Q:"], "max_gen_toks": 256, "do_sample": False}),),
    responses=[[SAMPLE.response]],
    scores=(SampleScore("logged", "strict-match", "exact_match", 1.0, "4"),),
)

IDENTICAL = VerifyRow(
    run=1,
    model="larch/wren-1b",
    task="small_sums",
    filter="strict-match",
    status="identical",
    reason=None,
    n=12,
)

DIFFERENT = replace(
    IDENTICAL,
    filter="flexible-extract",
    status="different",
    reason="no cause found",
    differences=(
        Difference("sample 3 (doc_id 7)", "exact_match", 1.0, 0.0),
        Difference("aggregate", "exact_match stderr", 0.1421338109037403, 0.1421338109037404),
    ),
    n_differences=7,
)
