"""A slot outlives its children: killed, hung, out of memory or simply wrong."""

from __future__ import annotations

import io
import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import TaskError
from rescore_db.harness.interface import TaskRequest
from rescore_db.rescoring.pipe import read_message, write_message
from rescore_db.rescoring.pool import Pool, workers_for
from rescore_db.rescoring.slot import ChildDiedError, Slot, SlotClosedError
from rescore_db.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

MISSING = TaskRequest("no_such_task_at_all").to_json()


@pytest.fixture
def settings() -> Settings:
    return Settings.from_environment()


def broken_task(folder: Path, body: str) -> str:
    """A task whose Python file does something bad when it is imported."""
    (folder / "bad.py").write_text(body)
    (folder / "bad.yaml").write_text(
        "task: bad\ndataset_path: json\noutput_type: generate_until\ntest_split: test\n"
        "doc_to_text: q\ndoc_to_target: a\nprocess_results: !function bad.process\n"
    )
    return TaskRequest("bad", include_paths=(str(folder),)).to_json()


def test_messages_pass_as_they_are() -> None:
    message = {"text": "\ud800 \x00 ü", "nan": [float("inf"), 10**40], "none": None}
    stream = io.BytesIO()
    write_message(stream, message)
    stream.seek(0)
    assert read_message(stream) == message
    assert read_message(stream) is None


def test_a_cut_message_is_no_message() -> None:
    stream = io.BytesIO()
    write_message(stream, {"a": 1})
    assert read_message(io.BytesIO(stream.getvalue()[:-1])) is None


def test_a_child_that_hangs_is_stopped_and_named(settings: Settings, tmp_path: Path) -> None:
    request = broken_task(tmp_path, "while True:\n    pass\n")
    with Slot(replace(settings, child_seconds=0.2)) as slot:
        with pytest.raises(ChildDiedError, match="building task bad: not done after 2 s") as caught:
            slot.call("define", request=request, first_doc="{}")
        assert not caught.value.was_killed
        (tmp_path / "bad.py").write_text("raise ValueError('broken module')\n")
        with pytest.raises(TaskError, match="broken module"):
            slot.call("define", request=request, first_doc="{}")


def test_a_killed_child_is_told_from_one_that_ends_itself(
    settings: Settings, tmp_path: Path
) -> None:
    with Slot(settings) as slot:
        timer = threading.Timer(
            0.3,
            lambda: os.kill(slot._running().process.pid, signal.SIGKILL),  # noqa: SLF001
        )
        timer.start()
        with pytest.raises(ChildDiedError, match="SIGKILL") as caught:
            slot.call("define", request=MISSING, first_doc="{}")
        assert caught.value.was_killed
        timer.join()
        gone = broken_task(
            tmp_path,
            "import os\nos.write(2, b'last words')\nos._exit(7)\n",
        )
        with pytest.raises(ChildDiedError, match=r"exit code 7\): last words") as caught:
            slot.call("define", request=gone, first_doc="{}")
        assert not caught.value.was_killed


def test_work_that_is_called_off_ends_and_is_not_tried_again(settings: Settings) -> None:
    with Slot(settings) as slot:
        timer = threading.Timer(0.3, slot.interrupt)
        timer.start()
        with pytest.raises(SlotClosedError):
            slot.call("define", request=MISSING, first_doc="{}")
        with pytest.raises(SlotClosedError):
            slot.call("define", request=MISSING, first_doc="{}")
        timer.join()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("raise SystemExit(3)\n", "exit"),
        ("x = bytearray(3_000_000_000)\n", "memory"),
        ("print('noise on stdout')\nraise ValueError('broken module')\n", "broken module"),
    ],
)
def test_a_task_that_misbehaves_is_an_error_of_the_task(
    settings: Settings, tmp_path: Path, body: str, says: str
) -> None:
    request = broken_task(tmp_path, body)
    with (
        Slot(replace(settings, child_mb=2000)) as slot,
        pytest.raises(TaskError, match=f"(?i){says}"),
    ):
        slot.call("define", request=request, first_doc="{}")


def test_our_own_bug_keeps_the_childs_traceback(settings: Settings) -> None:
    with Slot(settings) as slot, pytest.raises(RuntimeError, match="KeyError"):
        slot.call("no_such_operation")


def test_a_pool_gives_every_result_and_the_first_error(settings: Settings) -> None:
    def unit(slot: Slot) -> int:
        assert isinstance(slot, Slot)
        return 1

    def fail(slot: Slot) -> int:
        message = f"no {slot is None}"
        raise TaskError(message)

    with Pool(settings, 2) as pool:
        assert sum(pool.run([unit] * 50)) == 50
        with pytest.raises(TaskError):
            list(pool.run([unit, fail]))


@pytest.mark.parametrize(
    ("samples", "asked", "expected"), [(10, None, 1), (10, 3, 3), (0, None, 1)]
)
def test_few_samples_need_one_child(samples: int, asked: int | None, expected: int) -> None:
    assert workers_for(samples, asked) == expected
