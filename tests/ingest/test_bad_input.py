"""Whatever is given: a clear error, a store as it was, no traceback, bounded memory."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.cli.main import main
from rescore_db.ingest import ingest_paths
from rescore_db.store.engine import open_engine
from tests.ingest.logs import DATE, Log, choices, dump, sums, sums_line
from tests.ingest.program import limited, run, start
from tests.ingest.stored import counts, lines_back
from tests.ingest.whole import whole_at

if TYPE_CHECKING:
    from collections.abc import Iterator

Captured = pytest.CaptureFixture[str]
MB = 1_000_000


def ingest(capsys: Captured, url: str, path: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    """Run the command; return exit code, report and messages."""
    code = main(["ingest", str(path), "--json", "--db", url, *more])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return code, json.loads(told.out) if told.out else {}, told.err


# -------------------------------------------------------------------------------------- the disk


def test_a_full_disk_is_told_and_a_repetition_finishes(sqlite_url: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    lines = [
        sums_line(number, "strict", resps=[["x" * 900 + str(number)]]) for number in range(3000)
    ]
    Log({"choices": choices(), "sums": lines}).write(logs)
    store = Path(sqlite_url.removeprefix("sqlite:///"))
    limit = store.stat().st_size + 400_000

    code, _, err = run(
        sqlite_url, "ingest", str(logs), preexec_fn=limited(resource.RLIMIT_FSIZE, limit)
    )

    assert code == 3
    assert "Traceback" not in err
    assert "can't be used" in err
    found = whole_at(sqlite_url)
    assert found["problems"] == ()
    assert found["sample rows"] in {0, 4}
    assert run(sqlite_url, "ingest", str(logs))[0] == 0
    assert whole_at(sqlite_url)["sample rows"] == 3004


AS_NOBODY = """
import os, sys
from rescore_db.cli.main import main
logs, first, second = sys.argv[1:]
main(["ingest", logs, "--db", first])  # root's Python may be in a folder of root's
if os.geteuid() == 0:  # root may write everywhere
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(main(["ingest", logs, "--db", second]))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="rescore-test-"))
    made.chmod(0o755)
    yield made
    for path in made.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(made)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_store_that_may_not_be_written_is_told(
    sqlite_template: Path, open_folder: Path, is_there: bool
) -> None:
    Log({"sums": sums()}).write(open_folder / "logs")
    store = open_folder / "shut" / "store.db"
    store.parent.mkdir()
    if is_there:
        store.write_bytes(sqlite_template.read_bytes())
        store.chmod(0o444)
    store.parent.chmod(0o555)
    line = (f"{open_folder}/logs", f"sqlite:///{open_folder}/first.db", f"sqlite:///{store}")

    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", AS_NOBODY, *line],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 3, done.stderr
    assert str(store) in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in store.parent.iterdir()] == (["store.db"] if is_there else [])
    if is_there:
        assert store.read_bytes() == sqlite_template.read_bytes()


# ------------------------------------------------------------------------------------- the lines


def big_line(size: int) -> dict[str, Any]:
    return sums_line(0, "strict", resps=[["x" * size]])


def peak_mb(url: str, path: Path, **how: Any) -> tuple[int, float, str]:
    """Ingest in a process of its own; return exit code, peak memory in MB, and messages."""
    program = (
        "import re, sys; from rescore_db.cli.main import main; code = main(sys.argv[1:]); "
        "status = open('/proc/self/status').read(); "
        "print(re.search('VmHWM:(.*)kB', status)[1], file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-c", program, "ingest", str(path), "--db", url],
        capture_output=True, text=True, check=False, timeout=240,
        env=os.environ | how.pop("env", {}),
    )  # fmt: skip
    *told, peak = done.stderr.strip().splitlines()
    return done.returncode, int(peak) / 1000, "\n".join(told)


def test_a_line_of_200_mb_goes_in(sqlite_url: str, tmp_path: Path) -> None:
    Log({"sums": [big_line(200 * MB)]}).write(tmp_path / "logs")

    code, peak, told = peak_mb(sqlite_url, tmp_path / "logs")

    assert (code, told) == (0, "")
    assert peak < 2_000  # a few copies of the line
    engine = open_engine(sqlite_url)
    (line,) = lines_back(engine, "sums")
    assert len(line) > 200 * MB
    engine.dispose()


def test_a_line_over_the_limit_costs_no_more_than_the_limit(
    sqlite_url: str, tmp_path: Path
) -> None:
    raw = dump([sums_line(1), big_line(120 * MB), sums_line(2)])
    folder = Log({"sums": raw, "choices": choices()}).write(tmp_path / "logs")
    few = {"RESCORE_MAX_LINE_MB": "5"}

    code, peak, told = peak_mb(sqlite_url, tmp_path / "logs", env=few)

    assert code == 1
    assert f"samples_sums_{DATE}.jsonl:2: the line is longer than 5 MB" in told
    assert "raise the limit by RESCORE_MAX_LINE_MB" in told
    assert peak < 250
    line = ("ingest", "--skip-bad-lines", str(folder))
    assert run(sqlite_url, *line, env=few)[0] == 0
    engine = open_engine(sqlite_url)
    assert counts(engine, "sample", "quarantine") == {"sample": 6, "quarantine": 1}
    engine.dispose()


@pytest.mark.parametrize("depth", [900, 3_000, 200_000])
def test_deep_nesting_goes_in_or_names_its_line(
    store_url: str, tmp_path: Path, capsys: Captured, depth: int
) -> None:
    deep = b'"deep": ' + b"[" * depth + b"]" * depth + b", "
    raw = dump(sums()).split(b"\n")
    raw[1] = raw[1].replace(b'"question"', deep + b'"question"', 1)
    Log({"sums": b"\n".join(raw), "choices": choices()}).write(tmp_path)

    code, report, err = ingest(capsys, store_url, tmp_path)

    if code:
        assert [error["line"] for error in report["errors"]] == [2]
        assert "nested too deeply" in err
        assert "mend or remove the line" in err
        assert report["samples"] == 4
    else:
        assert report["samples"] == 9  # the other filter's line has another document


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_is_named(
    store_url: str, tmp_path: Path, capsys: Captured, encoding: str
) -> None:
    text = dump(sums()).decode().replace("What", "Wœs" if encoding != "latin-1" else "Was für")
    Log({"sums": text.encode(encoding), "choices": choices()}).write(tmp_path)

    code, report, err = ingest(capsys, store_url, tmp_path)

    assert (code, report["samples"], len(report["errors"])) == (1, 4, 1)
    assert "UTF-8" in err
    assert "iconv" in err


# ------------------------------------------------------------------------------------- the files


def test_a_folder_that_is_named_like_a_file_is_looked_into(
    store_url: str, tmp_path: Path, capsys: Captured
) -> None:
    inside = tmp_path / f"samples_sums_{DATE}.jsonl"
    Log({"sums": sums()}).write(inside)
    (tmp_path / f"results_{DATE}.json").mkdir()

    code, report, _ = ingest(capsys, store_url, tmp_path)

    assert (code, report["samples"], report["errors"]) == (0, 4, [])


def test_a_file_that_grows_while_it_is_read_is_whole_or_cut_never_mixed(
    store_url: str, tmp_path: Path, capsys: Captured
) -> None:
    lines = [dump([sums_line(number, "strict")]) for number in range(4000)]
    folder = Log({"sums": b"".join(lines[:2000])}, results=None).write(tmp_path)
    path = folder / f"samples_sums_{DATE}.jsonl"
    done = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            for line in lines[2000:]:
                file.write(line[:30])
                file.write(line[30:])
                time.sleep(0)
        done.set()

    writer = threading.Thread(target=grow)
    writer.start()
    code, report, _ = ingest(capsys, store_url, tmp_path)
    writer.join()

    assert done.is_set()
    first = report["samples"]
    assert first == 0 if code else first >= 2000
    again, report, _ = ingest(capsys, store_url, tmp_path)
    assert again == 0
    engine = open_engine(store_url)
    newest = 2 if 0 < first < 4000 else 1
    assert lines_back(engine, "sums", newest) == [json.dumps(json.loads(line)) for line in lines]
    engine.dispose()


def test_pipes_and_devices_are_no_files(store_url: str, tmp_path: Path, capsys: Captured) -> None:
    folder = Log({"choices": choices()}).write(tmp_path)
    os.mkfifo(folder / f"samples_sums_{DATE}.jsonl")
    (folder / f"samples_null_{DATE}.jsonl").symlink_to("/dev/null")
    (folder / f"samples_self_{DATE}.jsonl").symlink_to(f"samples_self_{DATE}.jsonl")

    code, report, _ = ingest(capsys, store_url, tmp_path)

    assert report["samples"] == 4
    assert code == (1 if report["errors"] else 0)


def test_a_file_that_vanishes_is_named(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rescore_db.ingest.run import RunIngest

    folder = Log({"sums": sums(), "choices": choices()}).write(tmp_path)
    path = folder / f"samples_sums_{DATE}.jsonl"
    ingest_run = RunIngest.ingest

    def late(self: RunIngest) -> None:
        path.unlink()
        ingest_run(self)

    monkeypatch.setattr(RunIngest, "ingest", late)
    engine = open_engine(store_url)
    report = ingest_paths(engine, [str(tmp_path)])
    engine.dispose()

    (error,) = report.errors
    assert (error.file, report.samples) == (str(path), 4)
    assert "cannot be read: No such file" in error.message


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\n\n", b"{}\n", b"[]", b"null\n", b'"text"\n', b"\x00" * 100, b"\xef\xbb\xbf",
        b'{"doc_id": 0}\n', b"{" * 100_000, b'{"a": ' * 100_000, b"\r\n" * 1000,
        b'{"doc": {}, "target": 1, "arguments": 2, "resps": 3, "filtered_resps": 4, "filter": 5}',
    ],
    ids=range(13),
)  # fmt: skip
def test_any_bytes_end_in_a_message_or_in_the_store(
    store_url: str, tmp_path: Path, capsys: Captured, raw: bytes
) -> None:
    Log({"sums": raw, "choices": choices()}).write(tmp_path)

    code, report, _ = ingest(capsys, store_url, tmp_path)

    assert code == (1 if report["errors"] else 0)
    assert report["samples"] >= 4
    skipping = ingest(capsys, store_url, tmp_path, "--skip-bad-lines")
    assert skipping[0] in {0, 1}


def test_a_store_that_is_in_use_is_waited_for(sqlite_url: str, tmp_path: Path) -> None:
    import sqlite3

    Log({"sums": sums()}).write(tmp_path / "logs")
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    process = start(
        sqlite_url, "ingest", str(tmp_path / "logs"), env={"RESCORE_BUSY_SECONDS": "0.5"}
    )
    _, err = process.communicate(timeout=60)
    other.execute("ROLLBACK")
    other.close()
    assert process.returncode == 3
    assert "Traceback" not in err
    assert run(sqlite_url, "ingest", str(tmp_path / "logs"))[0] == 0
