"""One bad document costs one document; chance, output and mutation stay where they are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.harness.interface import Sample
from rescore_db.harness.offline import load_task
from rescore_db.harness.scoring import as_logged, as_response, request_type
from tests.harness.small_tasks import doc, sample, write_task

if TYPE_CHECKING:
    from pathlib import Path

    from rescore_db.harness.offline import OfflineTask

OWN_SCORE = "process_results: !function functions.score\n"
OWN_FILTER = "filter_list: [{name: own, filter: [{function: !function functions.Own}]}]\n"


def own_score(folder: Path, code: str) -> OfflineTask:
    return load_task(write_task(folder, OWN_SCORE, code), doc("1"))


def own_filter(folder: Path, body: str) -> OfflineTask:
    code = f"class Own:\n    def apply(self, resps, docs):\n        {body}\n"
    return load_task(write_task(folder, OWN_FILTER, code), doc("1"))


@pytest.mark.parametrize(
    "what", ["raise ValueError('not a number')", "raise SystemExit(3)", "1 / 0"]
)
def test_a_document_that_fails_is_named_and_the_others_are_scored(
    tmp_path: Path, what: str
) -> None:
    code = f"""
        def score(doc, results):
            if doc["answer"] == "2":
                {what}
            return {{"a": 1}}
    """
    task = own_score(tmp_path, code)

    first, second, third = task.score([sample("1", "x"), sample("2", "y"), sample("3", "z")])

    assert first.metrics == third.metrics == {"a": 1}
    assert (second.metrics, second.filtered) == ({}, ["y"])
    assert second.error is not None
    assert '"answer": "2"' in second.error
    assert second.error.startswith(
        ("ValueError: not a number", "SystemExit: 3", "ZeroDivisionError")
    )


def test_metrics_that_are_no_mapping_are_an_error(tmp_path: Path) -> None:
    task = own_score(tmp_path, "def score(doc, results):\n    return 1\n")

    (only,) = task.score([sample("1", "x")])

    assert only.error is not None


def test_a_filter_that_fails_on_some_documents_is_told_for_those(tmp_path: Path) -> None:
    filters = [
        {"name": "trim", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
        {"name": "plain", "filter": [{"function": "take_first"}]},
    ]
    request = replace(write_task(tmp_path), filters_json=json.dumps(filters))
    odd = Sample(doc("2"), [["What is 2?", {}]], [[None]])
    samples = [sample("1", " 1"), odd, sample("3", "3 "), sample("4", "4"), odd]

    scores = load_task(request, doc("1")).score(samples)

    trimmed = [one for one in scores if one.filter == "trim"]
    assert [one.error is None for one in trimmed] == [True, False, True, True, False]
    assert [one.metrics for one in trimmed if not one.error] == [{"exact_match": 1.0}] * 3
    assert "filter 'trim'" in (trimmed[1].error or "")
    assert '"answer": "2"' in (trimmed[1].error or "")
    assert [one.filtered for one in scores if one.filter == "plain"][1] == ["None"]


def test_a_filter_over_all_documents_fails_as_a_whole_and_names_the_culprit(
    tmp_path: Path,
) -> None:
    task = own_filter(tmp_path, "return [[int(r) for r in row] for row in resps]")

    first, second = task.score([sample("1", "1"), sample("2", "two")])

    assert not task.definition.per_doc_filters
    assert "all documents at once" in (first.error or "")
    assert "two" in (first.error or "")
    assert '"answer": "2"' in (second.error or "")


def test_a_filter_that_loses_documents_scores_none(tmp_path: Path) -> None:
    task = own_filter(tmp_path, "return resps[:1]")

    scores = task.score([sample("1", "1"), sample("2", "2")])

    assert all("1 of 2" in (one.error or "") for one in scores)


def test_samples_without_requests_are_told(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path), doc("1"))

    good, bad = task.score([sample("1", "1"), Sample(doc("2"), [], [])])

    assert good.metrics == {"exact_match": 1.0}
    assert bad.error is not None
    assert task.score([]) == []


def test_each_filter_sees_the_document_as_it_was(tmp_path: Path) -> None:
    filters = [{"name": name, "filter": [{"function": "take_first"}]} for name in ("a", "b")]
    request = write_task(
        tmp_path,
        OWN_SCORE,
        "def score(doc, results):\n    return {'n': len([doc['tags'].pop(), *doc['tags']])}\n",
    )
    task = load_task(replace(request, filters_json=json.dumps(filters)), doc("1", tags=[1, 2]))

    scores = task.score([sample("1", "x", tags=[1, 2])])

    assert [one.metrics for one in scores] == [{"n": 2}, {"n": 2}]


def test_what_a_task_prints_goes_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = "print('loading')\ndef score(doc, results):\n    print('hello')\n    return {'a': 1}\n"

    own_score(tmp_path, code).score([sample("1", "x")])

    assert capfd.readouterr() == ("", "")


RANDOM = {
    "random": "import random\ndef score(doc, results):\n    return {'a': random.random()}\n",
    "one name of it": """
        from random import random as draw
        def score(doc, results):
            return {'a': draw()}
    """,
    "numpy": "import numpy as np\ndef score(doc, results):\n    return {'a': np.random.rand()}\n",
    "behind a class": """
        import random
        class Judge:
            def verdict(self):
                return random.choice(range(1000))
        JUDGES = {"one": [Judge]}
        def ask(name):
            return JUDGES[name][0]().verdict()
        def score(doc, results):
            return {'a': ask("one")}
    """,
}


@pytest.mark.parametrize("code", RANDOM.values(), ids=RANDOM)
def test_chance_is_seen_in_the_code_and_held_still(tmp_path: Path, code: str) -> None:
    task = own_score(tmp_path, code)
    samples = [sample(str(n), "x") for n in range(4)]

    together = [one.metrics for one in task.score(samples)]
    alone = [task.score([one])[0].metrics for one in reversed(samples)]

    assert "functions.score uses" in (task.definition.nondeterministic or "")
    assert task.nondeterministic == task.definition.nondeterministic
    assert together == alone[::-1]


def test_a_generator_of_its_own_is_not_chance(tmp_path: Path) -> None:
    code = """
        import random
        def score(doc, results):
            order = [1, 2, 3]
            random.Random(doc["answer"]).shuffle(order)
            return {"first": order[0]}
    """
    task = own_score(tmp_path, code)

    task.score([sample("1", "x")])

    assert task.nondeterministic is None


def test_chance_that_the_code_hides_is_noticed_when_it_is_drawn(tmp_path: Path) -> None:
    code = "def score(doc, results):\n    return {'a': __import__('random').random()}\n"
    task = own_score(tmp_path, code)
    samples = [sample(str(n), "x") for n in range(3)]

    together = [one.metrics for one in task.score(samples)]
    alone = [task.score([one])[0].metrics for one in samples]

    assert task.definition.nondeterministic is None
    assert task.nondeterministic is not None
    assert together == alone


def test_documents_made_by_chance_do_not_make_scores_so(tmp_path: Path) -> None:
    code = """
        import random
        def shuffled(docs):
            return random.sample(docs, 1)
        def score(doc, results):
            return {'a': 1}
    """
    request = write_task(tmp_path, OWN_SCORE + "process_docs: !function functions.shuffled\n", code)

    assert load_task(request, doc("1")).definition.nondeterministic is None


def test_the_first_document_decides_whether_there_are_several_targets(tmp_path: Path) -> None:
    request = write_task(tmp_path)
    several = sample("['1', 'one']", "one")

    as_one = load_task(request, doc("1")).score([several])
    as_several = load_task(request, doc("['1', 'one']")).score([several])

    assert as_one[0].metrics == {"exact_match": 0.0}
    assert as_several[0].metrics == {"exact_match": 1.0}


def test_a_target_that_cannot_be_computed_is_no_logged_target(tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path), doc("1"))

    good, bad = task.target_texts([sample("41", ""), Sample({}, [], [])])
    assert good == "41"
    assert bad.startswith("UndefinedError")


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["ctx", " word"], "loglikelihood"),
        (["ctx", ""], "loglikelihood"),
        (["ctx", {"until": ["\n"]}], "generate_until"),
        ([['[{"role": "user"}]'], {"until": []}], "generate_until"),
        (["ctx", {"until": []}, {"visual": ["<image>"]}], "generate_until"),
        (["a page"], "loglikelihood_rolling"),
    ],
)
def test_a_request_is_told_by_its_arguments(arguments: list[Any], kind: str) -> None:
    assert request_type(arguments) == kind


@pytest.mark.parametrize(
    ("logged", "kind", "expected"),
    [
        (["-1.25", "True"], "loglikelihood", (-1.25, True)),
        (["-inf", "False"], "loglikelihood", (float("-inf"), False)),
        ([-1.25, False], "loglikelihood", (-1.25, False)),
        ("-310.5", "loglikelihood_rolling", -310.5),
        (-310.5, "loglikelihood_rolling", -310.5),
        (["-310.5", "False"], "loglikelihood_rolling", (-310.5, False)),
        ("-1.25", "generate_until", "-1.25"),
        ("True", "generate_until", "True"),
    ],
)
def test_responses_become_what_the_model_returned(logged: Any, kind: str, expected: Any) -> None:
    made = as_response(logged, kind)

    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    "value", [["a"], [("-1.0", True)], [[1, [2.5, None]]], [{"a": 1}], [float("nan")], "a", [()]]
)
def test_filtered_responses_look_as_lm_eval_logs_them(value: Any) -> None:
    from lm_eval.utils import sanitize_list

    assert as_logged(value) == json.loads(json.dumps(sanitize_list(value)))


def test_one_filter_alone_gives_what_it_gives_among_all(tmp_path: Path) -> None:
    more = """
    filter_list:
    - {name: first, filter: [{function: take_first}]}
    - {name: digits, filter: [{function: regex, regex_pattern: "([0-9]+)"}, {function: take_first}]}
    """
    task = load_task(write_task(tmp_path, more), doc("1"))
    samples = [sample("1", "1"), sample("2", "it is 2")]

    both = task.score(samples)

    assert task.score(samples, "digits") == [one for one in both if one.filter == "digits"]
    assert [one.metrics["exact_match"] for one in task.score(samples, "digits")] == [1.0, 1.0]
    assert task.score(samples, "gone") == []
