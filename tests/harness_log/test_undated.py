from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rescore_db.errors import NotFoundError
from rescore_db.harness_log.discovery import Discovery, discover

ARRAY = '[\n  {\n    "doc_id": 0,\n    "doc": {"question": "?"}\n  }\n]'


def results(arguments: str, *tasks: str, **more: Any) -> str:
    content = {
        "results": {task: {"acc,none": 0.5} for task in tasks},
        "configs": {task: {"task": task} for task in tasks},
        "versions": {},
        "config": {"model": "hf", "model_args": arguments},
        **more,
    }
    return json.dumps(content, indent=2)


def layout(found: Discovery) -> dict[str, list[tuple[str, str]]]:
    """Origin → name and task of each samples file."""
    return {
        run.origin: [(os.path.basename(one.path), one.task) for one in run.samples]  # noqa: PTH119
        for run in found.runs
    }


def test_a_folder_of_0_4_0_is_one_run(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results("pretrained=a/x,dtype=b", "arc", "my_arc", "no"))
    for task in ("arc", "my_arc"):
        (tmp_path / f"pretrained__a__x,dtype__b_{task}.jsonl").write_text(ARRAY)

    found = discover([str(tmp_path)])

    (run,) = found.runs
    assert (run.date, run.results) == ("", str(tmp_path / "results.json"))
    assert {one.form for one in run.samples} == {"array"}
    assert layout(found) == {
        f"{tmp_path.name}/results": [
            ("pretrained__a__x,dtype__b_arc.jsonl", "arc"),
            ("pretrained__a__x,dtype__b_my_arc.jsonl", "my_arc"),
        ]
    }
    assert (found.skipped, found.errors) == ((), ())


def test_several_runs_in_a_folder_keep_their_own_samples(tmp_path: Path) -> None:
    for model in "xy":
        (tmp_path / f"{model}.json").write_text(results(f"pretrained={model}", "arc"))
        (tmp_path / f"pretrained={model}_arc.jsonl").write_text(ARRAY)

    assert layout(discover([str(tmp_path)])) == {
        "x": [("pretrained=x_arc.jsonl", "arc")],
        "y": [("pretrained=y_arc.jsonl", "arc")],
    }


def test_samples_of_another_model_are_never_given_to_a_run(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results("pretrained=y", "arc"))
    for model in "xy":
        (tmp_path / f"pretrained=x{model}_arc.jsonl".replace("xy", "y")).write_text(ARRAY)

    found = discover([str(tmp_path)])

    assert list(layout(found).values()) == [[("pretrained=y_arc.jsonl", "arc")]]
    (error,) = found.errors
    assert error.file.endswith("pretrained=xx_arc.jsonl")
    assert "put the results file into the same folder" in error.message


def test_a_renamed_samples_file_is_known_by_its_task(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results("pretrained=y", "arc"))
    (tmp_path / "mine_arc.jsonl").write_text(ARRAY)

    assert list(layout(discover([str(tmp_path)])).values()) == [[("mine_arc.jsonl", "arc")]]


def test_samples_named_alone_bring_their_results(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results("pretrained=y", "arc", "other"))
    (tmp_path / "package.json").write_text("{}")
    for task in ("arc", "other"):
        (tmp_path / f"pretrained=y_{task}.jsonl").write_text(ARRAY)

    found = discover([str(tmp_path / "pretrained=y_arc.jsonl")])

    assert list(layout(found).values()) == [[("pretrained=y_arc.jsonl", "arc")]]
    assert found.skipped == ()


def test_results_alone_are_runs_told_apart_by_their_names(tmp_path: Path) -> None:
    for step in (1, 2):
        (tmp_path / f"step{step}.json").write_text(results("pretrained=y", "arc"))
    (tmp_path / "step2.json.gz").touch()

    runs = discover([str(tmp_path)]).runs

    assert [(run.date, run.origin, run.samples) for run in runs] == [
        ("", "step1", ()),
        ("", "step2", ()),
    ]


def test_a_date_in_the_content_dates_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(results("pretrained=y", "arc", date=1757422800.5))

    (run,) = discover([str(tmp_path)]).runs

    assert (run.date, run.origin) == ("2025-09-09T13:00:00.500000", "")


def test_keys_in_another_order_are_results_all_the_same(tmp_path: Path) -> None:
    content = json.loads(results("pretrained=y", "arc"))
    (tmp_path / "sorted.json").write_text(json.dumps(content, sort_keys=True))

    assert len(discover([str(tmp_path)]).runs) == 1


def test_results_that_are_cut_are_an_error_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(results("pretrained=y", "arc")[:40])

    (error,) = discover([str(tmp_path)]).errors

    assert error.line
    assert "not valid JSON" in error.message


def test_what_is_no_run_says_why(tmp_path: Path) -> None:
    (tmp_path / "arc_write_out_info.json").write_text('[{"doc_id": 0, "prompt_0": "?"}]')
    (tmp_path / "gsm8k.jsonl").write_text('{"doc_id": 0, "doc": {}}\n')
    (tmp_path / "config.json").write_text('{"config": 1}')
    (tmp_path / "deep.json").write_text('{"results": 1, "x": ' + "[" * 100_000)

    with pytest.raises(NotFoundError, match="no lm-eval files here that can be read") as caught:
        discover([str(tmp_path)])

    told = str(caught.value)
    assert "(--write_out)" in told
    assert "name them samples_<task>_<date>.jsonl" in told
    assert told.count("not a file of lm-eval") == 1
    assert str(Path(tmp_path, "deep.json")) in told


def test_an_array_without_results_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pretrained=y_arc.jsonl").write_text(ARRAY)

    found = discover([str(tmp_path)])

    assert found.runs == ()
    assert len(found.errors) == 1
