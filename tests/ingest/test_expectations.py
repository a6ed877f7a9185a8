"""Every row of the damaged logs' own table of what must happen, where these logs are at hand.

Asserted for each: exit code, what is said, what is stored, and that it comes out as it was.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from rescore_db.cli.main import main
from rescore_db.store import schema
from rescore_db.store.engine import open_engine, reading
from rescore_db.store.logged_lines import iter_lines
from tests.ingest.stored import column, counts, exact
from tests.ingest.test_conformance import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    Ingest = Callable[..., tuple[int, dict[str, Any], str]]

TABLE = HOSTILE / "EXPECT.md"
ROW = re.compile(r"^\| `(?P<path>[^`]+)/` \|", re.MULTILINE)

pytestmark = pytest.mark.skipif(
    not TABLE.is_file(), reason=f"no damaged logs at {HOSTILE}: set RESCORE_TEST_LOGS"
)


@dataclass(frozen=True)
class Lossless:
    """It goes in and comes out as it was; `note` must be said, `odd` lines have hashes that lie."""

    samples: int
    lines: int
    note: str = ""
    odd: int = 0
    incomplete: bool = False


@dataclass(frozen=True)
class Bad:
    """It is named with its line, nothing of it is stored; `kept` samples go in with the flag."""

    line: int | None
    words: str
    kept: int | None  # None: an error with the flag, too
    others: int = 0  # samples of other files that go in


EXPECTED: dict[str, Lossless | Bad] = {
    "truncated_last_line": Bad(20, "the file ends in the middle of this line", 10),
    "invalid_json_middle": Bad(5, "not valid JSON", 9),
    "nan_inf_metrics": Lossless(10, 10),
    "lone_surrogate_escape": Lossless(10, 20),
    "line_separators": Lossless(10, 20),
    "nul_characters": Lossless(
        11, 20, "1 of 11 samples have a logged hash", odd=1, incomplete=True
    ),
    "huge_integers": Lossless(10, 10, "3 of 10 samples have a logged hash", odd=3),
    "duplicate_doc_ids": Lossless(10, 10, "1 of 10 samples repeat a document"),
    "non_string_response": Lossless(10, 20),
    "no_results_file": Lossless(10, 10, "configurations, aggregates and the lm-eval version are"),
    "no_samples_file": Lossless(0, 0),
    "empty_samples_file": Bad(None, "no lines where the results file announces 10 documents", None),
    "blank_lines": Lossless(10, 10),
    "gzip": Lossless(10, 20),
    "zstd_copy": Lossless(10, 20, "a second copy of"),
    "latin1": Bad(1, "not UTF-8, the encoding that lm-eval writes", None),
    "metric_named_like_field": Lossless(10, 20, "10 of 10 samples have a logged hash", odd=10),
    "metric_missing": Lossless(10, 10, "metric acc_norm of filter none is on no line"),
    "unknown_task": Lossless(10, 20),
    "bom": Lossless(10, 10),
    "wrong_doc_hash": Lossless(10, 10, "10 of 10 samples have a logged hash", odd=10),
    "filter_incomplete": Lossless(
        10, 17, "filter strict-match has 7 of 10 samples: the evaluation is", incomplete=True
    ),
    "shuffled_lines": Lossless(10, 20),
    "truncated_results": Bad(61, "the file is cut or damaged, copy it again", None, others=10),
    "deep_nesting": Bad(2, "nested too deeply", 1),
    "unrelated": Lossless(0, 0, "not a file of lm-eval, by its name and its content"),
    "same_run_twice/copy1": Lossless(10, 10),
    "same_run_twice/copy2": Lossless(10, 10),
    "conflicting_rerun/first": Lossless(10, 10),
    "conflicting_rerun/second": Lossless(10, 10),
}


@pytest.fixture
def ingest(store_url: str, capsys: pytest.CaptureFixture[str]) -> Ingest:
    """Run the command; returns exit code, report and all that is said."""

    def run(name: str, *more: str) -> tuple[int, dict[str, Any], str]:
        code = main(["ingest", str(HOSTILE / name), "--json", "--db", store_url, *more])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, json.loads(told.out) if told.out else {}, told.out + told.err

    return run


@pytest.fixture
def stored(store_url: str) -> Iterator[Engine]:
    """The store, opened beside the command."""
    engine = open_engine(store_url)
    yield engine
    engine.dispose()


def rows() -> list[str]:
    return ROW.findall(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else []


def test_every_row_is_looked_at() -> None:
    assert set(rows()) == set(EXPECTED)


def of_kind(kind: type) -> list[str]:
    return [name for name, what in EXPECTED.items() if isinstance(what, kind)]


@pytest.mark.parametrize("name", of_kind(Lossless))
def test_what_is_only_odd_goes_in_and_comes_out(ingest: Ingest, stored: Engine, name: str) -> None:
    expected = EXPECTED[name]
    assert isinstance(expected, Lossless)

    code, report, said = ingest(name)

    assert (code, report["errors"]) == (0, [])
    assert (report["samples"], len(report["runs"])) == (expected.samples, 1)
    assert expected.note in said
    assert sum(column(stored, "evaluation.n_lines")) == expected.lines
    assert sum(column(stored, "evaluation.n_hash_mismatches")) == expected.odd
    assert any(column(stored, "evaluation.incomplete")) == expected.incomplete
    assert_comes_back(stored, expected.lines)
    again = ingest(name)
    assert (again[0], again[1]["samples"], again[1]["evaluations"]) == (0, 0, 0)
    assert len(column(stored, "run.id")) == 1
    flagged = ingest(name, "--skip-bad-lines")
    assert (flagged[0], flagged[1]["quarantined"], flagged[1]["samples"]) == (0, 0, 0)


@pytest.mark.parametrize("name", of_kind(Bad))
def test_what_is_damaged_is_named_and_nothing_of_it_stored(
    ingest: Ingest, stored: Engine, name: str
) -> None:
    expected = EXPECTED[name]
    assert isinstance(expected, Bad)

    code, report, said = ingest(name)

    (error,) = report["errors"]
    assert (code, error["line"]) == (1, expected.line)
    assert expected.words in error["message"]
    place = error["file"] + (f":{expected.line}" if expected.line else "")
    assert f"rescore: {place}: {error['message']}" in said
    assert report["samples"] == expected.others
    assert len(report["runs"]) == 1  # its aggregates, or its samples
    assert_comes_back(stored, expected.others)


@pytest.mark.parametrize("name", of_kind(Bad))
def test_bad_lines_can_be_left_out(ingest: Ingest, stored: Engine, name: str) -> None:
    expected = EXPECTED[name]
    assert isinstance(expected, Bad)

    code, report, _ = ingest(name, "--skip-bad-lines")

    if expected.kept is None:
        assert (code, report["quarantined"]) == (1, 0)
        assert report["samples"] == expected.others
        return
    assert (code, report["errors"], report["quarantined"]) == (0, [], 1)
    assert report["samples"] == expected.kept
    assert column(stored, "quarantine.number") == [expected.line]
    assert column(stored, "evaluation.incomplete") == [True]
    (bad,) = column(stored, "quarantine.content")
    (path,) = (HOSTILE / name).rglob("samples_*")
    assert path.read_bytes().splitlines(keepends=True)[(expected.line or 0) - 1] == bad
    again = ingest(name, "--skip-bad-lines")
    assert (again[0], again[1]["samples"], again[1]["quarantined"]) == (0, 0, 0)


def test_a_copy_adds_nothing_and_a_rerun_is_another_version(ingest: Ingest, stored: Engine) -> None:
    first, second = (ingest(f"same_run_twice/copy{at}") for at in (1, 2))
    assert (first[0], first[1]["evaluations"]) == (0, 1)
    assert (second[0], second[1]["evaluations"]) == (0, 0)
    assert "already in the store as run" in second[2]
    undamaged = ingest("conflicting_rerun/first")  # the same run once more
    assert (undamaged[0], undamaged[1]["evaluations"]) == (0, 0)

    code, report, said = ingest("conflicting_rerun/second")

    assert (code, report["evaluations"]) == (0, 1)
    assert "differs from version 1 (run 1), it is stored as another version of the run" in said
    assert column(stored, "run.version") == [1, 2]
    assert_comes_back(stored, 20)


def test_what_is_not_of_lm_eval_is_named_as_skipped(ingest: Ingest, stored: Engine) -> None:
    _, report, _ = ingest("unrelated")

    skipped = {Path(one["file"]).name for one in report["skipped"]}
    files = {path.name for path in (HOSTILE / "unrelated").iterdir()}
    assert skipped == files - {"results_old.json"}
    assert counts(stored, "run", "sample") == {"run": 1, "sample": 0}


def assert_comes_back(engine: Engine, lines: int) -> None:
    """Every stored file comes out as it was; `lines` of them in all."""
    evaluation, source = schema.evaluation, schema.source_file
    query = select(evaluation.c.id, source.c.path).join(source)
    with reading(engine) as conn:
        found = 0
        for key, path in conn.execute(query).all():
            back = [exact(line) for line in iter_lines(conn, key)]
            assert back == records(Path(path)), path
            found += len(back)
    assert found == lines


def records(path: Path) -> list[str]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    return [exact(json.loads(line)) for line in text.split("\n") if line.strip()]
