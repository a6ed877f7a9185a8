"""`--skip-bad-lines`: good lines go in, bad ones are kept apart, and it shows everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.cli.main import main
from rescore_db.ingest import ingest_paths
from rescore_db.ingest.reading import SamplesReader
from rescore_db.records import IngestOptions
from rescore_db.store import quarantine
from rescore_db.store.engine import open_engine, reading
from tests.ingest.logs import DATE, Log, choices, dump, sums
from tests.ingest.stored import aggregates, column, counts, lines_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import IngestReport, QuarantineRow

SKIP = IngestOptions(skip_bad_lines=True)
Captured = pytest.CaptureFixture[str]


def take(engine: Engine, path: Path, options: IngestOptions = SKIP) -> IngestReport:
    return ingest_paths(engine, [str(path)], options=options)


def kept(engine: Engine) -> list[QuarantineRow]:
    with reading(engine) as conn:
        return quarantine.list_lines(conn)


def damage(lines: list[dict[str, Any]], at: int, text: bytes) -> bytes:
    """The lines of a file, one of them replaced."""
    found = dump(lines).splitlines(keepends=True)
    found[at] = text
    return b"".join(found)


def without(line: dict[str, Any], field: str) -> bytes:
    return dump([{key: value for key, value in line.items() if key != field}])


DEEP = '{"doc_id": 2, "doc": {"deep": ' + "[" * 100_000 + "]" * 100_000 + "}}"
DAMAGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut": (lambda: dump(sums()[2:3])[:60] + b"\n", "not valid JSON"),
    "a list": (lambda: b"[1, 2]\n", "a line of lm-eval is a JSON object"),
    "not UTF-8": (lambda: b'{"doc_id": "\xe9"}\n', "not UTF-8"),
    "not UTF-8 in the document": (
        lambda: dump(sums()[2:3]).replace(b"What is", b"What\xe9is"),
        "not UTF-8",
    ),
    "a broken document": (lambda: dump(sums()[2:3]).replace(b'"level": 2}', b'"level": }'), "JSON"),
    "no answer": (lambda: without(sums()[2], "resps"), "no resps"),
    "no document": (lambda: without(sums()[2], "doc"), "no doc"),
    "too deep": (lambda: DEEP.encode() + b"\n", "nested too deeply"),
    "too many digits": (
        lambda: dump(sums()[2:3]).replace(b'"level": 2', b'"level": ' + b"9" * 5000),
        "digits",
    ),
    "a score of too many digits": (
        lambda: dump(sums()[2:3]).replace(b'"exact_match": 1.0', b'"exact_match": ' + b"9" * 5000),
        "digits",
    ),
    "a metric that no database can name": (
        lambda: dump(sums()[2:3]).replace(b"exact_match", b"exact\\u0000match"),
        "no database holds",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_good_lines_go_in_and_the_bad_one_is_kept(
    engine: Engine, tmp_path: Path, what: str
) -> None:
    text, reason = DAMAGE[what]
    bad = text()
    folder = Log({"sums": damage(sums(), 2, bad), "choices": choices()}).write(tmp_path)

    report = take(engine, tmp_path)

    assert report.errors == ()
    assert (report.evaluations, report.samples, report.quarantined) == (2, 8, 1)
    (row,) = kept(engine)
    assert (row.file, row.line, row.task, row.run, row.size) == (
        str(folder / f"samples_sums_{DATE}.jsonl"), 3, "sums", report.runs[0], len(bad),
    )  # fmt: skip
    assert reason in row.reason
    assert column(engine, "quarantine.content") == [bad]
    assert column(engine, "evaluation.incomplete") == [False, True] or column(
        engine, "evaluation.incomplete"
    ) == [True, False]
    assert any("1 line is in the quarantine" in note for note in report.notes)
    good = [json.dumps(line) for line in sums()]
    assert lines_back(engine, "sums") == good[:2] + good[3:]


def test_without_the_flag_the_line_is_named_and_the_others_go_in(
    engine: Engine, tmp_path: Path
) -> None:
    Log({"sums": damage(sums(), 2, b"oops\n"), "choices": choices()}).write(tmp_path)

    report = take(engine, tmp_path, IngestOptions())

    (error,) = report.errors
    assert (error.line, report.samples, kept(engine)) == (3, 4, [])
    assert "mend or remove the line" in error.message


def test_the_same_again_adds_nothing(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": damage(sums(), 2, b"oops\n")}).write(tmp_path)
    take(engine, tmp_path)
    before = (counts(engine), kept(engine))

    again = take(engine, tmp_path)

    assert (again.evaluations, again.quarantined, again.errors) == (0, 0, ())
    assert {one.reason for one in again.skipped} == {f"already in the store as run {again.runs[0]}"}
    assert (counts(engine), kept(engine)) == before
    refused = take(engine, tmp_path, IngestOptions())
    assert [error.line for error in refused.errors] == [3]
    assert (counts(engine), kept(engine)) == before


@pytest.mark.parametrize("mended", [dump(sums()), damage(sums(), 2, b"")])
def test_a_mended_file_is_a_new_version_and_the_old_keeps_its_quarantine(
    engine: Engine, tmp_path: Path, mended: bytes
) -> None:
    folder = Log({"sums": damage(sums(), 2, b"oops\n")}).write(tmp_path)
    take(engine, tmp_path)
    (folder / f"samples_sums_{DATE}.jsonl").write_bytes(mended)

    report = take(engine, tmp_path)

    assert report.errors == ()
    assert any("another version" in note for note in report.notes)
    assert column(engine, "run.version") == [1, 2]
    assert column(engine, "evaluation.incomplete")[0] is True
    assert [row.run for row in kept(engine)] == column(engine, "run.id")[:1]
    assert len(lines_back(engine, "sums", version=2)) == len(mended.splitlines())


def test_a_file_of_bad_lines_alone_is_an_error(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": b"oops\nno\n"}, results=None).write(tmp_path)

    report = take(engine, tmp_path)

    (error,) = report.errors
    assert error.line == 1
    assert "not one of its 2 lines can be stored" in error.message
    assert counts(engine, "run", "evaluation", "quarantine", "source_file") == dict.fromkeys(
        ("run", "evaluation", "quarantine", "source_file"), 0
    )


def test_a_long_line_is_kept_in_part(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_MAX_LINE_MB", "1")
    long = b'{"doc_id": "' + b"x" * 3_000_000 + b'"}\n'
    bad = b"oops" * 400_000 + b"\n"
    raw = damage(sums(), 2, long)
    Log({"sums": raw + bad[:900_000] + b"\n"}).write(tmp_path)

    report = take(engine, tmp_path)

    assert report.quarantined == 2
    assert [row.size for row in kept(engine)] == [len(long), 900_001]
    assert "RESCORE_MAX_LINE_MB" in kept(engine)[0].reason
    assert [len(one) for one in column(engine, "quarantine.content")] == [1_000_000, 900_001]
    assert len(lines_back(engine, "sums")) == 7


def test_what_is_left_out_of_one_filter_counts_for_the_other(
    engine: Engine, tmp_path: Path
) -> None:
    Log({"sums": damage(sums(), 6, b"oops\n")}).write(tmp_path)

    report = take(engine, tmp_path)

    assert any("filter loose has 3 of 4 samples" in note for note in report.notes)
    assert aggregates(engine, "sums")["loose", "exact_match"][2] == 3
    assert aggregates(engine, "sums")["strict", "exact_match"][2] == 4


def test_a_whole_file_in_another_encoding_stays_out(engine: Engine, tmp_path: Path) -> None:
    Log({"sums": dump(sums()).decode().encode("utf-16")}).write(tmp_path)

    report = take(engine, tmp_path)

    assert "UTF-16" in report.errors[0].message
    assert counts(engine, "sample", "quarantine") == {"sample": 0, "quarantine": 0}


def test_many_bad_lines_are_left_out_at_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = sums(300, ("strict",))
    raw = b"".join(
        dump([line]) if at % 3 else dump([line]).replace(b'"level"', b'"le\xffvel"')
        for at, line in enumerate(lines)
    )
    Log({"sums": raw}).write(tmp_path)
    read: list[int] = []
    batches = SamplesReader.batches

    def counted(self: SamplesReader, *results: Any) -> Any:
        read.append(1)
        return batches(self, *results)

    monkeypatch.setattr(SamplesReader, "batches", counted)

    report = take(engine, tmp_path)

    assert (report.samples, report.quarantined) == (200, 100)
    assert len(read) < 5  # not once a line


# ------------------------------------------------------------------------------ the command line


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    Log({"sums": damage(sums(), 2, b"oops\n"), "choices": choices()}).write(tmp_path / "logs")
    return tmp_path / "logs"


def test_the_command_lists_the_quarantine(
    store_url: str, damaged: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DB", store_url)
    assert main(["ingest", str(damaged), "--skip-bad-lines"]) == 0
    told = capsys.readouterr()
    assert "1 line left out (rescore ingest --errors)" in told.out

    assert main(["ingest", "--errors", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert {"file", "line", "task", "run", "reason", "size"} <= row.keys()
    assert (row["line"], row["task"], row["size"]) == (3, "sums", 5)

    assert main(["ingest", "--errors", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("file,line,task,run,evaluation,reason,size\n")
    assert main(["ingest", "--errors"]) == 0
    assert "sums" in capsys.readouterr().out


def test_it_shows_wherever_the_evaluation_does(
    store_url: str, damaged: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DB", store_url)
    main(["ingest", str(damaged), "--skip-bad-lines"])
    capsys.readouterr()

    assert main(["runs", "show", "latest", "--json"]) == 0
    found = {one["task"]: one for one in json.loads(capsys.readouterr().out)["evaluations"]}
    assert found["sums"]["incomplete"] is True
    assert any("quarantine" in note for note in found["sums"]["notes"])
    assert found["choices"]["incomplete"] is False
    assert (found["sums"]["quarantined"], found["choices"]["quarantined"]) == (1, 0)
    main(["scorings", "show", "latest:logged", "--json"])
    scored = {one["task"]: one for one in json.loads(capsys.readouterr().out)["evaluations"]}
    assert (scored["sums"]["quarantined"], scored["choices"]["quarantined"]) == (1, 0)
    main(["sql", "SELECT incomplete FROM evaluations WHERE task = 'sums'", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["incomplete"] == 1
    main(["compare", "latest/strict", "latest/loose", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert all(any("incomplete" in one for one in row["warnings"]) for row in rows)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--errors", "logs"], "PATH means nothing with --errors"),
        (["--errors", "--tag", "x"], "--tag means nothing with --errors"),
        (["logs", "--interval", "3"], "--interval is for --watch"),
        (["logs", "--model", "m"], "--model is for --responses"),
        (["--watch", "--dry-run", "logs"], "--dry-run and --watch exclude each other"),
        (["--responses", "x.jsonl", "--task", "t"], "needs --task NAME and --model NAME"),
        ([], "Missing argument 'PATH'"),
        (["--watch"], "Missing argument 'PATH'"),
        (["--watch", "logs", "--name", "x"], "--name means nothing with --watch"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    sqlite_url: str, capsys: Captured, line: list[str], words: str
) -> None:
    assert main(["ingest", *line, "--db", sqlite_url]) == 2
    assert words in capsys.readouterr().err


def test_names_steps_and_tags_are_given_at_once(
    store_url: str, damaged: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESCORE_DB", store_url)
    given = ["--name", "first", "--step", "400", "--tag", "sft", "--tag", "night"]
    assert main(["ingest", str(damaged), *given]) == 1  # a bad line, and yet
    engine = open_engine(store_url)
    assert column(engine, "run.name") == ["first"]
    assert column(engine, "run.step") == [400]
    assert column(engine, "run_tag.tag") == ["night", "sft"]
    assert main(["ingest", str(damaged), "--tag", "again"]) == 1
    assert column(engine, "run_tag.tag") == ["again", "night", "sft"]
    engine.dispose()
    capsys.readouterr()
    Log({"choices": choices()}, date="2026-02-05T09-30-00").write(damaged)
    assert main(["ingest", str(damaged), "--name", "two"]) == 2
    assert "a name is for one run, here are 2" in capsys.readouterr().err
