from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.results import model_from_folder, read_results

if TYPE_CHECKING:
    from pathlib import Path

CONTENT: dict[str, Any] = {
    "results": {
        "sums": {
            "alias": "sums",
            "sample_len": 4,
            "exact_match,strict": 0.1 + 0.2,
            "exact_match_stderr,strict": "N/A",
            "exact_match,loose": math.nan,
            "my_stderr,loose": 3,  # a metric that is only named like an error
        },
        "family": {"alias": "family", "acc,none": 0.5, "acc_stderr,none": 0.1, "sample_len": 9},
    },
    "groups": {
        "family": {"acc,none": 0.5, "acc_stderr,none": 0.1, "sample_count": {"acc,none": 7}}
    },
    "group_subtasks": {"family": ["left", "right"], "sums": []},
    "configs": {
        "sums": {"task": "sums", "output_type": "generate_until"},
        "left": {"task": "left"},
    },
    "versions": {"sums": 2.0, "left": "Yaml"},
    "n-shot": {"sums": 5},
    "higher_is_better": {"sums": {"exact_match": True, "my_stderr": None}},
    "n-samples": {"sums": {"original": 100, "effective": 4}},
    "config": {"model_args": {"pretrained": "from/args"}, "bootstrap_iters": 1000},
    "lm_eval_version": "0.4.13",
    "model_name": "larch/wren-1b",
}


def write(folder: Path, content: object) -> str:
    path = folder / "results_x.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_aggregates_come_out_exactly(tmp_path: Path) -> None:
    path = write(tmp_path, CONTENT)

    found = read_results(path)
    sums = found.tasks["sums"]

    assert found.model == "larch/wren-1b"
    assert (found.lm_eval_version, found.bootstrap_iters) == ("0.4.13", 1000)
    assert found.digest == hashlib.sha256((tmp_path / "results_x.json").read_bytes()).digest()
    assert json.dumps(json.loads(found.text)) == json.dumps(CONTENT)
    assert sums.metrics["strict", "exact_match"] == (0.1 + 0.2, "N/A")
    assert math.isnan(sums.metrics["loose", "exact_match"][0])
    assert sums.metrics["loose", "my_stderr"] == (3, None)
    assert sums.higher_is_better == {"exact_match": True, "my_stderr": None}
    assert (sums.version_json, sums.num_fewshot) == ("2.0", 5)
    assert (sums.n_original, sums.n_effective) == (100, 4)
    assert json.loads(sums.config_json or "") == CONTENT["configs"]["sums"]


def test_groups_are_told_from_tasks(tmp_path: Path) -> None:
    found = read_results(write(tmp_path, CONTENT))

    (group,) = found.groups
    assert group.name == "family"
    assert group.metrics == {("none", "acc"): (0.5, 0.1)}
    assert group.n == {("none", "acc"): 7}
    assert found.group_subtasks == {"family": ("left", "right")}
    assert set(found.tasks) == {"sums", "left"}


def test_a_group_is_known_by_its_members_where_no_groups_are_listed(tmp_path: Path) -> None:
    content = {key: value for key, value in CONTENT.items() if key != "groups"}

    (group,) = read_results(write(tmp_path, content)).groups

    assert (group.name, group.n) == ("family", {("none", "acc"): 9})


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        ({"pretrained": "a/b"}, "a/b"),
        ("pretrained=a/b,dtype=bfloat16", "a/b"),
        ("model=gemma3:12b,base_url=http://x/y", "gemma3:12b"),
        ("dtype=float", None),
        (None, None),
    ],
)
def test_the_model_is_taken_from_its_arguments(
    tmp_path: Path, arguments: object, model: str | None
) -> None:
    content = CONTENT | {"model_name": None, "config": {"model_args": arguments}}

    assert read_results(write(tmp_path, content)).model == model


def test_the_folder_names_a_model(tmp_path: Path) -> None:
    assert model_from_folder(str(tmp_path / "larch__wren__2" / "x.json")) == "larch/wren__2"


@pytest.mark.parametrize(
    ("raw", "line", "words"),
    [
        (json.dumps(CONTENT, indent=2)[:200].encode(), 9, "not valid JSON"),
        (b"[1, 2]", None, "not a results file"),
        (b'{"results": []}', None, "not a results file"),
        (b'{"results": "\xe9"}', None, "UTF-8"),
        (b'{"results": {"a\\u0000": {"x,y": 1}}, "configs": {}}', None, "no database holds"),
    ],
)
def test_a_bad_file_says_where_and_why(
    tmp_path: Path, raw: bytes, line: int | None, words: str
) -> None:
    path = tmp_path / "results_x.json"
    path.write_bytes(raw)

    with pytest.raises(LogFormatError, match=words) as caught:
        read_results(str(path))

    assert (caught.value.file, caught.value.line) == (str(path), line)


def test_odd_entries_do_not_matter(tmp_path: Path) -> None:
    content = {
        "results": {"sums": {"acc,none": None}, "odd": 3},
        "configs": {},
        "versions": [],
        "n-samples": {"sums": 4},
        "config": "text",
        "groups": {"g": None},
    }

    found = read_results(write(tmp_path, content))

    assert set(found.tasks) == {"sums"}
    assert found.tasks["sums"].metrics == {("none", "acc"): (None, None)}
    assert found.tasks["sums"].config_json is None
    assert found.groups == ()
