"""Names lead to YAML files, quickly, and never to stale ones."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from rescore_db.errors import NotFoundError, TaskError
from rescore_db.harness import index, installed
from rescore_db.harness.index import TaskNames
from tests.harness.running import run_python

if TYPE_CHECKING:
    from pathlib import Path

TASK = "task: {name}\ndataset_path: json\noutput_type: generate_until\ntag: {tag}\n"


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for lm-eval's own 14,000 definitions, which take ten seconds."""
    folder = tmp_path / "registry"
    folder.mkdir()
    for name in ("alpha", "beta"):
        (folder / f"{name}.yaml").write_text(TASK.format(name=name, tag="greek"), "utf-8")
    (folder / "_all.yaml").write_text("group: letters\ntask: [alpha, beta]\n", "utf-8")
    stands_for = installed.InstalledLmEval("0.4.13", folder, 1)
    monkeypatch.setattr(index, "installed_lm_eval", lambda: stands_for)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_tasks_groups_and_tags_are_found(registry: Path, cache: Path) -> None:
    names = TaskNames(cache=cache)

    assert names.names() == ["alpha", "beta", "greek", "letters"]
    assert names.get("alpha").path == registry / "alpha.yaml"
    assert names.get("letters").kind == "group"
    assert names.tasks("greek") == ("alpha", "beta")
    assert names.tasks("alpha") == ("alpha",)


@pytest.mark.usefixtures("registry")
def test_an_include_path_wins_and_needs_no_registry(cache: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(TASK.format(name="alpha", tag="mine"), "utf-8")

    entry = TaskNames((str(own),), cache).get("alpha")

    assert entry.path == own / "mine.yaml"
    assert entry.included
    assert len(list((cache / "task-index").iterdir())) == 1


@pytest.mark.usefixtures("registry")
def test_the_last_include_path_wins(cache: Path, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        text = TASK.format(name="own", tag="mine")
        (tmp_path / folder / "own.yaml").write_text(text, "utf-8")

    entry = TaskNames((str(tmp_path / "first"), str(tmp_path / "second")), cache).get("own")

    assert entry.path == tmp_path / "second" / "own.yaml"


@pytest.mark.usefixtures("registry")
def test_a_changed_include_path_is_read_again(cache: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    assert TaskNames((str(own),), cache).find("late") is None

    (own / "late.yaml").write_text(TASK.format(name="late", tag="t"), "utf-8")

    assert TaskNames((str(own),), cache).find("late") is not None


def test_another_lm_eval_is_read_again(
    registry: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TaskNames(cache=cache).find("gamma") is None
    (registry / "gamma.yaml").write_text(TASK.format(name="gamma", tag="greek"), "utf-8")
    assert TaskNames(cache=cache).find("gamma") is None

    newer = installed.InstalledLmEval("0.4.14", registry, 2)
    monkeypatch.setattr(index, "installed_lm_eval", lambda: newer)

    assert TaskNames(cache=cache).find("gamma") is not None


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("damage", ["", "{", '{"format": 1}', "[]", "\x00" * 40])
def test_a_damaged_index_is_made_again(cache: Path, damage: str) -> None:
    TaskNames(cache=cache).find("alpha")
    (file,) = (cache / "task-index").iterdir()
    file.write_text(damage, "utf-8")

    assert TaskNames(cache=cache).find("alpha") is not None
    assert file.read_text("utf-8").startswith('{"format":1')


@pytest.mark.usefixtures("registry")
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written_only_costs_time(cache: Path) -> None:
    cache.mkdir(mode=0o500)

    assert TaskNames(cache=cache).find("alpha") is not None


@pytest.mark.usefixtures("registry")
def test_an_unknown_name_says_what_is_near_and_what_to_give(cache: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "broken.yaml").write_text("task: [alpha\n", "utf-8")
    names = TaskNames((str(own),), cache)

    with pytest.raises(TaskError, match="did you mean alpha") as caught:
        names.get("alfa")

    for said in ("lm-eval 0.4.13", "--include-path DIR", "--task-yaml FILE", "broken.yaml"):
        assert said in str(caught.value)


def test_an_include_path_must_exist(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        TaskNames((str(tmp_path / "nowhere"),))


def test_a_warm_look_up_never_imports_lm_eval(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(TASK.format(name="own", tag="t"), "utf-8")
    program = (
        "import sys; from rescore_db.harness.index import TaskNames;"
        f"TaskNames(({str(tmp_path)!r},)).get('own');"
        "print('lm_eval' in sys.modules)"
    )

    run_python(program)

    assert run_python(program).stdout.strip() == "False"
