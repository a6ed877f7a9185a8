"""Lines of responses: what they may say, and what is said where they are wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import LogLine, parse_line
from rescore_db.harness_log.responses import ABSENT, ResponseLine, line_values, read_line

DOC = {"question": "What is 1 + 1?"}
CHOICES = [["Q", " a"], ["Q", " b"]]
PAIRS = [["-1.5", "True"], ["-inf", "False"]]


def read(**values: Any) -> ResponseLine:
    text = json.dumps(values).encode()
    return read_line(LogLine(7, text, parse_line(text, "f", 7)), "f")


@pytest.mark.parametrize(
    ("given", "responses", "kind"),
    [
        ({"response": "two"}, [["two"]], "text"),
        ({"response": ""}, [[""]], "text"),
        ({"responses": ["two", "2"]}, [["two", "2"]], "text"),
        ({"responses": [["two"], ["2", "II"]]}, [["two"], ["2", "II"]], "text"),
        ({"responses": [[-1.5, True], [-2, False]]}, [[["-1.5", "True"]], [["-2", "False"]]], "ll"),
        ({"responses": [{"logprob": -1.5, "is_greedy": True}]}, [[["-1.5", "True"]]], "ll"),
        ({"responses": [[[-1.5, True], [-1.25, True]]]},
         [[["-1.5", "True"], ["-1.25", "True"]]], "ll"),
        ({"response": [-1.5, True]}, [[["-1.5", "True"]]], "ll"),
        ({"response": -12.25}, [["-12.25"]], "rolling"),
        ({"responses": [-12.25, float("-inf")]}, [["-12.25", "-inf"]], "rolling"),
    ],
)  # fmt: skip
def test_responses_are_read_as_lm_eval_logs_them(
    given: dict[str, Any], responses: list[Any], kind: str
) -> None:
    found = read(doc=DOC, **given)

    assert found.responses == responses
    assert found.kind == {"ll": "log-likelihood"}.get(kind, kind)


def test_a_document_is_given_or_named() -> None:
    hash_ = json_exact.doc_hash(DOC)

    given = read(doc=DOC, doc_id=3, response="x")
    assert (given.doc, given.doc_id, given.doc_hash) == (DOC, 3, hash_)
    assert read(doc=DOC, doc_hash=hash_.hex(), response="x").doc_hash == hash_
    named = read(doc_id=3, response="x")
    assert (named.doc, named.doc_id, named.doc_hash) == (None, 3, None)
    assert read(doc_hash=hash_.hex(), response="x").doc_hash == hash_


def test_a_prompt_is_one_request() -> None:
    assert read(doc=DOC, prompt="Q", response="x").arguments == [["Q", {}]]
    assert read(doc=DOC, prompt="Q", response=-1.5).arguments == [["Q"]]
    assert read(doc=DOC, response="x").arguments is None
    assert read(doc=DOC, arguments=[["Q", {"until": []}]], response="x").arguments == [
        ["Q", {"until": []}]
    ]


def test_a_target_may_be_null_or_not_given() -> None:
    assert read(doc=DOC, response="x").target is ABSENT
    assert read(doc=DOC, response="x", target=None).target is None


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no field": ({"respons": "x"}, "respons: no field of a response: did you mean response?"),
    "a far name": ({"zzz": 1}, "zzz: no field of a response: there are doc, doc_id"),
    "no document": ({"response": "x"}, "doc: missing: give doc, or doc_id or doc_hash"),
    "a text as document": ({"doc": "x", "response": "x"}, 'doc: "x" is no object'),
    "a null as document": ({"doc": None, "response": "x"}, "doc: null is no object"),
    "a number of another kind": ({"doc_id": 1.5, "response": "x"}, "doc_id: 1.5 is no whole"),
    "a truth as number": ({"doc_id": True, "response": "x"}, "doc_id: true is no whole number"),
    "a number too large": ({"doc_id": 2**63, "response": "x"}, "is no whole number"),
    "no hash": ({"doc_hash": "abc", "response": "x"}, 'doc_hash: "abc" is no hash'),
    "another hash": (
        {"doc": DOC, "doc_hash": "0" * 64, "response": "x"},
        "doc_hash: the document's own is ",
    ),
    "no response": ({"doc": DOC}, "response: missing: give response, or responses"),
    "both": ({"doc": DOC, "response": "x", "responses": ["x"]}, "response: given together with"),
    "prompt and arguments": (
        {"doc": DOC, "response": "x", "prompt": "Q", "arguments": [["Q", {}]]},
        "prompt: given together with arguments: give one of the two",
    ),
    "nothing in a list": ({"doc": DOC, "responses": []}, "responses: [] is no list of responses"),
    "an object": ({"doc": DOC, "response": {"a": 1}}, 'response: {"a": 1} is no response'),
    "null": ({"doc": DOC, "response": None}, "response: null is no response: give a text"),
    "mixed": ({"doc": DOC, "responses": ["x", -1.5]}, "responses: rolling and text mixed"),
    "mixed lists": ({"doc": DOC, "responses": [[-1, True], ["x"]]}, "is neither a list of texts"),
    "an empty list inside": ({"doc": DOC, "responses": [[]]}, "is neither a list of texts"),
    "a prompt that is no text": ({"doc": DOC, "response": "x", "prompt": 1}, "prompt: 1 is no"),
    "a prompt of choices": (
        {"doc": DOC, "responses": [[-1, True]], "prompt": "Q"},
        "prompt: log-likelihoods are those of continuations: give arguments as",
    ),
    "no requests": ({"doc": DOC, "response": "x", "arguments": []}, "arguments: [] is no list"),
    "odd requests": ({"doc": DOC, "response": "x", "arguments": ["Q"]}, 'arguments: "Q" is no'),
    "an empty request": ({"doc": DOC, "response": "x", "arguments": [[]]}, "arguments: [] is no"),
    "a number as continuation": (
        {"doc": DOC, "response": "x", "arguments": [["Q", 1]]},
        'arguments: ["Q", 1] is no request: give [context, continuation]',
    ),
    "too few": (
        {"doc": DOC, "responses": [[-1, True]], "arguments": CHOICES},
        "responses: 1 of them for 2 requests: give one for each",
    ),
    "texts for choices": (
        {"doc": DOC, "responses": [["a"], ["b"]], "arguments": CHOICES},
        "responses: text responses to a request for log-likelihood: give [logprob, is_greedy]",
    ),
    "a long value": ({"doc": "x" * 99, "response": "x"}, "…"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_file_line_field_and_remedy(name: str) -> None:
    values, message = WRONG[name]

    with pytest.raises(LogFormatError) as error:
        read(**values)

    assert str(error.value).startswith("f:7: ")
    assert message in str(error.value)


# --------------------------------------------------------------------------------------- and back

numbers = st.floats(allow_nan=False).map(str) | st.integers().map(str)
pairs = st.tuples(numbers, st.sampled_from(["True", "False"])).map(list)
logged = st.one_of(
    st.tuples(st.just([["Q", {"until": []}]]), st.lists(st.text(), min_size=1).map(lambda x: [x])),
    st.tuples(st.just([["Q"]]), st.lists(numbers | pairs, min_size=1).map(lambda x: [x])),
    st.tuples(st.just([["Q", {}]] * 2), st.lists(st.lists(st.text(), min_size=1), min_size=2,
                                                 max_size=2)),
    st.lists(pairs, min_size=1, max_size=4).map(
        lambda found: ([["Q", f" {at}"] for at in range(len(found))], [[one] for one in found])
    ),
)  # fmt: skip


@given(logged)
def test_what_is_written_is_read_as_it_was_logged(one: tuple[list[Any], list[Any]]) -> None:
    arguments, responses = one
    values = line_values({"doc": DOC, "arguments": arguments, "target": None}, responses)

    if values is None:  # numbers and pairs for one request
        assert len({type(each) for each in responses[0]}) > 1
        return
    found = read(**values)
    assert (found.arguments, found.responses) == (arguments, responses)


def test_numbers_of_old_logs_are_written_as_numbers() -> None:
    known = {"doc": DOC, "arguments": CHOICES, "target": 1}

    values = line_values(known, [[[-1.5, True]], [[-2.0, False]]])

    assert values is not None
    assert values["responses"] == [[-1.5, True], [-2.0, False]]


@pytest.mark.parametrize(
    "responses",
    [[], "x", [["x"]], [[None]], [[["1.50", "True"]], [["-1", "False"]]], [[["-1", "yes"]]] * 2],
)
def test_what_no_line_can_say_is_not_written(responses: Any) -> None:
    assert line_values({"doc": DOC, "arguments": CHOICES, "target": ""}, responses) is None
    assert line_values({"doc": DOC, "arguments": [], "target": ""}, responses) is None
    assert line_values({"doc": [], "arguments": [["Q", {}]], "target": ""}, [["x"]]) is None
