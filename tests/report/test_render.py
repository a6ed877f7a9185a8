from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rescore_db.records import RunRow, ScoreRow, SqlResult
from rescore_db.report.render import Format, emit, notice, page, show, show_detail, show_query
from rescore_db.report.tables import Page
from tests.report.rows import SAMPLE_DETAIL, SCORED

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT, JSON, CSV, MARKDOWN = Format


class Terminal(io.StringIO):
    """A stream that says that it is a terminal, in ASCII."""

    encoding = "ascii"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("form", "start"),
    [
        (TEXT, "run 1 · larch/wren-1b"),
        (JSON, '[\n{"scoring": "rescored-1", "run": 1'),
        (CSV, "scoring,run,model,task"),
        (MARKDOWN, "| run | model | scoring |"),
    ],
)
def test_a_listing_is_written_in_each_format(
    form: Format, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show([SCORED], form, of=ScoreRow, footer=["note: said below"])

    out = capsys.readouterr().out
    assert out.startswith(start)
    assert ("note: said below" in out) is (form in {TEXT, MARKDOWN})


def test_nothing_is_an_empty_document_for_programs_and_a_message_for_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for form, out in ((JSON, "[]\n"), (CSV, "id,name,model,"), (TEXT, ""), (MARKDOWN, "")):
        show([], form, of=RunRow)
        captured = capsys.readouterr()
        assert captured.out.startswith(out)
        assert ("no runs yet" in captured.err) is (form in {TEXT, MARKDOWN})


@pytest.mark.parametrize("form", list(Format))
def test_a_detail_is_written_in_each_format(
    form: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    show_detail(SAMPLE_DETAIL, form)

    out = capsys.readouterr().out
    assert "small_sums" in out
    if form is JSON:
        assert json.loads(out)["sample"]["id"] == "1:0"


def test_columns_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    result = SqlResult(columns=("n", "n", "x"), rows=((1, 2, None),), truncated=False)

    show_query(result, JSON)
    assert json.loads(capsys.readouterr().out) == [{"n": 1, "n_2": 2, "x": None}]
    show_query(result, CSV)
    assert capsys.readouterr().out == "n,n_2,x\n1,2,\n"
    show_query(result, MARKDOWN)
    assert capsys.readouterr().out.startswith("| n | n_2 | x |")
    show_query(result, TEXT)
    assert capsys.readouterr().out == "n  n_2  x\n─  ───  ─\n1    2  -\n"


def test_a_file_has_any_width_unless_columns_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    assert page() == Page(None, colour=False)

    monkeypatch.setenv("COLUMNS", "72")
    assert page() == Page(72, colour=False)


@pytest.mark.parametrize(("term", "colour"), [("xterm", True), ("dumb", False)])
def test_a_terminal_has_its_width_and_colours(
    term: str,
    colour: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "91")
    monkeypatch.setenv("TERM", term)

    assert page() == Page(91, colour=colour)


@pytest.mark.parametrize(("stream", "write"), [("stdout", emit), ("stderr", notice)])
def test_what_a_stream_cannot_encode_is_spelled_out(
    stream: str, write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, stream, terminal)

    write("± 1")

    assert terminal.getvalue().rstrip("\n") == r"\xb1 1"


def test_csv_cannot_drive_a_terminal_and_is_exact_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = SqlResult(columns=("x",), rows=(("\x1b[2J",),), truncated=False)
    show_query(result, CSV)
    assert capsys.readouterr().out == "x\n\x1b[2J\n"

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    show_query(result, CSV)
    assert terminal.getvalue() == "x\n\\x1b[2J\n"


def test_messages_cannot_drive_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    notice("no run named 'x\x1b[2J'\nsecond line")

    assert capsys.readouterr().err == "no run named 'x\\x1b[2J'\nsecond line\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = "from rescore_db.report.render import emit\nfor _ in range(9): emit('x' * 100_000)"
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)

    assert (done.returncode, done.stderr) == (0, b"")
