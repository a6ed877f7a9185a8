from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from rescore_db.records import SampleScore
from rescore_db.report.details import detail_text
from rescore_db.report.tables import Page
from tests.report.rows import SAMPLE_DETAIL


@dataclass(frozen=True)
class Thing:
    id: int
    date: str | None
    text: str
    config: dict[str, Any]
    scores: tuple[SampleScore, ...] = ()
    notes: tuple[str, ...] = ()


THING = Thing(3, "2026-03-02T10:04:27.318274", "short", {})


def test_short_fields_stand_beside_their_names() -> None:
    assert detail_text(THING, Page()).splitlines() == [
        "id      3",
        "date    2026-03-02T10:04:27",
        "text    short",
        "config  -",
        "scores  -",
        "notes   -",
    ]


def test_long_texts_stand_below_their_names_line_by_line() -> None:
    text = detail_text(replace(THING, text="one\n\x1b[31mtwo"), Page())

    assert text.endswith("\ntext\n    one\n    \\x1b[31mtwo\n")


def test_mappings_are_outlined_with_their_texts_as_they_are() -> None:
    config = {"doc_to_text": "{{question}}\nAnswer:", "dose": [{"a": 1}, "x" * 90]}

    text = detail_text(replace(THING, config=config), Page())

    assert text.endswith(
        "\nconfig\n"
        "    doc_to_text: {{question}}\n"
        "      Answer:\n"
        "    dose:\n"
        '      - {"a": 1}\n'
        f"      - {'x' * 90}\n"
    )


def test_rows_inside_become_a_table() -> None:
    score = SampleScore("logged", "none", "acc", 1.0, "4")

    text = detail_text(replace(THING, scores=(score,), notes=("said once",)), Page())

    assert "\nscores\nscoring  filter  metric   value  filtered\n" in text
    assert 'notes   ["said once"]' in text


def test_a_sample_shows_what_was_asked_and_answered_once() -> None:
    text = detail_text(SAMPLE_DETAIL, Page())

    assert text.count("Q: How many are left?") == 1
    assert text.count("The answer is 4") == 1
    assert "id         1:0" in text
    assert "\x1b" not in text


def test_a_chat_is_shown_message_by_message() -> None:
    messages = [
        {"role": "system", "content": "Be brief, and be sure of what you say. " * 2},
        {"role": "user", "content": "Q: a?\nA:"},
    ]
    asked = [json.dumps(messages)], {"until": ["Q:"]}

    text = detail_text(replace(SAMPLE_DETAIL, requests=(asked,)), Page())

    assert '      - {"role": "user", "content": "Q: a?\\nA:"}\n' in text
    assert "role: system\n" in text


@pytest.mark.parametrize("value", ["", None])
def test_an_unknown_date_is_shown_as_such(value: str | None) -> None:
    assert "date    -\n" in detail_text(replace(THING, date=value), Page())
