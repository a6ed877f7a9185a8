from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from rescore_db import json_exact
from rescore_db.ingest import ingest_paths
from rescore_db.store import lifecycle, schema
from rescore_db.store.engine import reading
from tests.ingest.logs import Log, choice_line, choices, dump, sums, sums_line
from tests.ingest.stored import counts, evaluation_id, exact, lines_back

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

NAN, INF = float("nan"), float("inf")


def doc(**more: Any) -> dict[str, Any]:
    return {"question": "q", **more}


def shuffled() -> list[dict[str, Any]]:
    lines = sums(12)
    random.Random(7).shuffle(lines)  # noqa: S311 - an order, not a secret
    return lines


HOSTILE: dict[str, list[dict[str, Any]]] = {
    "plain": sums(),
    "choices": choices(),
    "values that only Python reads": [sums_line(0, exact_match=NAN), sums_line(1, exact_match=INF)],
    "negative zero": [sums_line(0, exact_match=-0.0), sums_line(1, exact_match=0.0)],
    "mixed types": [sums_line(at, exact_match=v) for at, v in enumerate([0.0, 1, True, None, "x"])],
    "lists of verdicts": [sums_line(0, exact_match=[True, False]), sums_line(1, exact_match=[])],
    "pairs": [sums_line(0, exact_match=[-1.5, 7]), sums_line(1, exact_match=[-0.0, 10**30])],
    "big integers": [sums_line(0, exact_match=10**25, doc_id=2**63 + 5, doc=doc(n=10**70))],
    "odd doc_ids": [sums_line(0, doc_id=v) for v in (None, 1.5, "1", -3, True)],
    "lone surrogates": [sums_line(0, resps=[["\ud83d x \udc00"]]), sums_line(0, "loose")],
    "surrogates all over": [
        sums_line(
            0,
            doc=doc(q="\udead"),
            target="\udead",
            arguments={"gen_args_0": {"arg_0": "\udead", "arg_1": {"until": ["\udead"]}}},
            filtered_resps=["\udead"],
        )
    ],
    "NUL": [sums_line(0, doc=doc(q="a\x00b"), target="\x00", resps=[["\x00"]])],
    "NUL in a prompt": [sums_line(0, arguments={"gen_args_0": {"arg_0": "\x00", "arg_1": {}}})],
    "line separators": [sums_line(0, resps=[["\u2028\u2029\x85\x0c\x1c\r"]])],
    "floats at the edge": [sums_line(0, doc=doc(a=5e-324, b=1e16, c=1e308, d=-0.0, e=0.1))],
    "NaN in a doc": [sums_line(0, doc=doc(a=NAN, b=[INF, -INF]))],
    "no text as response": [
        sums_line(at, resps=value)
        for at, value in enumerate([[[None]], [[42]], [[{"a": 1}]], [], "x", [[["n", "l"]]], [[]]])
    ],
    "several repeats": [sums_line(0, resps=[["a", "b", "a"]], filtered_resps=["a"])],
    "filtered lists": [
        sums_line(at, filtered_resps=value)
        for at, value in enumerate([[["a", "b"]], [[["a"]]], [None], None, "x", [1], [True], [1.0]])
    ],
    "equal to Python, not in JSON": [sums_line(0, resps=[[1], [0]], filtered_resps=[True, 0.0])],
    "one request of many": [choice_line(0, arguments={"gen_args_0": {"arg_0": "only"}})],
    "no requests": [choice_line(0, arguments={})],
    "irregular arguments": [
        choice_line(at, arguments=value)
        for at, value in enumerate([None, [["a", "b"]], {"gen_args_1": {"arg_0": "x"}}, 3.5])
    ],
    "an empty request": [choice_line(0, arguments={"gen_args_0": {}})],
    "keys out of order": [
        choice_line(0, arguments={"gen_args_0": {"arg_1": " a", "arg_0": "ctx"}})
    ],
    "chat messages": [
        sums_line(
            0, arguments={"gen_args_0": {"arg_0": ['[{"role": "user"}]'], "arg_1": {"until": []}}}
        )
    ],
    "images": [
        sums_line(0, arguments={"gen_args_0": {"arg_0": "x", "arg_1": {}, "arg_2": {"visual": []}}})
    ],
    "three arguments of strings": [
        sums_line(0, arguments={"gen_args_0": {"arg_0": "x", "arg_1": "\\/ \\u00e9", "arg_2": "é"}})
    ],
    "targets of other types": [sums_line(at, target=v) for at, v in enumerate([1, 1.0, [1], None])],
    "a string and a number alike": [sums_line(0, target="1"), sums_line(1, target=1)],
    "a metric named like a field": [
        sums_line(at, metrics=["target", "filter", "exact_match"], target=1.0) for at in range(3)
    ],
    "a metric in place of the filter": [
        sums_line(at, metrics=["filter"], filter=float(at)) for at in range(3)
    ],
    "a metric in place of the metrics": [sums_line(0, metrics=0.5)],
    "a key of no metric": [sums_line(0, extra={"a": [1]}), sums_line(1)],
    "another order of keys": [sums_line(0), dict(reversed(sums_line(1).items()))],
    "other metrics on a line": [sums_line(0), sums_line(1, metrics=["exact_match", "new"], new=2)],
    "the same metric twice": [sums_line(0, metrics=["exact_match", "exact_match"])],
    "no metrics": [sums_line(0, metrics=[])],
    "a missing hash": [{k: v for k, v in sums_line(0).items() if k != "doc_hash"}],
    "wrong hashes": [sums_line(at, doc_hash="0" * 64) for at in range(4)],
    "hashes of other types": [sums_line(0, doc_hash=None, prompt_hash=3, target_hash=["x"])],
    "a hash in capitals": [sums_line(0, target_hash=sums_line(0)["target_hash"].upper())],
    "a wrong hash of one filter": [sums_line(0), sums_line(0, "loose", target_hash="0" * 64)],
    "the same line twice": [sums_line(0), sums_line(1), sums_line(1), sums_line(2)],
    "an incomplete filter": [*sums(2, ["strict"]), *sums(4, ["loose"])],
    "an incomplete later filter": [
        *sums(4, ["strict"]),
        sums_line(1, "loose"),
        sums_line(3, "loose"),
    ],
    "filters line by line": [
        sums_line(at, name) for at in range(4) for name in ("strict", "loose")
    ],
    "any order": shuffled(),
    "no doc at all": [sums_line(0, doc=None), sums_line(1, doc=[]), sums_line(2, doc="text")],
    "depth": [sums_line(0, doc=doc(deep=json.loads("[" * 600 + "]" * 600)))],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_line_comes_back_as_it_was(engine: Engine, tmp_path: Path, name: str) -> None:
    lines = HOSTILE[name]
    folder = Log({"sums": dump_exactly(lines)}).write(tmp_path)

    report = ingest_paths(engine, [str(folder)])

    assert report.errors == ()
    assert lines_back(engine, "sums") == [exact(line) for line in lines]
    assert ingest_paths(engine, [str(folder)]).evaluations == 0


def dump_exactly(lines: list[dict[str, Any]]) -> bytes:
    """Write lines as lm-eval does, those with lone surrogates with escapes."""
    written = b""
    for line in lines:
        try:
            written += dump([line])
        except UnicodeEncodeError:
            written += (json.dumps(line) + "\n").encode()
    return written


OTHER_SPELLINGS = {
    "spaces and escapes": (
        b'{ "doc":{"a" :1e5 ,"b":"\\u00e9\\/"},"target" : "\\u0031",'
        b' "arguments":{"gen_args_0" :{"arg_0":"\\u0041 \\/","arg_1": {"t":1.50} }},'
        b'"resps":[ ["\\u0042"]] ,"filtered_resps":["B" ],"filter":"n\\u006fne",'
        b' "metrics": [ ]}\r\n'
    ),
    "a key twice": (
        b'\xef\xbb\xbf{"doc": {}, "doc": {"a": 1, "a": 2}, "target": "", "arguments": {}, '
        b'"resps": [["x"]], "filtered_resps": ["x"], "filter": "none", "metrics": []}\n\n'
    ),
    "far numbers": (
        b'{"doc": {"a": 1e400, "b": 1e-400, "c": 123456789.10e-300}, "target": "", '
        b'"arguments": {}, "resps": [["x"]], "filtered_resps": ["x"], "filter": "none", '
        b'"metrics": []}'
    ),
}


@pytest.mark.parametrize("name", OTHER_SPELLINGS)
def test_another_way_to_write_json_is_the_same(engine: Engine, tmp_path: Path, name: str) -> None:
    raw = OTHER_SPELLINGS[name]
    folder = Log({"sums": raw}).write(tmp_path)

    report = ingest_paths(engine, [str(folder)])

    assert report.errors == ()
    assert lines_back(engine, "sums") == [exact(json.loads(raw.decode("utf-8-sig")))]


def test_spelling_does_not_make_another_content(engine: Engine, tmp_path: Path) -> None:
    lines = [sums_line(1, doc={"é": "ü/", "n": 1.5}, arguments={"gen_args_0": {"arg_0": "é/"}})]
    Log({"sums": dump(lines)}).write(tmp_path / "raw")
    escaped = json.dumps(lines[0], separators=(",", ":")).replace("/", "\\/").encode()
    Log({"sums": escaped}).write(tmp_path / "escaped")

    ingest_paths(engine, [str(tmp_path)])

    assert counts(engine, "run", "doc", "context", "request", "target") == {
        "run": 2, "doc": 1, "context": 1, "request": 1, "target": 1,
    }  # fmt: skip


def test_hashes_of_the_store_are_those_of_its_content(engine: Engine, tmp_path: Path) -> None:
    lines = [line for name, lines in HOSTILE.items() if name != "depth" for line in lines]
    Log({"sums": dump_exactly(lines)}).write(tmp_path)
    ingest_paths(engine, [str(tmp_path)])

    doc = schema.doc
    with reading(engine) as conn:
        docs = conn.execute(select(doc.c.hash, doc.c.text)).all()
        texts = [
            row
            for table in (schema.context, schema.target)
            for row in conn.execute(
                select(table.c.hash, table.c.text, table.c.exact, table.c.is_json)
            )
        ]
    assert all(key == json_exact.doc_hash(json_exact.loads(text)) for key, text in docs)
    assert all(
        key == json_exact.text_hash(json_exact.restored(text, exact))
        for key, text, exact, is_json in texts
        if not is_json
    )
    assert lifecycle.check(engine.url.render_as_string(hide_password=False)).problems == ()


def test_docs_can_be_queried_whatever_is_in_them(engine: Engine, tmp_path: Path) -> None:
    names = (
        "NUL",
        "NaN in a doc",
        "lone surrogates",
        "surrogates all over",
        "big integers",
        "depth",
    )
    lines = [line for name in names for line in HOSTILE[name]]
    Log({"sums": dump_exactly(lines)}).write(tmp_path)
    ingest_paths(engine, [str(tmp_path)])

    with reading(engine) as conn:
        if engine.dialect.name == "sqlite":
            query = "SELECT coalesce(body, text) ->> 'question' FROM doc"
        else:
            query = "SELECT body ->> 'question' FROM doc"
        found = conn.exec_driver_sql(query).scalars().all()

    assert len(found) == len({exact(line["doc"]) for line in lines})
    assert None not in found


# ---------------------------------------------------------------------------- any JSON at all

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
parts = st.dictionaries(st.sampled_from(["arg_0", "arg_1"]), json_values, min_size=1)
changes = st.fixed_dictionaries(
    {},
    optional={
        "doc_id": json_values,
        "doc": json_values,
        "target": json_values,
        "arguments": json_values
        | st.lists(parts, max_size=2).map(
            lambda found: {f"gen_args_{at}": part for at, part in enumerate(found)}
        ),
        "resps": json_values | st.lists(st.lists(texts, max_size=2), max_size=2),
        "filtered_resps": json_values | st.lists(texts, max_size=2),
        "filter": st.sampled_from(["strict", "loose", 0.5]),
        "doc_hash": json_values,
        "exact_match": json_values,
        "extra": json_values,
    },
)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(changes, min_size=1, max_size=6), st.data())
def test_any_lines_come_back(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, changed: Any, data: st.DataObject
) -> None:
    lines = [sums_line(data.draw(st.integers(0, 3)), "strict", **one) for one in changed]
    folder = tmp_path_factory.mktemp("any")
    date = f"2026-01-05T09-30-00.{data.draw(st.integers(0, 999_999)):06d}"
    log = Log({"sums": dump_exactly(lines)}, model=folder.name, date=date)

    report = ingest_paths(engine, [str(log.write(folder))])

    assert report.errors == ()
    with reading(engine) as conn:
        run = schema.run
        version = conn.scalar(select(run.c.version).where(run.c.id == report.runs[0]))
        assert version == 1
    found = lines_of_run(engine, report.runs[0])
    assert found == [exact(line) for line in lines]


def lines_of_run(engine: Engine, run_id: int) -> list[str]:
    from rescore_db.store.logged_lines import iter_lines

    table = schema.evaluation
    with reading(engine) as conn:
        key = conn.execute(select(table.c.id).where(table.c.run_id == run_id)).scalar_one()
        return [exact(line) for line in iter_lines(conn, key)]


def test_samples_are_read_in_order_and_in_parts(engine: Engine, tmp_path: Path) -> None:
    from rescore_db.store.samples import count_samples, first_doc, iter_samples

    Log({"sums": sums(7)}).write(tmp_path)
    ingest_paths(engine, [str(tmp_path)])
    key = evaluation_id(engine, "sums")

    with reading(engine) as conn:
        every = list(iter_samples(conn, key))
        assert count_samples(conn, key) == 7
        assert first_doc(conn, key) == every[0].doc == json_exact.dumps(sums_line(0)["doc"])
        assert [one.position for one in iter_samples(conn, key, start=2, stop=5)] == [2, 3, 4]
        assert [one.position for one in iter_samples(conn, key, positions=[0, 3, 6])] == [0, 3, 6]
        assert list(iter_samples(conn, key, positions=[])) == []
        assert list(iter_samples(conn, key, start=7)) == []
    one = every[3]
    assert one.arguments == [["Q: What is 3 + 3?\nA:", {"until": ["\n"], "top_p": 0.5}]]
    assert (one.responses, one.target, one.logged_doc_id) == ([[" It is ?."]], "6", 3)
