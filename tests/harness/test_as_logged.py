"""A logged config is used where it says everything, and nothing in it is ever run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import TaskError
from rescore_db.harness.interface import TaskRequest
from rescore_db.harness.offline import load_task
from tests.harness.logs import as_json, blocks, results_of, to_samples, values_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.truth import Truth

DECLARATIVE = (
    "small_sums",
    "small_things",
    "small_weather",
    "small_last_word",
    "small_phrases",
    "small_pairs",
    "small_votes",
    "small_spellings",
    "small_trades_garden",
)
FUNCTIONAL = ("small_units", "small_orders", "small_pages", "small_fill_in")


@pytest.mark.parametrize("name", DECLARATIVE)
def test_a_declarative_config_is_enough(truth: Truth, name: str) -> None:
    results = truth.results()
    lines = truth.samples(name)
    samples = to_samples(lines)
    request = TaskRequest(name, config_json=json.dumps(results["configs"][name]))

    task = load_task(request, samples[0].doc)
    scores = task.score(samples)

    assert (task.definition.source, task.definition.files) == ("as-logged", ())
    logged = [line for block in blocks(lines).values() for line in block]
    assert [one.filtered for one in scores] == [line["filtered_resps"] for line in logged]
    assert [as_json(one.metrics) for one in scores] == [
        {metric: line[metric] for metric in line["metrics"]} for line in logged
    ]
    iters = results["config"]["bootstrap_iters"]
    expected = {key: value for key, value in results["results"][name].items() if "," in key}
    assert results_of(task, values_of(scores), iters) == expected


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_functions_in_a_log_are_refused_by_their_field(truth: Truth, name: str) -> None:
    request = TaskRequest(name, config_json=json.dumps(truth.results()["configs"][name]))

    with pytest.raises(TaskError, match="never run"):
        load_task(request, truth.samples(name)[0]["doc"])


CONFIG = {
    "output_type": "generate_until",
    "test_split": "test",
    "doc_to_text": "{{q}}",
    "doc_to_target": "{{a}}",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
DOC = {"q": "one?", "a": "1"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "source text": ({"doc_to_target": "def f(doc):\n    return 1\n"}, "doc_to_target"),
    "a lambda": ({"doc_to_target": "    f = lambda doc: 1\n"}, "doc_to_target"),
    "an address": ({"doc_to_target": "<function f at 0x7f01>"}, "doc_to_target"),
    "a partial": ({"doc_to_choice": "functools.partial(<function f at 0x7f>, 1)"}, "doc_to_choice"),
    "its own scores": ({"process_results": "anything"}, "process_results"),
    "an aggregation": (
        {"metric_list": [{"metric": "exact_match", "aggregation": "def f(x):\n    return 1"}]},
        "metric_list",
    ),
    "a filter's class": (
        {"filter_list": [{"name": "x", "filter": [{"function": "<class 'functions.F'>"}]}]},
        "filter_list",
    ),
    "an unknown filter": (
        {"filter_list": [{"name": "x", "filter": [{"function": "gone"}]}]},
        "no filter named 'gone'",
    ),
    "an unknown metric": ({"metric_list": [{"metric": "gone"}]}, "no metric named 'gone'"),
    "a metric from elsewhere": ({"metric_list": [{"metric": "../x", "hf_evaluate": True}]}, "code"),
    "predict_only": ({"metric_list": [{"metric": "bypass"}]}, "predict_only"),
    "promptsource": ({"use_prompt": "promptsource:x"}, "promptsource"),
    "unsafe code": ({"unsafe_code": True}, "allow-unsafe"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED.values(), ids=REFUSED)
def test_what_a_log_cannot_give_is_refused(changes: dict[str, Any], said: str) -> None:
    request = TaskRequest("old", config_json=json.dumps({**CONFIG, **changes}))

    with pytest.raises(TaskError, match=said):
        load_task(request, DOC)


@pytest.mark.parametrize("logged", ["{}", "null", "[]", '"text"'])
def test_a_log_without_the_config_is_refused(logged: str) -> None:
    with pytest.raises(TaskError, match="holds no config"):
        load_task(TaskRequest("old", config_json=logged), DOC)


def test_fields_that_only_made_documents_and_prompts_do_not_matter() -> None:
    logged = {
        **CONFIG,
        "process_docs": "def process_docs(dataset):\n    return dataset\n",
        "fewshot_config": {"samples": "<function samples at 0x7f>", "sampler": "unheard_of"},
        "group": "gone",
        "a_field_of_the_future": 1,
    }

    task = load_task(TaskRequest("old", config_json=json.dumps(logged)), DOC)

    assert task.definition.name == "old"


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.system('touch ' + mark) }}",
        "{{ self.__init__.__globals__ }}",
    ],
)
def test_a_logged_template_reaches_nothing_but_the_document(template: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    logged = {**CONFIG, "doc_to_target": template}
    request = TaskRequest("old", config_json=json.dumps(logged))

    with pytest.raises(TaskError, match=r"SecurityError|UndefinedError"):
        load_task(request, {**DOC, "mark": str(mark)})

    assert not mark.exists()
