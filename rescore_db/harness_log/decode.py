"""A record of a samples file as Python values, for whoever works without a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.lines import FIELDS, check_fields, refuse_unstorable, value_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rescore_db.harness_log.lines import LogLine


@dataclass(frozen=True, slots=True)
class DecodedLine:
    """One document under one filter, as lm-eval logged it.

    Attributes:
        number: 1-based line number.
        doc: the dataset's row.
        doc_id: lm-eval's index of the row, None where the line has none.
        target: the reference, as text in every version that is read so far.
        arguments: one list a request, `[context, continuation or generation arguments]`; what
            the line holds in its place where it has no such shape.
        responses: one list a request of one response a repeat.
        filter: the filter's name.
        filtered: one filtered response a request.
        metrics: metric → this line's value; listed metrics without a value are left out.
    """

    number: int
    doc: Any
    doc_id: Any
    target: Any
    arguments: Any
    responses: Any
    filter: Any
    filtered: Any
    metrics: dict[str, Any]


def decode(line: LogLine, file: str) -> DecodedLine:
    """Parse all fields of a line.

    Raises:
        LogFormatError: a field is missing, or cannot be held by Python.
    """
    check_fields(line.fields, line.number, file)
    try:
        values = {name: value_of(raw) for name, raw in line.fields.items()}
    except (ValueError, RecursionError) as error:
        raise LogFormatError(file, line.number, f"{error}: mend or remove the line") from None
    return DecodedLine(
        number=line.number,
        doc=values["doc"],
        doc_id=values.get("doc_id"),
        target=values["target"],
        arguments=argument_lists(values["arguments"]),
        responses=values["resps"],
        filter=values["filter"],
        filtered=values["filtered_resps"],
        metrics=metric_values(values),
    )


def refuse_names(line: DecodedLine, file: str) -> None:
    """Refuse names of a filter or of metrics that no database's text column holds.

    Raises:
        LogFormatError: there is one.
    """
    names = (name for name in (line.filter, *line.metrics) if isinstance(name, str))
    refuse_unstorable(names, file, line.number)


def argument_lists(arguments: Any) -> Any:  # noqa: ANN401 - as logged
    """Turn logged arguments `{"gen_args_0": {"arg_0": …}}` into lists, one a request.

    Anything of another shape is given back as it is.
    """
    if not isinstance(arguments, dict):
        return arguments
    lists = []
    for index, (name, part) in enumerate(arguments.items()):
        if name != f"gen_args_{index}" or not isinstance(part, dict):
            return arguments
        if list(part) != [f"arg_{at}" for at in range(len(part))]:
            return arguments
        lists.append(list(part.values()))
    return lists


def metric_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the metrics that a line lists, as far as it has them.

    A metric may be named like a field of the line, whose value it then replaced; a text in
    `filter` is still the filter's name, not a score.
    """
    listed = values["metrics"]
    if not isinstance(listed, list):
        return {}
    return {
        name: values[name]
        for name in listed
        if isinstance(name, str) and name in values and is_score(name, values[name])
    }


def is_score(name: str, value: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Tell whether a listed metric's value is a score, and not a field of the same name."""
    return name not in FIELDS or not (name == "filter" and isinstance(value, str))
