"""Responses made elsewhere: one JSON object a line, as `docs/responses.md` describes it.

A line names a document, holds what a model answered, and may hold what it was asked.  In memory
requests and responses have lm-eval's form: one list of arguments a request, one list of responses
a request, log-likelihoods as texts.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from rescore_db import json_exact
from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import value_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rescore_db.harness_log.lines import LogLine

Kind = Literal["text", "log-likelihood", "rolling"]
"""What a request asks for: a text, a continuation's log-likelihood, a whole text's."""

FIELDS: Final = (
    *("doc", "doc_id", "doc_hash", "prompt", "arguments"),
    *("response", "responses", "target"),
)
ABSENT: Final = object()
"""The target of a line that gives none."""

HASH: Final = re.compile("[0-9a-f]{64}")
LARGEST_ID: Final = 2**63 - 1
PAIR: Final = ("logprob", "is_greedy")
FORMS: Final = 'a text, [logprob, is_greedy] or {"logprob": …, "is_greedy": …}, or a number'
WANTED: Final[dict[Kind, str]] = {
    "text": "a text",
    "log-likelihood": "[logprob, is_greedy]",
    "rolling": "a number",
}
SHOWN: Final = 60  # characters of a value that a message shows


@dataclass(frozen=True, slots=True)
class ResponseLine:
    """One line, checked.

    Attributes:
        number: 1-based line number.
        doc: the document, None where it is named by `doc_id` or `doc_hash`.
        doc_id: lm-eval's number of the document, None where it is not given.
        doc_hash: lm-eval's hash of the document; computed where the document is given.
        arguments: one list a request, None where they are to be looked up.
        responses: one list a request.
        kind: what the responses are, None where they do not tell.
        target: the reference, `ABSENT` where it is to be looked up.
    """

    number: int
    doc: dict[str, Any] | None
    doc_id: int | None
    doc_hash: bytes | None
    arguments: list[list[Any]] | None
    responses: list[list[Any]]
    kind: Kind
    target: Any


class FieldError(Exception):
    """What is wrong with one field: "field: what: what to do"."""


def read_line(line: LogLine, file: str) -> ResponseLine:
    """Check a line.

    Raises:
        LogFormatError: naming the field, what is wrong, and what to do.
    """
    try:
        return checked({name: value_of(raw) for name, raw in line.fields.items()}, line.number)
    except FieldError as error:
        raise LogFormatError(file, line.number, str(error)) from None
    except (ValueError, RecursionError) as error:
        raise LogFormatError(file, line.number, f"{error}: mend or remove the line") from None


def checked(values: dict[str, Any], number: int) -> ResponseLine:
    """Check a line's values.

    Raises:
        FieldError: naming the first field that is wrong.
    """
    _check_names(values)
    doc, doc_id, doc_hash = _document(values)
    responses, kind = _responses(values)
    arguments = _arguments(values, kind)
    if arguments is not None:
        check_fit(arguments, responses, kind)
    return ResponseLine(
        number=number,
        doc=doc,
        doc_id=doc_id,
        doc_hash=doc_hash,
        arguments=arguments,
        responses=responses,
        kind=kind,
        target=values.get("target", ABSENT),
    )


def check_fit(arguments: list[Any], responses: list[list[Any]], kind: Kind) -> None:
    """Check that responses answer requests.

    Raises:
        FieldError: another number of them, or of another kind.
    """
    if len(arguments) != len(responses):
        _refuse(
            "responses",
            f"{len(responses)} of them for {len(arguments)} requests",
            "give one for each request, or a list of several answers for each",
        )
    for request in arguments:
        asked = kind_of(request)
        is_pair = kind == "log-likelihood" and asked == "rolling"  # some models return one
        if asked != kind and not is_pair:
            _refuse(
                "responses",
                f"{kind} responses to a request for {asked}",
                f"give {WANTED[asked]} for each request",
            )


def kind_of(request: list[Any]) -> Kind:
    """Tell what a request asks for by its arguments, as lm-eval has them."""
    if len(request) == 1:
        return "rolling"
    return "log-likelihood" if isinstance(request[1], str) else "text"


# ------------------------------------------------------------------------------------------ fields


def _check_names(values: dict[str, Any]) -> None:
    for name in values:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FIELDS)}"
            _refuse(name, "no field of a response", hint)
    for one, other in (("prompt", "arguments"), ("response", "responses")):
        if one in values and other in values:
            _refuse(one, f"given together with {other}", "give one of the two")


def _document(values: dict[str, Any]) -> tuple[dict[str, Any] | None, int | None, bytes | None]:
    """Return document, id and hash; two of them where the document is not given itself."""
    doc = values.get("doc")
    if "doc" in values and not isinstance(doc, dict):
        _refuse("doc", f"{_shown(doc)} is no object", "give the dataset's row as an object")
    doc_id = values.get("doc_id")
    is_whole = isinstance(doc_id, int) and not isinstance(doc_id, bool)
    if "doc_id" in values and not (is_whole and abs(doc_id or 0) <= LARGEST_ID):
        _refuse("doc_id", f"{_shown(doc_id)} is no whole number", "give lm-eval's doc_id")
    doc_hash = values.get("doc_hash")
    if "doc_hash" in values and not (isinstance(doc_hash, str) and HASH.fullmatch(doc_hash)):
        _refuse(
            "doc_hash",
            f"{_shown(doc_hash)} is no hash",
            "give lm-eval's doc_hash, 64 digits of hex",
        )
    told = bytes.fromhex(doc_hash) if doc_hash else None
    if doc is None:
        if doc_id is None and told is None:
            _refuse("doc", "missing", "give doc, or doc_id or doc_hash of a stored document")
        return None, doc_id, told
    own = json_exact.doc_hash(doc)
    if told not in {None, own}:
        _refuse("doc_hash", f"the document's own is {own.hex()}", "leave it out, or mend the doc")
    return doc, doc_id, own


def _arguments(values: dict[str, Any], kind: Kind) -> list[list[Any]] | None:
    if "prompt" in values:
        prompt = values["prompt"]
        if not isinstance(prompt, str):
            _refuse("prompt", f"{_shown(prompt)} is no text", "give a text, or arguments")
        if kind == "log-likelihood":
            _refuse(
                "prompt",
                "log-likelihoods are those of continuations",
                "give arguments as [[prompt, continuation], …]",
            )
        return [[prompt, {}]] if kind == "text" else [[prompt]]
    if "arguments" not in values:
        return None
    given = values["arguments"]
    if not isinstance(given, list) or not given:
        _refuse("arguments", f"{_shown(given)} is no list of requests", "give one list a request")
    for request in given:
        fits = isinstance(request, list) and isinstance(request[0] if request else None, str | list)
        if not fits or (len(request) > 1 and not isinstance(request[1], str | dict)):
            _refuse(
                "arguments",
                f"{_shown(request)} is no request",
                "give [context, continuation], [context, {generation arguments}] or [text]",
            )
    return given


# --------------------------------------------------------------------------------------- responses


def _responses(values: dict[str, Any]) -> tuple[list[list[Any]], Kind]:
    """Return the responses as lm-eval logs them, and what they are."""
    if "response" in values:
        kind, answer = _answer("response", values["response"])
        return [[answer]], kind
    if "responses" not in values:
        _refuse("response", "missing", "give response, or responses as a list")
    given = values["responses"]
    if not isinstance(given, list) or not given:
        _refuse("responses", f"{_shown(given)} is no list of responses", "give at least one")
    if all(isinstance(one, str) or _is_number(one) for one in given):  # repeats of one request
        return _of_one_kind([given])
    if all(_is_pair(one) for one in given):  # one a request
        return _of_one_kind([[one] for one in given])
    if all(isinstance(one, list) and one and not _is_pair(one) for one in given):
        return _of_one_kind(given)
    return _refuse(
        "responses",
        f"{_shown(given)} is neither a list of texts, nor of log-likelihoods, nor of lists",
        f"give responses of one kind, each {FORMS}",
    )


def _of_one_kind(given: list[list[Any]]) -> tuple[list[list[Any]], Kind]:
    """Return responses, by request, as lm-eval logs them."""
    answers = [[_answer("responses", one) for one in repeats] for repeats in given]
    kinds = {kind for repeats in answers for kind, _ in repeats}
    if len(kinds) > 1:
        _refuse("responses", f"{' and '.join(sorted(kinds))} mixed", "give responses of one kind")
    return [[answer for _, answer in repeats] for repeats in answers], kinds.pop()


def _answer(field: str, given: Any) -> tuple[Kind, Any]:  # noqa: ANN401 - any JSON value
    """Return one response as lm-eval logs it, and what it is."""
    if isinstance(given, str):
        return "text", given
    if _is_number(given):
        return "rolling", str(given)
    if _is_pair(given):
        pair = [given[name] for name in PAIR] if isinstance(given, dict) else given
        return "log-likelihood", [str(one) for one in pair]
    return _refuse(field, f"{_shown(given)} is no response", f"give {FORMS}")


def _is_number(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return set(value) == set(PAIR) and _is_pair([value[name] for name in PAIR])
    match value:
        case [number, bool()]:
            return _is_number(number)
    return False


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    text = json_exact.escaped(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _refuse(field: str, what: str, remedy: str) -> NoReturn:
    message = f"{field}: {what}: {remedy}"
    raise FieldError(message)


# ----------------------------------------------------------------------------------------- writing


def line_values(known: dict[str, Any], responses: list[Any]) -> dict[str, Any] | None:
    """Return a line's values; None where no line can say what a log holds.

    Whoever reads the line has the same document, requests, responses and target; log-likelihoods
    that were logged as numbers, as lm-eval did before 0.4.3, come as texts.

    Args:
        known: `doc`, `arguments` and `target`, and `doc_id` where there is one.
        responses: as logged.
    """
    try:
        kinds = [kind_of(request) for request in known["arguments"]]
        values = {**known, **_given(responses, kinds)}
        read = checked(values, 0)
    except (FieldError, TypeError, IndexError, ValueError, KeyError):
        return None
    logged = responses if read.kind == "text" else _as_texts(responses)
    return values if read.responses == logged else None


def _given(responses: list[list[Any]], kinds: list[Kind]) -> dict[str, Any]:
    """Return the field of responses that were logged, in its simplest form."""
    back = [
        [_BACK[kind](one) for one in repeats]
        for kind, repeats in zip(kinds, responses, strict=True)
    ]
    if len(back) == 1 and not any(isinstance(one, list) for one in back[0]):
        return {"response": back[0][0]} if len(back[0]) == 1 else {"responses": back[0]}
    if kinds[0] == "log-likelihood" and all(len(repeats) == 1 for repeats in back):
        return {"responses": [repeats[0] for repeats in back]}
    return {"responses": back}


def _as_texts(logged: Any) -> Any:  # noqa: ANN401 - nested lists
    return [_as_texts(one) for one in logged] if isinstance(logged, list) else str(logged)


def _number_of(logged: Any) -> float:  # noqa: ANN401 - a text or, in old logs, a number
    """Return the number that was logged; ValueError where it would be written in another way."""
    if not isinstance(logged, str):
        return logged  # type: ignore[no-any-return]  # checked when it is read
    for read in (int, float):
        try:
            number = read(logged)
        except ValueError:
            continue
        if str(number) == logged:
            return number
    raise ValueError(logged)


def _pair_of(logged: list[Any]) -> list[Any]:
    number, greedy = logged
    return [_number_of(number), {"True": True, "False": False}[str(greedy)]]


def _rolling_of(logged: Any) -> Any:  # noqa: ANN401 - a text or, from some models, a pair
    return _pair_of(logged) if isinstance(logged, list) else _number_of(logged)


def _text_of(logged: Any) -> Any:  # noqa: ANN401 - checked when it is read
    return logged


_BACK: Final[dict[Kind, Callable[[Any], Any]]] = {
    "text": _text_of,
    "log-likelihood": _pair_of,
    "rolling": _rolling_of,
}
