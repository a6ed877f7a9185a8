"""A definition is found where the user says, and refused with the reason where it can't be used."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import NotFoundError, RescoreError, TaskError, UsageError
from rescore_db.harness.offline import load_task
from tests.harness.logs import as_json, request, to_samples
from tests.harness.small_tasks import GENERATION, doc, sample, write_task

if TYPE_CHECKING:
    from pathlib import Path

    from rescore_db.harness.interface import TaskRequest
    from tests.truth import Truth

DOC = doc("7")
GROUP = """
group: family
task:
  - {task: small, metric_list: [{metric: exact_match, aggregation: median, higher_is_better: true}]}
  - task: inline
    dataset_path: json
    output_type: generate_until
    test_split: test
    doc_to_text: "{{question}}"
    doc_to_target: "{{answer}} apples"
  - group: inner
    task:
      - task: deep
        dataset_path: json
        test_split: test
        doc_to_text: q
        doc_to_target: "{{answer}}"
metadata: {version: 4}
"""


def test_a_definition_says_where_it_came_from(tmp_path: Path) -> None:
    request = write_task(tmp_path, "include: base.yaml\n", base="task: small\n")
    (tmp_path / "base.yaml").write_text(GENERATION.replace("task: small\n", ""), "utf-8")

    definition = load_task(request, DOC).definition

    assert definition.source == "include-path"
    assert definition.files == (str(tmp_path / "small.yaml"), str(tmp_path / "base.yaml"))
    assert (definition.name, definition.version, definition.filters) == ("small", 1.5, ("none",))
    assert definition.metrics == ("exact_match",)
    assert definition.code == ()


def test_a_yaml_file_wins(tmp_path: Path) -> None:
    request = write_task(tmp_path / "indexed")
    write_task(tmp_path / "given", "filter_list: [{name: up, filter: [{function: uppercase}]}]")

    task = load_task(replace(request, task_yaml=str(tmp_path / "given" / "small.yaml")), DOC)

    assert task.definition.source == "task-yaml"
    assert task.definition.filters == ("up",)


def test_code_is_named_by_its_content_not_by_its_place(tmp_path: Path) -> None:
    code = "def score(doc, results):\n    return {'right': doc['answer'] == results[0]}\n"
    more = "process_results: !function functions.score\n"

    here = load_task(write_task(tmp_path / "here", more, code), DOC).definition.code
    there = load_task(write_task(tmp_path / "there", more, code), DOC).definition.code
    other = load_task(write_task(tmp_path / "other", more, code + "\n"), DOC).definition.code

    assert here == there != other
    assert [name for name, _ in here] == ["functions.score"]


def test_a_task_in_a_group_takes_what_the_group_changes(tmp_path: Path) -> None:
    request = write_task(tmp_path)
    (tmp_path / "family.yaml").write_text(GROUP, "utf-8")

    alone = json.loads(load_task(request, DOC).definition.config_json)
    member = json.loads(load_task(replace(request, groups=("family",)), DOC).definition.config_json)

    assert alone["metric_list"][0]["aggregation"] == "mean"
    assert member["metric_list"][0]["aggregation"] == "median"


def test_tasks_inside_a_group_are_found(tmp_path: Path) -> None:
    request = write_task(tmp_path)
    (tmp_path / "family.yaml").write_text(GROUP, "utf-8")

    inline = load_task(replace(request, name="family::inline"), DOC)
    deep = load_task(replace(request, name="family::inner::deep"), DOC)

    assert inline.target_texts([sample("7", "")]) == ["7 apples"]
    assert inline.definition.source == "include-path"
    assert deep.target_texts([sample("7", "")]) == ["7"]


def test_a_metric_of_choices_needs_no_function_from_elsewhere(truth: Truth) -> None:
    lines = truth.samples("small_pairs")
    metrics = [{"metric": "f1", "hf_evaluate": True, "aggregation": "f1", "higher_is_better": True}]

    task = load_task(request("small_pairs", metrics_json=json.dumps(metrics)), lines[0]["doc"])

    scores = task.score(to_samples(lines))
    assert [as_json(one.metrics) for one in scores] == [{"f1": line["f1"]} for line in lines]


REFUSED: list[tuple[str, dict[str, Any], type[RescoreError], str]] = [
    ("a misspelt name", {"name": "smal"}, TaskError, "did you mean small"),
    ("a group", {"name": "family"}, TaskError, "is a group"),
    ("a tag", {"name": "few"}, TaskError, "is a tag of 1 tasks: small"),
    ("no such inline task", {"name": "family::none"}, TaskError, "no task named 'family::none'"),
    ("no such file", {"task_yaml": "/nowhere/x.yaml"}, NotFoundError, "--task-yaml"),
    ("no such folder", {"include_paths": ("/nowhere",)}, NotFoundError, "--include-path"),
    ("a filter's typo", {"filters_json": '[{"name":"x","filter":[{"function":"regx"}]}]'},
     TaskError, "did you mean regex"),
    ("a broken regex",
     {"filters_json": '[{"name":"x","filter":[{"function":"regex","regex_pattern":"("}]}]'},
     TaskError, "filter 'x': regex refuses"),
    ("no filters", {"filters_json": "[]"}, TaskError, "filter list"),
    ("a filter without steps", {"filters_json": '[{"name":"x"}]'}, TaskError, "`filter`"),
    ("a metric's typo", {"metrics_json": '[{"metric":"exact_mach"}]'},
     TaskError, "did you mean exact_match"),
    ("an aggregation's typo", {"metrics_json": '[{"metric":"exact_match","aggregation":"men"}]'},
     TaskError, "did you mean"),
    ("a metric that would be downloaded",
     {"metrics_json": '[{"metric":"wer","hf_evaluate":true,"aggregation":"mean",'
                      '"higher_is_better":false}]'},
     TaskError, "never uses the network"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "kind", "said"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
def test_what_cannot_be_is_refused_in_one_message(
    tmp_path: Path, changes: dict[str, Any], kind: type[RescoreError], said: str
) -> None:
    request = write_task(tmp_path, "tag: few\n")
    (tmp_path / "family.yaml").write_text(GROUP, "utf-8")

    with pytest.raises(kind, match=said) as caught:
        load_task(replace(request, **changes), DOC)

    assert "\n" not in str(caught.value)


BROKEN = {
    "YAML": ("task: small\nmetric_list: [", "", "small"),
    "a missing function": ("process_results: !function functions.none\n", "x = 1\n", "no function"),
    "a missing package": (
        "process_results: !function functions.f\n",
        "import a_package_that_nobody_has\n",
        "a_package_that_nobody_has",
    ),
    "code that raises": (
        "process_results: !function functions.f\n",
        "raise ValueError('no')\n",
        "no",
    ),
    "code that exits": (
        "process_results: !function functions.f\n",
        "raise SystemExit('bye')\n",
        "bye",
    ),
    "an unknown field": ("no_such_field: 1\n", "", "no_such_field"),
    "other documents": ("doc_to_choice: '{{options}}'\n", "", "options"),
}


@pytest.mark.parametrize(("more", "code", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_definition_says_what_is_broken(
    tmp_path: Path, more: str, code: str, said: str
) -> None:
    request = write_task(tmp_path, more, code)

    with pytest.raises(TaskError, match=said):
        load_task(request, DOC)


def test_code_executing_tasks_are_refused_before_their_code_is_loaded(tmp_path: Path) -> None:
    flag = tmp_path / "imported"
    request = write_task(
        tmp_path / "task",
        "unsafe_code: true\nprocess_results: !function functions.score\n",
        f"open({str(flag)!r}, 'w').close()\ndef score(doc, results):\n    return {{'right': 1}}\n",
    )

    with pytest.raises(TaskError, match="--allow-unsafe"):
        load_task(request, DOC)
    assert not flag.exists()

    task = load_task(replace(request, allow_unsafe=True), DOC)
    assert task.score([sample("7", "7")])[0].metrics == {"right": 1}


def test_filters_are_replaced(tmp_path: Path) -> None:
    request = write_task(tmp_path)
    filters = [{"name": "lower", "filter": [{"function": "lowercase"}, {"function": "take_first"}]}]

    task = load_task(replace(request, filters_json=json.dumps(filters)), doc("yes"))

    (score,) = task.score([sample("yes", "YES")])
    assert (score.filter, score.filtered, score.metrics) == ("lower", ["yes"], {"exact_match": 1.0})


def test_metrics_are_replaced(tmp_path: Path) -> None:
    request = write_task(tmp_path)
    metrics = [{"metric": "exact_match", "ignore_case": True}, {"metric": "perplexity"}]

    task = load_task(replace(request, metrics_json=json.dumps(metrics)), doc("yes"))

    (score,) = task.score([sample("yes", "YES")])
    assert score.metrics["exact_match"] == 1.0
    assert task.definition.higher_is_better == {"exact_match": True, "perplexity": False}


def scored_by_itself(tmp_path: Path) -> TaskRequest:
    return write_task(
        tmp_path,
        "process_results: !function functions.score\n",
        "def score(doc, results):\n    return {'exact_match': 1.0}\n",
    )


def test_metrics_of_a_task_that_scores_itself_stay(tmp_path: Path) -> None:
    request = replace(scored_by_itself(tmp_path), metrics_json='[{"metric": "exact_match"}]')

    with pytest.raises(UsageError, match="its own"):
        load_task(request, DOC)


def test_a_class_is_a_task_too(tmp_path: Path) -> None:
    code = """
        from lm_eval.api.task import ConfigurableTask

        class Own(ConfigurableTask):
            VERSION = 9

            def __init__(self, config=None):
                super().__init__(config={"metadata": {"version": self.VERSION}})

            def has_test_docs(self):
                return True

            def doc_to_text(self, doc):
                return doc["question"]

            def doc_to_target(self, doc):
                return doc["answer"]

            def process_results(self, doc, results):
                return {"length": len(results[0]), "certainty": results[1][0]}

            def aggregation(self):
                return {"length": max, "certainty": min}

            def higher_is_better(self):
                return {"length": False, "certainty": True}
    """
    request = write_task(tmp_path, code=code, base="task: small\nclass: !function functions.Own\n")
    given = sample("7", "seven")
    given.arguments.append(["What?", " 7"])
    given.responses.append([["-1.5", "False"]])

    task = load_task(request, DOC)

    (score,) = task.score([given])
    assert score.metrics == {"length": 5, "certainty": -1.5}
    assert score.filtered == ["seven", ["-1.5", "False"]]
    assert (task.definition.version, task.definition.metrics) == (9, ("length", "certainty"))
    assert [name for name, _ in task.definition.code] == ["functions.Own"]
