"""Names of files: lm-eval's where they can be, safe where they cannot, and never one twice."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db.export.places import MAX_BYTES, Places, safe_name
from rescore_db.store.logged_files import LoggedRun

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)


def run(key: int = 1, model: str = "larch/wren-1b", date: str = "", origin: str = "") -> LoggedRun:
    return LoggedRun(key, model, date, origin, has_results=True)


def place(places: Places, one: LoggedRun, *names: str, has_samples: bool = False) -> str:
    return str(places.claim(one, names, has_samples=has_samples))


@given(texts, st.sampled_from(["", ".json", "_2026-01-05T09-30-00.jsonl"]))
def test_any_name_stays_in_its_folder(stem: str, ending: str) -> None:
    name = safe_name(stem, ending)

    assert PurePosixPath(name).parts == (name,)
    assert name not in {"", ".", ".."}
    assert len(name.encode()) <= MAX_BYTES
    assert "\x00" not in name
    assert name.endswith(ending)


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("larch/wren-1b", "larch__wren-1b"),
        ("hf://larch:wren*[1]", "hf__larch__wren__1__"),
        ("..", "__"),
        ("", "__"),
        ("../../etc", "..__..__etc"),
        ("a\x00b", "a__b"),
    ],
)
def test_a_model_has_the_folder_that_lm_eval_gives_it_or_a_safe_one(
    model: str, folder: str
) -> None:
    assert place(Places(), run(model=model), "results.json") == folder


def test_what_was_changed_is_told() -> None:
    places = Places()

    place(places, run(model=".."), "results.json")
    names = places.names(run(), [("samples_a/b", ".jsonl"), ("samples_c", ".jsonl")])

    assert names == ["samples_a__b.jsonl", "samples_c.jsonl"]
    assert [note.partition(": ")[2] for note in places.notes] == [
        "'..' is no folder's name: its files are in __",
        "'samples_a/b.jsonl' is written as samples_a__b.jsonl",
    ]


def test_two_names_that_become_one_stay_apart() -> None:
    names = Places().names(run(), [("samples_a/b", ".jsonl"), ("samples_a\\b", ".jsonl")])

    assert len(set(names)) == 2
    assert all(name.startswith("samples_a__b") for name in names)


def test_a_second_run_with_the_same_names_gets_a_folder_of_its_own() -> None:
    places = Places()

    assert place(places, run(1), "results.json") == "larch__wren-1b"
    assert place(places, run(2, model="larch:wren-1b"), "other.json") == "larch__wren-1b"
    assert place(places, run(7), "results.json") == "run-7/larch__wren-1b"
    assert len(places.notes) == 1


def test_of_undated_runs_with_samples_each_has_its_folder() -> None:
    places = Places()

    assert place(places, run(1, origin="a"), "a.json") == "larch__wren-1b"
    assert place(places, run(2, origin="b"), "b.json") == "larch__wren-1b"
    with_samples = run(3, origin="c")
    assert place(places, with_samples, "c.json", "x", has_samples=True) == "run-3/larch__wren-1b"


def test_an_undated_run_lies_where_its_origin_says() -> None:
    assert place(Places(), run(origin="wren/results"), "results.json") == "wren"
    assert place(Places(), run(origin="../results"), "results.json") == "__"
