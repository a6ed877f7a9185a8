from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from rescore_db.records import CompareRow, SampleRow, ScoreRow
from rescore_db.report.column_kinds import Column, Keep
from rescore_db.report.columns import listing_of
from rescore_db.report.tables import Page, Table, cut, markdown, terminal_text
from tests.report.rows import COMPARED, FAILED, SAMPLE, SCORED


def column(key: str, index: int, **how: Any) -> Column:
    return Column(key=key, title=key, cell=lambda row: str(row[index]), **how)


@pytest.mark.parametrize(
    ("text", "width", "keep", "shown"),
    [
        ("short", 10, "start", "short"),
        ("exactly ten", 11, "start", "exactly ten"),
        ("a long sentence", 8, "start", "a long …"),
        ("a long sentence", 8, "end", "…entence"),
        ("日本語テキスト", 7, "start", "日本語…"),
        ("日本語テキスト", 7, "end", "…キスト"),
        ("a_long_name_of_many", 10, "both", "a_lon…many"),
        ("日本語テキスト", 9, "both", "日本…スト"),
        ("anything", None, "start", "anything"),
    ],
)
def test_texts_are_cut_to_terminal_cells(
    text: str,
    width: int | None,
    keep: Keep,
    shown: str,
) -> None:
    assert cut(text, width, keep) == shown


def test_numbers_stand_at_the_right_and_texts_at_the_left() -> None:
    table = Table.flat([column("name", 0), column("n", 1, right=True)], [("a", 5), ("bcdef", 1234)])

    assert terminal_text(table, Page()).splitlines() == [
        "name      n",
        "─────  ────",
        "a         5",
        "bcdef  1234",
    ]


def test_what_may_be_cut_gives_way_widest_first_and_numbers_never_do() -> None:
    columns = [column("a", 0, least=4), column("b", 1, least=4), column("n", 2, right=True)]
    table = Table.flat(columns, [("a" * 30, "b" * 10, 123456)])

    lines = terminal_text(table, Page(width=32)).splitlines()

    assert lines[2] == "aaaaaaaaaaa…  bbbbbbbbbb  123456"
    assert all(cell_len(line) <= 32 for line in lines)


def test_spare_columns_are_left_out_and_named() -> None:
    columns = [
        column("text", 0, least=6),
        column("first", 1, spare=1),
        column("second", 2, spare=2),
    ]
    table = Table.flat(columns, [("t" * 20, "1", "2")])

    assert terminal_text(table, Page(width=14)).splitlines() == [
        "text     first",
        "───────  ─────",
        "tttttt…  1",
        "(no room for: second)",
    ]


def test_a_table_that_finds_no_room_at_all_stays_whole() -> None:
    table = Table.flat([column("n", 0), column("m", 1)], [(123456, 789)])

    assert "123456  789" in terminal_text(table, Page(width=5))


def test_a_page_without_limit_cuts_only_long_texts() -> None:
    columns = [column("name", 0, least=4), column("text", 1, least=4, most=10)]
    table = Table.flat(columns, [("n" * 200, "t" * 200)])

    assert terminal_text(table, Page()).splitlines()[2] == "n" * 200 + "  " + "t" * 9 + "…"


def test_groups_become_headings_over_columns_of_equal_width() -> None:
    rows = [SCORED, replace(SCORED, run=2, model="tern-ai/heron-7b", task="small_spellings")]

    text = terminal_text(Table.of(listing_of(ScoreRow), rows), Page())

    assert text.splitlines() == [
        "run 1 · larch/wren-1b · scoring rescored-1",
        "task             filter        metric        value  ± stderr      n",
        "───────────────  ────────────  ───────────  ──────  ────────  ─────",
        "small_sums       strict-match  exact_match  0.7312  ± 0.0141  1,319",
        "",
        "run 2 · tern-ai/heron-7b · scoring rescored-1",
        "task             filter        metric        value  ± stderr      n",
        "───────────────  ────────────  ───────────  ──────  ────────  ─────",
        "small_spellings  strict-match  exact_match  0.7312  ± 0.0141  1,319",
    ]


def test_columns_that_say_nothing_are_not_shown() -> None:
    def titles(*rows: ScoreRow) -> list[str | None]:
        return [column.title for column in Table.of(listing_of(ScoreRow), rows).columns]

    assert "status" not in titles(SCORED)
    assert "status" in titles(SCORED, FAILED)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_comparison_fits_a_usual_terminal(width: int) -> None:
    rows = [
        COMPARED,
        replace(COMPARED, task="a_task_with_a_long_name", filter="flexible-extract", unpaired=12),
    ]

    lines = terminal_text(Table.of(listing_of(CompareRow), rows), Page(width)).splitlines()

    assert all(cell_len(line) <= width for line in lines)
    assert any("+0.1250" in line for line in lines)


def test_samples_fit_and_show_the_end_of_the_prompt_and_the_start_of_the_response() -> None:
    text = terminal_text(Table.of(listing_of(SampleRow), [SAMPLE]), Page(100))

    assert all(cell_len(line) <= 100 for line in text.splitlines())
    assert "left?↵A:" in text
    assert "Four are left." in text
    assert "\x1b" not in text


def test_styles_are_used_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    table = Table.of(listing_of(ScoreRow), [FAILED])

    assert "\x1b[1;31mfailed" in terminal_text(table, Page(colour=True))
    assert "\x1b" not in terminal_text(table, Page())


def test_no_color_takes_the_colours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")

    text = terminal_text(Table.of(listing_of(ScoreRow), [FAILED]), Page(colour=True))

    assert "31m" not in text


def test_markdown_escapes_what_would_be_markup() -> None:
    table = Table.flat(
        [column("name", 0), column("n", 1, right=True)], [("a|b*c`<i>[x]\\ _y_ z_z &lt;", 1)]
    )

    assert markdown(table).splitlines() == [
        "| name | n |",
        "| --- | ---: |",
        r"| a\|b\*c\`&lt;i>\[x\]\\ \_y\_ z_z &amp;lt; | 1 |",
    ]


def test_markdown_is_one_table_that_holds_the_groups_as_columns() -> None:
    rows = [SCORED, replace(SCORED, run=2)]

    text = markdown(Table.flat(listing_of(ScoreRow).flat_columns(), rows))

    assert len(text.splitlines()) == 4
    assert text.startswith("| run | model | scoring | task |")


def test_thousands_of_rows_are_laid_out_at_once() -> None:
    table = Table.of(listing_of(ScoreRow), [SCORED] * 5_000)

    assert len(terminal_text(table, Page(100)).splitlines()) == 5_003
