from __future__ import annotations

import json
from typing import Any

import pytest

from rescore_db.report.values import (
    LONG,
    count,
    gist,
    json_text,
    last_asked,
    lines,
    moment,
    number,
    one_line,
    plain_text,
    spread,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.73125, "0.7312"),
        (0.0, "0.0000"),
        (-0.0, "0.0000"),
        (1.0, "1.0000"),
        (12.3456789, "12.346"),
        (123.456, "123.46"),
        (1234567.0, "1.235e+06"),
        (0.00001234, "1.234e-05"),
        (-0.5, "-0.5000"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (0, "0"),
        (17, "17"),
        (True, "true"),
        (None, "-"),
        ("N/A", "N/A"),
        ([1, 2.5], "[1, 2.5]"),
    ],
)
def test_a_number_has_about_four_digits_behind_the_point(value: Any, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.02, "+0.0200"), (-0.02, "-0.0200"), (0.0, "0.0000"), (3, "+3")]
)
def test_a_difference_shows_its_sign(value: float, text: str) -> None:
    assert number(value, signed=True) == text


def test_a_standard_error_that_is_none_shows_nothing() -> None:
    assert [spread(value) for value in (0.0141, None, "N/A")] == ["± 0.0141", "", ""]


def test_counts_have_their_thousands_set_apart() -> None:
    assert [count(value) for value in (7, 14042, None)] == ["7", "14,042", "-"]


def test_a_date_loses_its_microseconds_and_no_date_is_shown_as_such() -> None:
    assert moment("2026-03-02T10:04:27.318274") == "2026-03-02T10:04:27"
    assert moment("2026-03-02T10:04:27+00:00") == "2026-03-02T10:04:27"
    assert moment("2026-03") == "2026-03"
    assert [moment(value) for value in ("", None)] == ["-", "-"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines", "two↵lines"),
        ("two\r\nlines", "two↵lines"),
        ("a\tb", "a b"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("\x00", "\\x00"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\ud83d", "\\ud83d"),
        ("Größe 日本", "Größe 日本"),
    ],
)
def test_nothing_in_a_text_can_drive_a_terminal(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_lines_keep_their_ends_and_lose_the_rest() -> None:
    assert lines("one\ntwo\x1b[A\r\n\tthree") == ["one", "two\\x1b[A", "    three"]


def test_a_document_is_told_by_its_first_fields() -> None:
    doc = {"question": "How\nmany?", "choices": ["a", "b"], "level": 3, "note": None}

    assert gist(doc) == 'question: How↵many? · choices: ["a", "b"] · level: 3 · note: -'


@pytest.mark.parametrize("doc", ["only a text", ["a", "list"], 3])
def test_a_document_that_is_no_mapping_is_shown_as_it_is(doc: Any) -> None:
    assert gist(doc) == plain_text(doc)


def test_a_huge_document_is_not_read_to_its_end() -> None:
    doc = {str(key): "x" * 1000 for key in range(10_000)}

    assert len(gist(doc)) < 10_000


def test_metric_values_of_any_type_come_out_as_json() -> None:
    assert json_text((1, {2: "é"})) == '[1, {"2": "é"}]'


def test_what_is_nested_too_deeply_is_said_to_be() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]

    assert json_text(deep) == "(nested too deeply to be shown)"


def chat(*contents: Any) -> str:
    """A chat's prompt, as API models log it."""
    return json.dumps([json.dumps([{"role": "user", "content": one} for one in contents])])


@pytest.mark.parametrize(
    ("prompt", "shown"),
    [
        (None, "-"),
        ("Q: a?\nA:", "Q: a?↵A:"),
        (chat("Q: a?\nA:"), "Q: a?↵A:"),
        (chat("a", "b"), "b"),
        (chat([{"type": "text", "text": "x"}]), '[{"type": "text", "text": "x"}]'),
        ('["[{1"]', '["[{1"]'),
        ('["[', '["['),
        ('["[1]"]', '["[1]"]'),
        ('["[]"]', '["[]"]'),
        ('["[{}]"]', '["[{}]"]'),
        ("x" * LONG + " the end", "x" * (LONG - 8) + " the end"),
        ('["[' + "[" * 100_000, "[" * LONG),
    ],
)
def test_a_prompt_is_shown_by_its_end_and_a_chat_by_its_last_message(
    prompt: str | None, shown: str
) -> None:
    assert last_asked(prompt) == shown
