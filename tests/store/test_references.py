from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.store.engine import reading
from rescore_db.store.references import (
    Reading,
    Side,
    find_run,
    find_runs,
    find_scoring,
    parse_reference,
    resolve,
)
from tests.small_store import (
    Evaluation,
    Metric,
    add_evaluation,
    add_logged_run,
    add_run,
    add_scoring,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

EARLY, LATE = "2026-03-02T10:04:27.318274", "2026-03-09T08:00:00.000001"
TWO_FILTERS = Evaluation(
    "sums", [1, 2], {("strict", "acc"): Metric([1.0, 0.0]), ("loose", "acc"): Metric([1.0, 1.0])}
)


def run_of(engine: Engine, text: str) -> int:
    with reading(engine) as conn:
        return find_run(conn, text)


def side_of(engine: Engine, text: str) -> Side:
    with reading(engine) as conn:
        return resolve(conn, text)


# ------------------------------------------------------------------------------------ the grammar


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", [Reading("12")]),
        ("12:strict", [Reading("12:strict"), Reading("12", "strict")]),
        ("12/loose", [Reading("12/loose"), Reading("12", None, "loose")]),
        (
            "12:s/f",
            [
                Reading("12:s/f"),
                Reading("12:s", None, "f"),
                Reading("12", "s/f"),
                Reading("12", "s", "f"),
            ],
        ),
        ("12:", [Reading("12:")]),
        ("12/", [Reading("12/")]),
        ("/a", [Reading("/a")]),
        ("", [Reading("")]),
    ],
)
def test_a_text_is_split_in_every_way_longest_run_first(text: str, expected: list[Reading]) -> None:
    assert parse_reference(text) == expected


@given(st.text(alphabet="a:/@", max_size=8))
def test_every_reading_gives_the_text_back(text: str) -> None:
    readings = parse_reference(text)

    for one in readings:
        scoring = "" if one.scoring is None else f":{one.scoring}"
        filter_ = "" if one.filter is None else f"/{one.filter}"
        assert one.run + scoring + filter_ == text
    assert len(set(readings)) == len(readings)
    assert [len(one.run) for one in readings] == sorted(
        (len(one.run) for one in readings), reverse=True
    )


# ------------------------------------------------------------------------------------------- runs


@pytest.fixture
def runs(engine: Engine) -> dict[str, int]:
    """Runs of a model with two dates, of one with a slash and a colon, of one without a date."""
    return {
        "early": add_run(engine, "org/dove", EARLY, name="first try"),
        "late": add_run(engine, "org/dove", LATE),
        "old": add_run(engine, "hub:org/wren", EARLY, version=1),
        "new": add_run(engine, "hub:org/wren", EARLY, version=2),
        "undated": add_run(engine, "org/finch", ""),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first try", "early"),
        (f"org/dove@{EARLY}", "early"),
        ("org/dove@2026-03-02", "early"),
        ("org/dove@2026-03-02T10-04-27.318274", "early"),  # as in the file's name
        ("org/dove@2026-03-02T10-04", "early"),
        ("org/dove@2026-03-09", "late"),
        ("org/dove@latest", "late"),
        ("latest", "late"),
        ("hub:org/wren", "new"),
        ("hub:org/wren@2026", "new"),
        ("hub:org/wren@latest", "new"),
        ("org/finch", "undated"),
        ("org/finch@latest", "undated"),
    ],
)
def test_a_run_is_found(engine: Engine, runs: dict[str, int], text: str, expected: str) -> None:
    assert run_of(engine, text) == runs[expected]


def test_every_run_is_found_by_its_id_older_versions_too(
    engine: Engine, runs: dict[str, int]
) -> None:
    assert [run_of(engine, str(run_id)) for run_id in runs.values()] == list(runs.values())


def test_no_runs_named_means_the_newest_version_of_each(
    engine: Engine, runs: dict[str, int]
) -> None:
    with reading(engine) as conn:
        assert find_runs(conn, []) == [runs[k] for k in ("early", "late", "new", "undated")]
        assert find_runs(conn, ["latest", "first try", "org/dove@latest"]) == [
            runs["late"],
            runs["early"],
        ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("org/dov", "no run named 'org/dov'; did you mean org/dove"),
        ("org/dove@2026-04-01", "no run named .*did you mean .*org/dove@2026-03-0"),
        ("first", "no run named 'first'; did you mean first try"),
        ("999", "no run named '999'; there are: first try, hub:org/wren, org/dove, org/finch"),
        (str(2**70), "no run named"),
        ("-1", "no run named"),
        ("", "no run named ''"),
        ("org/finch@", "no run named"),
    ],
)
@pytest.mark.usefixtures("runs")
def test_an_unknown_run_is_named_with_its_nearest(engine: Engine, text: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        run_of(engine, text)


@pytest.mark.parametrize("text", ["org/dove", "org/dove@2026", "org/dove@2026-03-0"])
def test_several_runs_are_all_named(engine: Engine, runs: dict[str, int], text: str) -> None:
    for find in (run_of, side_of):
        with pytest.raises(UsageError) as raised:
            find(engine, text)
        assert not isinstance(raised.value, NotFoundError)
        message = str(raised.value)
        assert "names 2 runs" in message
        assert "org/dove@latest" in message
        assert f"org/dove@{EARLY} (run {runs['early']})" in message
        assert f"org/dove@{LATE} (run {runs['late']})" in message


def test_a_name_that_is_also_an_id_is_an_error_naming_both(engine: Engine) -> None:
    first = add_run(engine, "dove", EARLY)
    second = add_run(engine, "wren", EARLY, name=str(first))

    with pytest.raises(UsageError, match=rf"run {first} \(its id\) or run {second} \(its name\)"):
        run_of(engine, str(first))


def test_an_empty_store_says_that_there_is_nothing(engine: Engine) -> None:
    with pytest.raises(NotFoundError, match="there are none yet"):
        run_of(engine, "latest")


# ------------------------------------------------------------------------------------------ sides


@pytest.fixture
def scored(engine: Engine) -> int:
    """A run of a model with a slash, with two filters and a second scoring of one filter."""
    run_id = add_logged_run(engine, "org/dove", TWO_FILTERS)
    scoring_id = add_scoring(engine, run_id, "last/number")
    only_one = Evaluation("sums", [1, 2], {("loose", "acc"): Metric([0.0, 0.0])})
    add_evaluation(engine, run_id, scoring_id, only_one)
    return run_id


@pytest.mark.parametrize(
    ("rest", "scoring", "filter_", "label"),
    [
        ("", "logged", None, ""),
        (":logged", "logged", None, ""),
        ("/strict", "logged", "strict", ""),
        (":logged/loose", "logged", "loose", ""),
        (":last/number", "last/number", None, ":last/number"),
        (":last/number/loose", "last/number", "loose", ":last/number"),
    ],
)
@pytest.mark.parametrize("run", ["org/dove", "latest", "org/dove@2026-03-02", f"org/dove@{EARLY}"])
def test_a_side_is_a_run_with_a_scoring_and_a_filter(  # noqa: PLR0913, PLR0917 - two tables
    engine: Engine,
    scored: int,
    run: str,
    rest: str,
    scoring: str,
    filter_: str | None,
    label: str,
) -> None:
    side = side_of(engine, run + rest)

    assert (side.run_id, side.scoring_name, side.filter) == (scored, scoring, filter_)
    assert (side.text, side.model, side.date) == (run + rest, "org/dove", EARLY)
    assert side.label == f"org/dove@{EARLY}{label}"
    assert side_of(engine, side.label).scoring_id == side.scoring_id


def test_a_scoring_is_also_chosen_by_its_id(engine: Engine, scored: int) -> None:
    by_name = side_of(engine, "org/dove:last/number/loose")

    by_id = side_of(engine, f"{scored}:{by_name.scoring_id}/loose")

    assert by_id.scoring_id == by_name.scoring_id


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("/stric", "no filter of org/dove@.* named 'stric'; did you mean strict"),
        (":last/number/strict", "no filter of org/dove@.* named 'strict'; there are: loose"),
        (":loged", "no scoring of org/dove@.* named 'loged'; did you mean logged"),
        (":", "no run named 'org/dove:'"),
    ],
)
@pytest.mark.usefixtures("scored")
def test_unknown_scorings_and_filters_are_named_with_their_nearest(
    engine: Engine, rest: str, message: str
) -> None:
    with pytest.raises(NotFoundError, match=message):
        side_of(engine, "org/dove" + rest)


def test_a_filter_of_a_model_with_several_runs_says_to_choose_one(engine: Engine) -> None:
    for date in (EARLY, LATE):
        add_logged_run(engine, "org/dove", TWO_FILTERS, date=date)

    with pytest.raises(UsageError, match="'org/dove' names 2 runs"):
        side_of(engine, "org/dove/strict")


def test_two_readings_that_both_lead_somewhere_are_an_error_naming_both(engine: Engine) -> None:
    short = add_logged_run(engine, "org", TWO_FILTERS)
    long = add_logged_run(engine, "org/strict", TWO_FILTERS)

    with pytest.raises(UsageError) as raised:
        side_of(engine, "org/strict")

    message = str(raised.value)
    assert f"run {long} (org/strict, {EARLY})" in message
    assert f"filter 'strict' of run {short} (org, {EARLY})" in message
    assert side_of(engine, "org/strict/loose").run_id == long
    assert side_of(engine, "org/loose").run_id == short


def test_a_longer_name_wins_where_the_shorter_reading_leads_nowhere(engine: Engine) -> None:
    add_logged_run(engine, "org", TWO_FILTERS)
    long = add_logged_run(engine, "org/wren", TWO_FILTERS)

    assert side_of(engine, "org/wren").run_id == long


def test_a_run_without_logged_scores_says_what_it_has(engine: Engine) -> None:
    run_id = add_run(engine, "dove", EARLY)
    scoring_id = add_scoring(engine, run_id, "first")

    with pytest.raises(NotFoundError, match=rf"no logged scores.*: dove@{EARLY}:first"):
        side_of(engine, "dove")
    assert side_of(engine, "dove:first").scoring_id == scoring_id


def test_labels_name_the_run_again(engine: Engine, runs: dict[str, int]) -> None:
    for run_id in runs.values():
        add_scoring(engine, run_id)
    labels = {key: side_of(engine, str(run_id)).label for key, run_id in runs.items()}

    assert labels == {
        "early": "first try",
        "late": f"org/dove@{LATE}",
        "old": str(runs["old"]),
        "new": f"hub:org/wren@{EARLY}",
        "undated": "org/finch",
    }
    assert {key: run_of(engine, label) for key, label in labels.items()} == runs


# --------------------------------------------------------------------------------------- scorings


def test_a_scoring_is_found_by_id_by_reference_and_by_unique_name(
    engine: Engine, scored: int
) -> None:
    expected = side_of(engine, "org/dove:last/number").scoring_id

    with reading(engine) as conn:
        texts = (str(expected), "org/dove:last/number", "last/number", f"{scored}:{expected}")
        assert {find_scoring(conn, text) for text in texts} == {expected}
        assert find_scoring(conn, "org/dove") == side_of(engine, "org/dove").scoring_id


def test_a_scoring_that_several_runs_have_needs_its_run(engine: Engine) -> None:
    for model in ("dove", "wren"):
        add_logged_run(engine, model, TWO_FILTERS)

    with (
        reading(engine) as conn,
        pytest.raises(UsageError, match=re.escape("name one as RUN:logged")),
    ):
        find_scoring(conn, "logged")


@pytest.mark.usefixtures("scored")
def test_a_filter_is_not_a_scoring(engine: Engine) -> None:
    with reading(engine) as conn:
        with pytest.raises(UsageError, match="names a filter"):
            find_scoring(conn, "org/dove/strict")
        with pytest.raises(NotFoundError, match=r"no scoring of .* named 'x'"):
            find_scoring(conn, "org/dove:x")
