"""Responses made elsewhere: what is on a line counts, what is not is looked up in the store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import NotFoundError, UsageError
from rescore_db.ingest import ingest_paths
from rescore_db.ingest.responses import ResponsesOf, ingest_responses
from rescore_db.json_exact import doc_hash
from rescore_db.store.engine import reading
from rescore_db.store.samples import iter_samples
from tests.export.exporting import export, files_in
from tests.ingest.logs import Log, choices, sums, sums_line
from tests.ingest.stored import column, counts

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from rescore_db.records import IngestReport
    from rescore_db.store.samples import StoredSample

OTHER = "tern-ai/heron-7b"
DOC = sums_line(1)["doc"]
PROMPT = sums_line(1)["arguments"]["gen_args_0"]["arg_0"]
PAIRS = [[-1.5, True], [-2.5, False], [-3.5, False]]


def write(tmp_path: Path, *lines: dict[str, Any], name: str = "answers.jsonl") -> str:
    path = tmp_path / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def take(
    engine: Engine, tmp_path: Path, *lines: dict[str, Any], task: str = "sums", date: str = ""
) -> IngestReport:
    path = write(tmp_path, *lines)
    return ingest_responses(engine, path, ResponsesOf(task, OTHER, date))


def samples(engine: Engine, report: IngestReport) -> list[StoredSample]:
    """The samples of the newest evaluation."""
    assert report.errors == ()
    with reading(engine) as conn:
        return list(iter_samples(conn, column(engine, "evaluation.id")[-1]))


@pytest.fixture
def logged(engine: Engine, tmp_path: Path) -> Engine:
    """A store that knows four sums and four choices."""
    ingest_paths(engine, [str(Log({"sums": sums(), "things": choices()}).write(tmp_path / "in"))])
    return engine


def test_everything_may_be_on_the_lines(engine: Engine, tmp_path: Path) -> None:
    line = {"doc_id": 5, "doc": DOC, "arguments": [["Q", {"until": ["\n"]}]], "target": "2"}

    report = take(engine, tmp_path, line | {"response": "two"}, line | {"response": "2"})

    assert (report.evaluations, report.filled, report.samples) == (1, 1, 2)
    first, second = samples(engine, report)
    assert json.loads(first.doc) == DOC
    assert first.arguments == [["Q", {"until": ["\n"]}]]
    assert (first.responses, second.responses) == ([["two"]], [["2"]])
    assert (first.target, first.logged_doc_id, first.is_regular) == ("2", 5, True)
    assert (first.nth, second.nth) == (0, 1)
    assert report.notes == (f"{tmp_path}/answers.jsonl: 1 of 2 samples repeat a document",)
    assert column(engine, "run.model") == [OTHER]
    assert counts(engine, "scoring", "scored_evaluation", "task", "request") == {
        "scoring": 0, "scored_evaluation": 0, "task": 1, "request": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "named",
    [{"doc_id": 1}, {"doc_hash": doc_hash(DOC).hex()}, {"doc": DOC}, {"doc": DOC, "doc_id": 1}],
)
def test_what_was_asked_and_the_target_are_looked_up(
    logged: Engine, tmp_path: Path, named: dict[str, Any]
) -> None:
    before = counts(logged, "doc", "request", "context", "target")

    (one,) = samples(logged, take(logged, tmp_path, named | {"response": "two"}))

    assert json.loads(one.doc) == DOC
    assert one.arguments == [[PROMPT, {"until": ["\n"], "top_p": 0.5}]]
    assert (one.target, one.logged_doc_id) == ("2", 1)
    assert counts(logged, "doc", "request", "context", "target") == before


def test_choices_are_answered_by_log_likelihoods(logged: Engine, tmp_path: Path) -> None:
    report = take(logged, tmp_path, {"doc_id": 2, "responses": PAIRS}, task="things")

    (one,) = samples(logged, report)
    assert one.responses == [[["-1.5", "True"]], [["-2.5", "False"]], [["-3.5", "False"]]]
    assert [request[1] for request in one.arguments] == [" ein", " zwei", " drei"]


def test_what_is_on_the_line_wins(logged: Engine, tmp_path: Path) -> None:
    lines = (
        {"doc_id": 1, "prompt": "Say it", "response": "x"},
        {"doc_id": 1, "target": "II", "response": "x"},
        {"doc_id": 1, "doc_hash": doc_hash(sums_line(2)["doc"]).hex(), "response": "x"},
    )

    prompt, target, number = samples(logged, take(logged, tmp_path, *lines))

    assert (prompt.arguments, prompt.target) == ([["Say it", {}]], "2")
    assert (target.arguments[0][0], target.target) == (PROMPT, "II")
    assert (number.logged_doc_id, number.target) == (1, "4")


def test_a_text_needs_no_prompt(logged: Engine, tmp_path: Path) -> None:
    report = take(logged, tmp_path, {"doc": {"new": 1}, "response": "x"})

    (one,) = samples(logged, report)
    assert one.arguments == [["", {}]]
    assert (one.target, one.target_is_json) == ("null", True)
    assert "1 of 1 samples have an empty prompt" in report.notes[0]


def test_two_ways_of_asking_are_no_answer(logged: Engine, tmp_path: Path) -> None:
    other = [sums_line(1, arguments={"gen_args_0": {"arg_0": "Otherwise", "arg_1": {}}})]
    Log({"sums": other}, date="2026-02-02T10-00-00").write(tmp_path / "other")
    ingest_paths(logged, [str(tmp_path / "other")])

    report = take(logged, tmp_path, {"doc_id": 1, "response": "x"})

    assert samples(logged, report)[0].arguments == [["", {}]]


def test_the_same_way_logged_twice_is_one(logged: Engine, tmp_path: Path) -> None:
    other = [sums_line(1, doc_id=17, doc_hash="0" * 64)]
    Log({"sums": other}, date="2026-02-02T10-00-00").write(tmp_path / "other")
    ingest_paths(logged, [str(tmp_path / "other")])

    report = take(logged, tmp_path, {"doc_hash": doc_hash(DOC).hex(), "response": "x"})

    assert samples(logged, report)[0].arguments[0][0] == PROMPT


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown number": ({"doc_id": 99, "response": "x"}, "doc_id: the store has no document 99"),
    "an unknown hash": ({"doc_hash": "0" * 64, "response": "x"}, "doc_hash: the store has no"),
    "too many answers": (
        {"doc_id": 1, "responses": [["x"], ["y"]]},
        "responses: 2 of them for 1 requests",
    ),
    "of another kind": (
        {"doc_id": 1, "responses": [[-1.5, True]]},
        "responses: log-likelihood responses to a request for text",
    ),
    "choices that nobody asked": (
        {"doc": {"new": 1}, "responses": PAIRS},
        "arguments: missing, and nothing is stored for the document: give arguments",
    ),
    "no field": ({"doc_id": 1, "respnse": "x"}, "respnse: no field of a response"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_line_keeps_all_of_its_file_out(logged: Engine, tmp_path: Path, name: str) -> None:
    line, message = WRONG[name]
    before = counts(logged)

    report = take(logged, tmp_path, {"doc_id": 1, "response": "x"}, line)

    (error,) = report.errors
    assert (error.file, error.line) == (f"{tmp_path}/answers.jsonl", 2)
    assert message in error.message
    assert counts(logged) == before


def test_a_number_of_two_documents_names_neither(logged: Engine, tmp_path: Path) -> None:
    other = [sums_line(7, doc_id=1)]
    Log({"sums": other}, date="2026-02-02T10-00-00").write(tmp_path / "other")
    ingest_paths(logged, [str(tmp_path / "other")])

    report = take(logged, tmp_path, {"doc_id": 1, "response": "x"})

    assert "doc_id: 2 documents of task sums are logged with 1" in report.errors[0].message


def test_a_document_of_another_task_is_unknown(logged: Engine, tmp_path: Path) -> None:
    hash_ = doc_hash(choices()[0]["doc"]).hex()

    report = take(logged, tmp_path, {"doc_hash": hash_, "response": "x"})

    assert "has no document" in report.errors[0].message


def test_a_file_without_lines_is_an_error(engine: Engine, tmp_path: Path) -> None:
    report = take(engine, tmp_path)

    assert "no lines: give one JSON object a line" in report.errors[0].message
    assert counts(engine, "run") == {"run": 0}


# ------------------------------------------------------------------------------ runs and versions


def test_the_same_again_adds_nothing(logged: Engine, tmp_path: Path) -> None:
    first = take(logged, tmp_path, {"doc_id": 1, "response": "x"})
    before = counts(logged)

    again = take(logged, tmp_path, {"response": "x", "doc_id": 1})

    assert again.runs == first.runs
    assert again.skipped[0].reason == f"already in the store as run {first.runs[0]}"
    assert counts(logged) == before


def test_another_task_joins_the_run_and_other_responses_make_a_version(
    logged: Engine, tmp_path: Path
) -> None:
    first = take(logged, tmp_path, {"doc_id": 1, "response": "x"})
    joined = take(logged, tmp_path, {"doc_id": 2, "responses": PAIRS}, task="things")
    other = take(logged, tmp_path, {"doc_id": 1, "response": "y"})

    assert joined.runs == first.runs
    assert other.runs != first.runs
    assert "other responses than version 1 of the run has" in other.notes[0]
    assert column(logged, "run.version") == [1, 1, 2]


def test_a_date_is_kept_as_lm_eval_writes_it(logged: Engine, tmp_path: Path) -> None:
    take(logged, tmp_path, {"doc_id": 1, "response": "x"}, date="2026-03-02T10-04-27.5")

    assert column(logged, "run.date")[-1] == "2026-03-02T10:04:27.5"


@pytest.mark.parametrize(
    ("of", "message"),
    [
        (ResponsesOf("", "m"), "--task ''"),
        (ResponsesOf("t", "m\x00"), "--model 'm\\x00'"),
        (ResponsesOf("t", "m", "yesterday"), "--date 'yesterday': give a date such as"),
        (ResponsesOf("t", "m", "2026-02-31"), "--date '2026-02-31'"),
        (ResponsesOf("t", "m", "2026"), "--date '2026'"),
    ],
)
def test_names_and_dates_are_checked(
    engine: Engine, tmp_path: Path, of: ResponsesOf, message: str
) -> None:
    path = write(tmp_path, {"doc": {}, "response": ""})

    with pytest.raises(UsageError) as error:
        ingest_responses(engine, path, of)

    assert message in str(error.value)


def test_a_file_has_to_be_there(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no such file"):
        ingest_responses(engine, str(tmp_path / "x.jsonl"), ResponsesOf("t", "m"))


def test_many_lines_go_in_batch_by_batch(engine: Engine, tmp_path: Path) -> None:
    told: list[int] = []
    lines = [{"doc": {"n": at % 700}, "response": str(at)} for at in range(1200)]
    path = write(tmp_path, *lines)
    path_size = (tmp_path / "answers.jsonl").stat().st_size

    def note(done: int, total: int, what: str) -> None:
        assert (total, what) == (path_size, path)
        told.append(done)

    report = ingest_responses(engine, path, ResponsesOf("t", "m"), progress=note)

    found = samples(engine, report)
    assert [one.responses for one in found] == [[[str(at)]] for at in range(1200)]
    assert [one.nth for one in found] == [0] * 700 + [1] * 500
    assert counts(engine, "doc") == {"doc": 700}
    assert told


# ------------------------------------------------------------------------------------- and out


def test_responses_go_out_and_in_again(logged: Engine, tmp_path: Path) -> None:
    hostile = {"q": "\ud83d \x00 \u2028", "n": 10**30, "x": -0.0}
    line = {"doc": hostile, "response": "\udead\x00", "target": ["\udead"]}
    take(logged, tmp_path, line, {"doc_id": 1, "responses": ["a", "b"]})

    report = export(logged, tmp_path / "out", format="responses")

    written = files_in(tmp_path / "out")
    assert sorted(written) == [
        "larch__wren-1b/responses_sums_2026-01-05T09-30-00.000101.jsonl",
        "larch__wren-1b/responses_things_2026-01-05T09-30-00.000101.jsonl",
        "tern-ai__heron-7b/responses_sums.jsonl",
    ]
    assert report.notes == ()
    for number, (name, content) in enumerate(written.items()):
        task = "things" if "things" in name else "sums"
        of = ResponsesOf(task, f"model-{number}")
        (tmp_path / "again.jsonl").write_bytes(content)
        again = ingest_responses(logged, str(tmp_path / "again.jsonl"), of)
        assert again.errors == ()
        export(logged, tmp_path / "round", format="responses", runs=(f"model-{number}",))
        path = tmp_path / "round" / f"model-{number}" / f"responses_{task}.jsonl"
        assert path.read_bytes() == content


def test_what_a_line_cannot_say_is_told(engine: Engine, tmp_path: Path) -> None:
    lines = [sums_line(0, resps=[[None]]), sums_line(1), sums_line(2, arguments={})]
    ingest_paths(engine, [str(Log({"sums": lines}).write(tmp_path / "in"))])

    report = export(engine, tmp_path / "out", format="responses")

    assert report.lines == 1
    assert "2 of 3 samples of sums are left out" in report.notes[0]


def test_there_is_no_log_to_export(logged: Engine, tmp_path: Path) -> None:
    run = take(logged, tmp_path, {"doc_id": 1, "response": "x"}).runs[0]

    report = export(logged, tmp_path / "out", runs=(str(run),))

    assert report.files == ()
    assert "`--format responses` writes them" in report.notes[0]
