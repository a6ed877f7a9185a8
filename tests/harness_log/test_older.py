"""Logs of lm-eval 0.4.0 to 0.4.6, written here as those releases wrote them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.decode import decode
from rescore_db.harness_log.files import open_log
from rescore_db.harness_log.older import (
    OlderRecords,
    completer_for,
    filter_names,
    is_older,
    open_records,
)
from rescore_db.harness_log.results import TaskResults, parse_results
from tests.ingest import logs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rescore_db.harness_log.lines import LogLine
    from rescore_db.harness_log.naming import Form

LIMIT = 1_000_000
NEW = ("filter", "metrics")
HASHES = ("doc_hash", "prompt_hash", "target_hash")


def native(value: Any) -> Any:
    """Turn the texts of log-likelihoods back into what the model returned."""
    if isinstance(value, list):
        return [native(one) for one in value]
    return value == "True" if value in {"True", "False"} else float(value)


def of_0_4_3(lines: Iterable[logs.Line]) -> list[logs.Line]:
    return [{key: line[key] for key in line if key not in NEW} for line in lines]


def of_0_4_0(lines: Iterable[logs.Line]) -> list[logs.Line]:
    found = []
    for line in of_0_4_3(lines):
        older = {key: line[key] for key in line if key not in HASHES}
        older["arguments"] = [list(one.values()) for one in line["arguments"].values()]
        if len(line["resps"]) > 1:
            older |= {key: native(line[key]) for key in ("resps", "filtered_resps")}
            older["target"] = int(line["target"])
        found.append(older)
    return found


def write(path: Path, lines: Sequence[logs.Line], form: Form) -> str:
    if form == "array":
        path.write_text(json.dumps(lines, indent=2), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def task_results(
    metrics: Sequence[str], filters: Sequence[str] | None = None, **config: Any
) -> TaskResults:
    content = {
        "results": {"t": {"alias": "t"} | dict.fromkeys(metrics, 0.5)},
        "configs": {"t": {"task": "t"} | config},
    }
    if filters is not None:
        content["configs"]["t"]["filter_list"] = [{"name": name} for name in filters]
    return parse_results(json.dumps(content).encode(), "results.json").tasks["t"]


def read(
    path: str, form: Form, results: TaskResults | None = None
) -> tuple[list[LogLine], OlderRecords]:
    with open_log(path) as log:
        records = open_records(log.stream, path, form=form, max_bytes=LIMIT, results=results)
        return list(records), records


def as_before(line: LogLine, form: dict[str, Any]) -> dict[str, Any]:
    """What export makes of a record."""
    fields = {key: json.loads(bytes(raw)) for key, raw in line.fields.items()}
    found = {key: value for key, value in fields.items() if key not in form["added"]}
    if form.get("arguments") == "lists" and isinstance(found["arguments"], dict):
        found["arguments"] = [list(one.values()) for one in found["arguments"].values()]
    return found


STRICT_LOOSE = ("exact_match,strict", "exact_match,loose")


@pytest.mark.parametrize(("form", "older"), [("array", of_0_4_0), ("lines", of_0_4_3)])
@pytest.mark.parametrize(
    ("lines", "results"),
    [
        (logs.sums(), task_results(STRICT_LOOSE)),
        (logs.choices(), task_results(["acc,none", "acc_norm,none"])),
    ],
)
def test_older_records_become_what_newer_releases_write(
    tmp_path: Path, form: Form, older: Any, lines: list[logs.Line], results: TaskResults
) -> None:
    path = write(tmp_path / "x.jsonl", older(lines), form)

    found, records = read(path, form, results)

    for line, new in zip(found, lines, strict=True):
        one = decode(line, path)
        assert one.arguments == [list(part.values()) for part in new["arguments"].values()]
        assert (one.filter, one.metrics) == (new["filter"], {k: new[k] for k in new["metrics"]})
        assert (one.doc, str(one.target)) == (new["doc"], new["target"])
        assert json.loads(bytes(line.fields["arguments"])) == new["arguments"]
        assert list(line.fields) == [key for key in new if form == "lines" or key not in HASHES]
    assert [as_before(line, records.form) for line in found] == older(lines)
    assert records.form["added"] == ["filter", "metrics"]
    assert records.form.get("arguments") == ("lists" if form == "array" else None)
    assert (records.notes, records.guessed) == ((), ())


def test_filters_that_nothing_names_are_numbered_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", of_0_4_3(logs.sums(3)), "lines")

    found, records = read(path, "lines")

    names = [decode(line, path).filter for line in found]
    assert names == ["filter-1"] * 3 + ["filter-2"] * 3
    assert records.guessed == ("filter-1", "filter-2")
    assert records.form["guessed"] is True
    (note,) = records.notes
    assert "called filter-1, filter-2" in note


def test_a_cut_file_tells_that_its_filters_are_uneven(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", of_0_4_3(logs.sums(4))[:-2], "lines")

    found, records = read(path, "lines", task_results(STRICT_LOOSE))

    assert [decode(line, path).filter for line in found] == ["strict"] * 4 + ["loose"] * 2
    assert "do not divide evenly among 2 filters" in records.notes[0]


def test_lines_of_newer_releases_pass_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", logs.sums(), "lines")

    found, records = read(path, "lines")

    assert [json.loads(line.text) for line in found] == logs.sums()
    assert [list(line.fields) for line in found] == [list(line) for line in logs.sums()]
    assert (records.form, records.notes) == ({}, ())


def test_an_array_that_was_made_to_lines_is_read_too(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", of_0_4_0(logs.choices()), "lines")

    found, records = read(path, "lines", task_results(["acc,none", "acc_norm,none"]))

    assert records.form == {"added": ["filter", "metrics"], "arguments": "lists"}
    assert [as_before(line, records.form) for line in found] == of_0_4_0(logs.choices())


@pytest.mark.parametrize(
    ("metrics", "filters", "names"),
    [
        (["a,x", "a,y"], None, ("x", "y")),
        (["a,x", "a,y"], ["y", "x"], ("y", "x")),  # the configuration has the order
        (["a,x"], ["y", "x"], ("y", "x")),  # a filter without scores
        (["a,x", "a,y"], ["x"], ("x", "y")),  # the metrics know better
        (["a,none", "a_stderr,none"], None, ("none",)),
        ([], ["x", "x", "y"], ("x", "y")),
        ([], None, ()),
    ],
)
def test_names_come_from_the_results_file(
    metrics: list[str], filters: list[str] | None, names: tuple[str, ...]
) -> None:
    assert filter_names(task_results(metrics, filters)) == names


def test_what_is_no_filter_list_names_nothing() -> None:
    assert filter_names(None) == ()
    assert filter_names(task_results([], filter_list="<function f at 0x7f>")) == ()
    assert filter_names(task_results(["a,x"], filter_list=[3, {"name": 4}])) == ("x",)


def test_metrics_named_like_fields(tmp_path: Path) -> None:
    line = of_0_4_3(logs.sums(1, ["strict"]))[0] | {"target": 1.0, "metrics": 0.5, "filter": 2.0}
    path = write(tmp_path / "x.jsonl", [line, line | {"doc_id": 9}], "lines")

    found, records = read(path, "lines", task_results(["exact_match,s", "target,s", "filter,s"]))

    assert records.form["added"] == []
    assert [as_before(one, records.form) for one in found] == [line, line | {"doc_id": 9}]
    del line["metrics"]
    path = write(tmp_path / "y.jsonl", [line], "lines")
    found, records = read(path, "lines", task_results(["exact_match,s", "target,s"]))
    assert records.form["added"] == ["metrics"]
    listed = json.loads(bytes(found[0].fields["metrics"]))
    assert sorted(listed) == ["exact_match", "filter", "target"]


@pytest.mark.parametrize(
    "arguments",
    [[], [[]], [["a"], []], "text", None, [["a"], {"b": 1}], {"odd": 1}, [[{"until": []}], ["é"]]],
)
def test_arguments_of_any_shape_come_back(tmp_path: Path, arguments: Any) -> None:
    line = of_0_4_0(logs.sums(1, ["strict"]))[0] | {"arguments": arguments}
    path = write(tmp_path / "x.jsonl", [line], "array")

    found, records = read(path, "array")

    assert [as_before(one, records.form) for one in found] == [line]


def test_arguments_that_only_python_reads(tmp_path: Path) -> None:
    line = of_0_4_0(logs.sums(1, ["strict"]))[0] | {"arguments": [["\ud83d", {"a": 10**40}]]}
    path = write(tmp_path / "x.jsonl", [line], "lines")

    found, records = read(path, "lines")

    arguments = json.loads(bytes(found[0].fields["arguments"]))
    assert arguments == {"gen_args_0": {"arg_0": "\ud83d", "arg_1": {"a": 10**40}}}
    assert as_before(found[0], records.form) == line


def test_lines_of_two_releases_in_one_file_are_refused(tmp_path: Path) -> None:
    newer = logs.sums(2, ["strict"])
    path = write(tmp_path / "x.jsonl", [*of_0_4_3(newer), *newer], "lines")

    with pytest.raises(LogFormatError, match=r"filter and metrics here.*split the file") as caught:
        read(path, "lines")
    assert caught.value.line == 3

    path = write(tmp_path / "y.jsonl", [*of_0_4_0(newer), *of_0_4_3(newer)], "lines")
    with pytest.raises(LogFormatError, match="arguments with names here"):
        read(path, "lines")


def test_bad_lines_do_not_hinder_finding_the_blocks(tmp_path: Path) -> None:
    good = logs.dump(of_0_4_3(logs.sums(3))).splitlines(keepends=True)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join([*good[:2], b"{broken\n", b"\n", *good[2:]]))
    lines = [json.loads(line) for line in good]

    with open_log(str(path)) as log:
        first = next(open_records(log.stream, str(path), max_bytes=LIMIT))
    completer = completer_for(first, str(path), form="lines", max_bytes=LIMIT, results=None)

    assert completer is None  # the first record is complete by now
    found = []
    with open_log(str(path)) as log:
        records = open_records(log.stream, str(path), max_bytes=LIMIT)
        found += [next(records) for _ in range(2)]
        with pytest.raises(LogFormatError) as caught:
            next(records)
    assert caught.value.line == 3
    assert records.guessed == ("filter-1", "filter-2")
    assert [as_before(line, records.form) for line in found] == lines[:2]


def test_a_long_line_does_not_hinder_finding_the_blocks(tmp_path: Path) -> None:
    lines = of_0_4_3(logs.sums(3))
    lines[1]["resps"] = [["x" * 5000]]
    path = write(tmp_path / "x.jsonl", lines, "lines")

    with open_log(path) as log:
        records = open_records(log.stream, path, max_bytes=1000)
        assert decode(next(records), path).filter == "filter-1"
        with pytest.raises(LogFormatError, match="longer than"):
            next(records)
    assert records.guessed == ("filter-1", "filter-2")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, False), ({"filter": None}, True), ({"filter": 0.5}, False), ({"metrics": 0.5}, False)],
)
def test_the_first_record_tells_the_release(changed: dict[str, Any], expected: bool) -> None:
    import msgspec

    line = logs.sums_line(1) | changed
    if changed.get("filter", "") is None:
        line = of_0_4_3([line])[0]
    fields = {key: msgspec.Raw(json.dumps(value).encode()) for key, value in line.items()}

    assert is_older(fields) is expected
    del fields["resps"]
    assert not is_older(fields)


def test_what_was_refused_of_an_array_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'[{"a": 1}, {"a": nan}')

    with open_log(str(path)) as log:
        records = open_records(log.stream, str(path), form="array", max_bytes=LIMIT)
        next(records)
        with pytest.raises(LogFormatError, match="not valid JSON"):
            next(records)
        assert records.refused == b'{"a": nan}'
        with pytest.raises(LogFormatError, match="is cut"):
            next(records)
        assert records.refused == b""
