from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.results import (
    is_results,
    model_from_folder,
    read_results,
    training_step,
)

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
    assert found.strange == (
        "`versions` is of type list where a mapping belongs: passed over",
        "`config` is of type str where a mapping belongs: passed over",
        "`results` of 'odd' is of type int where a mapping belongs: passed over",
        "`n-samples` of 'sums' is of type int where a mapping belongs: passed over",
    )


OF_0_3: dict[str, Any] = {
    "results": {
        "arc": {"acc": 0.25, "acc_stderr": 0.01, "acc_norm": 0.5, "acc_norm_stderr": 0.02},
        "wiki": {"word_perplexity": math.inf},
    },
    "versions": {"arc": 0, "wiki": 1},
    "config": {
        "model": "hf-causal",
        "model_args": "use_accelerate=True,pretrained=larch/wren-160m,revision=step53000",
        "num_fewshot": 5,
        "limit": None,
        "bootstrap_iters": 100000,
    },
}
OF_0_4_0: dict[str, Any] = {
    "results": {
        "left": {"acc,none": 0.5, "acc_stderr,none": 0.1, "alias": " - left"},
        "right": {"acc,none": 0.25, "acc_stderr,none": 0.1, "alias": " - right"},
        "family": {"acc,none": 0.375, "acc_stderr,none": 0.1, "alias": "family"},
    },
    "groups": {"family": {"acc,none": 0.375, "acc_stderr,none": 0.1, "alias": "family"}},
    "configs": {
        "left": {"task": "left", "group": ["family", "other"], "metadata": [{"version": 2.0}]},
        "right": {"task": "right", "group": "family", "num_fewshot": 3},
    },
    "versions": {"left": "Yaml", "right": "Yaml"},
    "config": {"model": "hf", "model_args": "pretrained=/models/wren/checkpoint-500,dtype=float"},
    "git_hash": "75a76af",
}


def test_results_before_0_4_are_read(tmp_path: Path) -> None:
    found = read_results(write(tmp_path, OF_0_3))

    assert set(found.tasks) == {"arc", "wiki"}
    arc = found.tasks["arc"]
    assert arc.metrics == {("none", "acc"): (0.25, 0.01), ("none", "acc_norm"): (0.5, 0.02)}
    assert found.tasks["wiki"].metrics == {("none", "word_perplexity"): (math.inf, None)}
    assert (arc.version_json, arc.num_fewshot, arc.config_json) == ("0", 5, None)
    assert (found.model, found.step, found.date) == ("larch/wren-160m", 53000, None)
    assert (found.lm_eval_version, found.bootstrap_iters) == (None, 100000)
    assert json.loads(found.text) == OF_0_3


def test_early_results_of_0_4_are_read(tmp_path: Path) -> None:
    found = read_results(write(tmp_path, OF_0_4_0))

    assert set(found.tasks) == {"left", "right"}
    assert [one.version_json for one in found.tasks.values()] == ["2.0", '"Yaml"']
    assert [one.num_fewshot for one in found.tasks.values()] == [None, 3]
    assert [group.name for group in found.groups] == ["family"]
    assert found.group_subtasks == {"family": ("left", "right")}
    assert (found.model, found.step) == ("/models/wren/checkpoint-500", 500)


def test_a_model_keeps_its_name_over_its_steps(tmp_path: Path) -> None:
    steps = {}
    for step in (0, 1000, 143000):
        arguments = f"pretrained=larch/wren-160m,revision=step{step}"
        content = OF_0_3 | {"config": OF_0_3["config"] | {"model_args": arguments}}
        found = read_results(write(tmp_path, content))
        steps[found.model, training_step(found)] = step

    assert steps == {("larch/wren-160m", step): step for step in (0, 1000, 143000)}


@pytest.mark.parametrize(
    ("arguments", "name", "step"),
    [
        ({"pretrained": "a/b", "revision": "step1000"}, "results.json", 1000),
        ({"pretrained": "a/b", "revision": "stage1-step140000-tokens294B"}, "x.json", 140000),
        ({"pretrained": "/m/step9/global_step10000/"}, "x.json", 10000),
        ({"pretrained": "/m/iter_0001000", "revision": "main"}, "x.json", 1000),
        ({"pretrained": "a/b", "peft": "out/checkpoint-750"}, "x.json", 750),
        ({"pretrained": "a/b"}, "1.4b-5shot_step53000.json", 53000),
        ({"pretrained": "a/b", "revision": "step7"}, "x_step9.json", 7),
        ({"pretrained": "a/footstep5b", "revision": "main"}, "multistep3.json", None),
        ({"pretrained": "a/step1.5"}, "results_2024-01-13T01-02-03.000403.json", None),
        ({"pretrained": "a/step3b", "revision": None}, "x.json", None),
    ],
)
def test_the_training_step_is_found(
    tmp_path: Path, arguments: dict[str, Any], name: str, step: int | None
) -> None:
    path = tmp_path / name
    path.write_text(json.dumps(CONTENT | {"config": {"model_args": arguments}}), encoding="utf-8")

    assert training_step(read_results(str(path))) == step


def test_another_name_tells_the_step_where_the_results_do_not(tmp_path: Path) -> None:
    found = read_results(write(tmp_path, CONTENT))

    assert training_step(found) is None
    assert training_step(found, "wren_step20") == 20
    assert training_step(None, "wren-checkpoint-30") == 30
    assert training_step(None) is None


@pytest.mark.parametrize(
    ("logged", "date"),
    [
        (1705107323.000403, "2024-01-13T00:55:23.000403"),
        (1705107323, "2024-01-13T00:55:23"),
        ("2024-01-13", None),
        (math.nan, None),
        (-1, None),
        (1e300, None),
        (True, None),
        (None, None),
    ],
)
def test_the_date_is_in_utc(tmp_path: Path, logged: object, date: str | None) -> None:
    assert read_results(write(tmp_path, CONTENT | {"date": logged})).date == date


@pytest.mark.parametrize(
    ("content", "is_ours"),
    [
        (OF_0_3, True),
        ({key: OF_0_3[key] for key in ("results", "versions")}, True),
        ({"results": {"a": {"x": 1}}, "versions": {"b": 0}}, False),
        ({"results": {"a": {"x": "1"}}, "versions": {"a": 0}}, False),
        ({"results": {"a": {"x": "1"}}, "versions": {"a": 0}, "config": {"model": "hf"}}, True),
        ({"results": {"a": {}}, "versions": {"a": 0}}, False),
        ({"results": {}, "versions": {}, "config": {"model": "hf"}}, False),
        ({"results": {"a": 1}, "versions": {"a": 0}}, False),
        ({"results": {"a": {"x": 1}}}, False),
        ({"rows": [1]}, False),
        ([], False),
    ],
)
def test_results_files_are_told_from_other_json(content: object, is_ours: bool) -> None:
    assert is_results(content) is is_ours
