"""Nothing under lm-eval reaches the network, our pipes, or the user's own NLTK."""

from __future__ import annotations

import os
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from rescore_db.harness.environment import child_environment, dispatched_features, environment
from rescore_db.harness.isolation import NetworkRefusedError, isolated
from rescore_db.harness.offline import load_task
from tests.harness.running import run_python
from tests.harness.small_tasks import doc, sample, write_task

if TYPE_CHECKING:
    from pathlib import Path

REACHING = {
    "socket": "socket.create_connection(('127.0.0.1', 9))",
    "a name": "socket.getaddrinfo('example.org', 443)",
    "connect_ex": "socket.socket().connect_ex(('127.0.0.1', 9))",
    "urllib": "__import__('urllib.request').request.urlopen('http://127.0.0.1:9/')",
    "requests": "__import__('requests').get('http://127.0.0.1:9/')",
}


@pytest.mark.parametrize("reach", REACHING.values(), ids=REACHING)
def test_a_metric_that_reaches_for_the_network_fails_its_document(
    tmp_path: Path, reach: str
) -> None:
    code = f"import socket\ndef score(doc, results):\n    {reach}\n    return {{'a': 1}}\n"
    request = write_task(tmp_path, "process_results: !function functions.score\n", code)

    (only,) = load_task(request, doc("1")).score([sample("1", "x")])

    assert "never uses the network" in (only.error or "")


def test_the_network_is_back_afterwards() -> None:
    before = (socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo)

    with pytest.raises(NetworkRefusedError), isolated():
        urllib.request.socket.create_connection(("127.0.0.1", 9))  # type: ignore[attr-defined]

    assert (socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo) == before


def test_sockets_of_this_machine_pass(tmp_path: Path) -> None:
    address = os.path.relpath(tmp_path / "s")  # short enough for a socket
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(address)
        server.listen()
        with isolated():
            client.connect(address)


def test_the_environment_of_a_child_is_taken_without_a_word() -> None:
    for wide in (False, True):
        child = child_environment(wide=wide)
        program = "from rescore_db.harness import environment as e; print(e.environment()['cpu'])"
        done = run_python(program, child)
        assert done.stderr == ""
        assert wide or "AVX512" not in done.stdout
        assert wide or "X86_V4" not in done.stdout
        off = child["NPY_DISABLE_CPU_FEATURES"].split()
        assert off == [] if wide else set(off) <= set(dispatched_features())


def test_an_environment_names_what_bits_depend_on() -> None:
    found = environment()

    assert list(found) == ["lm_eval", "python", "numpy", "machine", "cpu"]
    assert all(found.values())


NEEDS_PUNKT = """
import nltk

def score(doc, results):
    return {"sentences": len(nltk.sent_tokenize(results[0]))}
"""


def test_sentences_are_split_without_a_download(tmp_path: Path) -> None:
    write_task(tmp_path, "process_results: !function functions.score\n", NEEDS_PUNKT)
    program = (
        "from tests.harness.small_tasks import *; from rescore_db.harness.offline import load_task;"
        f"task = load_task(TaskRequest('small', ({str(tmp_path)!r},)), doc('1'));"
        "print(task.score([sample('1', 'Dr. Smith went home. He slept.')]))"
    )
    home = {"HOME": str(tmp_path), "RESCORE_CACHE": str(tmp_path / "cache"), "NLTK_DATA": ""}

    done = run_python(program, child_environment() | home)

    assert "'sentences': 2" in done.stdout
    made = tmp_path / "cache" / "nltk_data" / "tokenizers" / "punkt_tab" / "english"
    assert sorted(path.name for path in made.iterdir()) == [
        "abbrev_types.txt",
        "collocations.tab",
        "ortho_context.tab",
        "sent_starters.txt",
    ]


def test_a_download_of_nltk_is_refused_with_what_to_do(tmp_path: Path) -> None:
    code = (
        "import nltk\ndef score(doc, results):\n    nltk.download('words')\n    return {'a': 1}\n"
    )
    request = write_task(tmp_path, "process_results: !function functions.score\n", code)

    (only,) = load_task(request, doc("1")).score([sample("1", "x")])

    assert "python -m nltk.downloader words" in (only.error or "")


def test_what_nltk_has_need_not_be_downloaded(tmp_path: Path) -> None:
    code = "import nltk\ndef score(doc, results):\n    return {'a': nltk.download('punkt')}\n"
    request = write_task(tmp_path, "process_results: !function functions.score\n", code)

    (only,) = load_task(request, doc("1")).score([sample("1", "x")])

    assert only.metrics == {"a": True}
