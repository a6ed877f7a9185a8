from __future__ import annotations

import gzip
import http.server
import subprocess
import sys
import threading
import zipfile
from functools import partial
from typing import TYPE_CHECKING

import fsspec
import pytest

from rescore_db.errors import LogFormatError, NotFoundError, UsageError
from rescore_db.harness_log import locations, remote
from rescore_db.harness_log.discovery import discover
from rescore_db.harness_log.files import open_log, read_whole, size_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATE = "2026-01-05T09-30-00.000101"
RESULTS = '{"results": {}, "configs": {}}'
LINES = b'{"doc_id": 0}\n' * 100_000
SAMPLES = f"samples_sums_{DATE}.jsonl"


def write_run(folder: Path) -> Path:
    made = folder / "larch__wren-1b"
    made.mkdir(parents=True)
    (made / f"results_{DATE}.json").write_text(RESULTS)
    (made / SAMPLES).write_bytes(LINES)
    (made / f"samples_a b%_{DATE}.jsonl.gz").write_bytes(gzip.compress(LINES))
    return made


class Handler(http.server.SimpleHTTPRequestHandler):
    """Lists folders, knows a login, and refuses what is secret."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.refused():
            return
        if "unlisted" in self.path and self.path.endswith("/"):
            self.send_error(404)
            return
        try:
            super().do_GET()
        except ConnectionError:  # discovery reads how files begin, and hangs up
            self.close_connection = True

    def do_HEAD(self) -> None:
        if not self.refused():
            super().do_HEAD()

    def refused(self) -> bool:
        if "secret" in self.path and "Authorization" not in self.headers:
            self.send_error(401)
            return True
        return False


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder `web`."""
    (tmp_path / "web").mkdir()
    handler = partial(Handler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[str]:
    """A run in fsspec's memory."""
    files = fsspec.filesystem("memory")
    for path in write_run(tmp_path / "source").iterdir():
        files.pipe(f"/logs/larch__wren-1b/{path.name}", path.read_bytes())
    yield "memory://logs"
    files.rm("/logs", recursive=True)


def assert_is_the_run(paths: list[str]) -> None:
    found = discover(paths)

    (run,) = found.runs
    assert (found.errors, found.skipped) == ((), ())
    assert run.results is not None
    assert locations.base_name(run.results) == f"results_{DATE}.json"
    assert sorted(one.task for one in run.samples) == ["a b%", "sums"]
    for one in run.samples:
        assert read_whole(one.path) == LINES
    plain = next(one.path for one in run.samples if one.task == "sums")
    assert size_on_disk(plain) == len(LINES)
    with open_log(plain) as file:
        file.stream.readline()
        assert 0 < file.consumed() <= len(LINES)
        file.stream.read()
        assert file.consumed() == len(LINES)
    assert locations.folder_name(plain) == "larch__wren-1b"


@pytest.mark.parametrize("under", ["", "/", "/larch__wren-1b", "/*", "/larch*/*"])
def test_a_run_is_found_in_memory(memory: str, under: str) -> None:
    assert_is_the_run([memory + under])


def test_one_file_by_two_urls_is_one_file(memory: str) -> None:
    assert_is_the_run([memory, memory.replace("//", "///")])


def test_samples_behind_a_url_bring_their_results(memory: str) -> None:
    (run,) = discover([f"{memory}/larch__wren-1b/{SAMPLES}"]).runs

    assert run.results == f"{memory}/larch__wren-1b/results_{DATE}.json"
    assert [one.task for one in run.samples] == ["sums"]


def test_a_run_is_found_in_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for one in write_run(tmp_path).iterdir():
            archive.write(one, f"deep/larch__wren-1b/{one.name}")

    for start in ("", "deep", "deep/*/*"):
        assert_is_the_run([f"zip://{start}::{path}"])
    with pytest.raises(NotFoundError, match=r"zip://::.*logs\.zip"):
        discover([str(path)])


def test_an_archive_on_a_server_that_gives_no_parts_is_read(tmp_path: Path, web: str) -> None:
    with zipfile.ZipFile(tmp_path / "web" / "logs.zip", "w") as archive:
        for one in write_run(tmp_path).iterdir():
            archive.write(one, f"larch__wren-1b/{one.name}")

    assert_is_the_run([f"zip://::{web}/logs.zip"])
    assert_is_the_run([f"zip::{web}/logs.zip"])


def test_files_at_the_top_of_an_archive_are_in_a_folder_of_its_name() -> None:
    url = f"zip://{SAMPLES}::https://host/a/larch__wren-1b.zip?download=true"

    assert locations.folder_name(url) == "larch__wren-1b"


@pytest.mark.parametrize("under", ["", "/", "/larch__wren-1b", "/larch__wren-1b/*"])
def test_a_run_is_found_on_a_web_server(tmp_path: Path, web: str, under: str) -> None:
    write_run(tmp_path / "web")

    assert_is_the_run([web + under])


def test_a_file_on_a_web_server_brings_results_that_no_page_lists(tmp_path: Path, web: str) -> None:
    write_run(tmp_path / "web" / "unlisted")
    folder = f"{web}/unlisted/larch__wren-1b"

    (run,) = discover([f"{folder}/{SAMPLES}?download=true"]).runs

    assert run.results == f"{folder}/results_{DATE}.json"
    assert [one.task for one in run.samples] == ["sums"]


@pytest.mark.parametrize("path", ["/nowhere/", "/nowhere.json", "/nowhere/*.json"])
def test_what_a_server_does_not_have_is_not_found(web: str, path: str) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        discover([web + path])


@pytest.mark.parametrize("path", ["/secret/x.jsonl", "/secret/"])
def test_what_a_server_refuses_is_an_error(web: str, path: str) -> None:
    (error,) = discover([web + path]).errors

    assert error.message == "cannot be read: the server answers 401 Unauthorized"


@pytest.mark.parametrize("path", ["x.jsonl", "folder/"])
def test_a_server_that_is_away_is_an_error_without_the_password(path: str) -> None:
    (error,) = discover([f"http://user:hunter2@127.0.0.1:1/{path}"]).errors

    assert error.file == f"http://user:***@127.0.0.1:1/{path}"
    assert "cannot be read: " in error.message
    assert "hunter2" not in error.message


def test_credentials_open_files_and_are_not_shown(tmp_path: Path, web: str) -> None:
    write_run(tmp_path / "web" / "secret")
    url = web.replace("://", "://user:hunter2@")

    assert_is_the_run([f"{url}/secret/"])
    found = discover([f"{url}/secret/"])
    assert "hunter2" not in str(found)
    with open_log(f"{url}/secret/larch__wren-1b/{SAMPLES}") as file:
        assert "hunter2" not in file.name
    with pytest.raises(NotFoundError) as caught:
        discover([f"{url}/secret/nowhere.json"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:hunter2@bucket/x", "s3://key:***@bucket/x"),
        ("https://hunter2@host/x", "https://***@host/x"),
        ("https://host/x?X-Amz-Signature=hunter2&a=1", "https://host/x?X-Amz-Signature=***&a=1"),
        ("https://host/x?sv=1&sig=hunter2", "https://host/x?sv=1&sig=***"),
        ("zip://a::https://u:hunter2@h/x.zip", "zip://a::https://u:***@h/x.zip"),
        ("hf://datasets/org/name@main/x", "hf://datasets/org/name@main/x"),
        ("github://org:repo@main/x", "github://org:repo@main/x"),
        ("a/b:c@d", "a/b:c@d"),
    ],
)
def test_urls_are_shown_without_credentials(url: str, shown: str) -> None:
    assert locations.shown(url) == shown
    assert locations.real(shown) == url
    assert "hunter2" not in locations.without_secrets(f"403 for {url}, sorry", url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nope://a/b", "there is no way to read nope:// URLs"),
        ("zip://a", "write zip://INSIDE::ARCHIVE"),
    ],
)
def test_urls_that_cannot_be_read_say_why(url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        discover([url])
    with pytest.raises(UsageError, match=told):
        read_whole(url)


@pytest.mark.parametrize(("protocol", "extra"), [("s3", "s3"), ("gs", "gs"), ("hf", "hf")])
def test_a_missing_package_is_named_by_its_extra(
    monkeypatch: pytest.MonkeyPatch, protocol: str, extra: str
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    registry = sys.modules["fsspec.registry"]  # `fsspec.registry` is also the name of a mapping
    monkeypatch.setattr(registry, "get_filesystem_class", missing)

    with pytest.raises(UsageError, match=rf"pip install 'rescore_db\[{extra}\]'"):
        discover([f"{protocol}://a/b"])


def test_a_file_that_vanishes_before_it_is_read_is_an_error(memory: str) -> None:
    (run,) = discover([memory]).runs
    fsspec.filesystem("memory").rm(f"/logs/larch__wren-1b/{SAMPLES}")

    with pytest.raises(LogFormatError, match=r"sums.*cannot be read: no such file"):
        read_whole(next(one.path for one in run.samples if one.task == "sums"))


def test_a_connection_that_breaks_names_the_file(memory: str) -> None:
    class Broken:
        def read(self, _: int) -> bytes:
            msg = "connection lost"
            raise RuntimeError(msg)

        def close(self) -> None:
            pass

    with remote.RemoteStream(Broken(), f"{memory}/x") as stream:  # type: ignore[arg-type]
        with pytest.raises(OSError, match="connection lost") as caught:
            stream.read(1)
        assert caught.value.filename == f"{memory}/x"


def test_paths_on_this_machine_do_not_load_fsspec(tmp_path: Path) -> None:
    write_run(tmp_path)
    script = (
        "import sys\n"
        "from rescore_db.harness_log.discovery import discover\n"
        "from rescore_db.harness_log.files import read_whole\n"
        "[read_whole(path) for run in discover([sys.argv[1]]).runs for path in run.paths()]\n"
        "print(sorted({'fsspec', 'aiohttp', 'zstandard'} & set(sys.modules)))\n"
    )

    loaded = subprocess.check_output([sys.executable, "-c", script, str(tmp_path)])  # noqa: S603

    assert loaded == b"[]\n"
