from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from rescore_db.errors import BadSqlError
from rescore_db.store import schema
from rescore_db.store.conditions.language import compile_condition
from rescore_db.store.engine import atomic, backend, open_engine, reading
from rescore_db.store.predicates import matching_docs
from tests.conftest import Databases
from tests.store.rows import Answered, add_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

NESTED = {"b": 1, "aa": {"c": [True, None, 1e22]}, "é": "ü", "A": -0.0}

# What a document's field may be: texts that look like numbers, numbers that look like others,
# everything that JSON, SQLite and PostgreSQL understand differently.
VALUES: list[Any] = [
    *("3", "3.0", "-0.0", "0", "1e3", "1E400", "1e-400", "-1.5e3", "007", " 4 ", "+3", ".5", "5."),
    *("1_0", "0x10", "٣", "NaN", "Infinity", "true", "null", "", "abc", "Abc", "ABC", "[1]", "{}"),
    *("Ünï", "ünï", "ÜNÏ", "ß", "A%b_c", "AxbYc", "a*b?c[d]", "[", "]", "^", "\\", "\\frac", "a\\"),
    *(
        "it's",
        '"quoted"',
        "a\nb",
        "\ttab",
        "\x7f",
        "line\u2028end",
        "😀 smile",
        "%",
        "_",
        "x" * 2000,
    ),
    *("9" * 999, "0." + "1" * 998, "\ud83d lone", "nul\x00l", "a:b", "%(x)s", "$1", "?"),
    *(3, 3.0, -0.0, 0, -7, 2.5, -2.5, 0.1, 2.675, 1000, 10**15, 10**16, 10**70, 2**53 + 1),
    *(1e16, 1e22, 1e-7, 1e300, 1.7e308, -1e308, 12345678901234567890, 123456.789),
    *(True, False, None, [], {}, [1, 2.50, "x"], ["a", "b"], [[1, [2]], {"k": [None, True]}]),
    NESTED,
    *(math.nan, math.inf, -math.inf, [math.nan, 1]),
]
ODD_KEYS = {
    'a"b': 1, "c\\d": 2, "": 3, "e.f": 4, "g[0]": 5, "$x": 6, "new\nline": 7, "h'i": 8, "%s": 9,
    ":p": 10, "é": 11, "a b": 12, "0": 13, "#": 14, "*": 15, "'": 16, "\\": 17, "\x01": 18,
}  # fmt: skip
DOCS: list[Any] = [
    {
        "n": index,
        "v": value,
        "w": VALUES[-index],
        "choices": [value, "second", {"k": value}],
        "deep": {"a": {"b": [value]}},
        "even": index % 2 == 0,
    }
    for index, value in enumerate(VALUES)
] + [
    {"n": -1},
    ODD_KEYS,
    {"k": ODD_KEYS},
    ["top", 1, {"v": "in a list"}],
    "a string",
    7,
    True,
    None,
]


def odd_samples() -> list[Answered]:
    texts = [value if isinstance(value, str) else f"r{index}" for index, value in enumerate(VALUES)]
    return [
        Answered(
            doc,
            prompt=f"p{index}" if index % 3 else [{"role": "user", "content": f"p{index}"}],
            response=texts[index % len(texts)]
            if index % 5
            else [[texts[index % len(texts)]], ["b"]],
            target=texts[(index * 7) % len(texts)] if index % 2 else str(index % 7),
        )
        for index, doc in enumerate(DOCS)
    ]


@pytest.fixture(scope="module")
def both(
    sqlite_template: Path,
    postgres_template: str,
    postgres_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Engine, Engine]]:
    """One store with the same odd content in each database; nobody changes it."""
    path = tmp_path_factory.mktemp("odd") / "store.db"
    shutil.copyfile(sqlite_template, path)
    made = Databases(postgres_server)
    urls = f"sqlite:///{path}", made.url(made.make(postgres_template))
    engines = tuple(open_engine(url) for url in urls)
    samples = odd_samples()
    for engine in engines:
        add_run(engine, "odd", samples, model="org/m:1")
        add_run(engine, "odd", samples[:20], model="m2", date="")
        add_run(engine, "it's", samples[10:30], model="m%3")
    yield engines[0], engines[1]
    for engine in engines:
        engine.dispose()
    made.drop_all()


def docs_in(engine: Engine, where: str) -> list[tuple[str, int]]:
    with reading(engine) as conn:
        return matching_docs(conn, where)


def found(both: tuple[Engine, Engine], where: str) -> set[int]:
    """Return the indexes in DOCS of what a condition chooses, the same on both databases."""
    on_sqlite, on_postgresql = (docs_in(engine, where) for engine in both)
    assert on_sqlite == on_postgresql
    return {doc_id - 1 for _, doc_id in on_sqlite}


def values(both: tuple[Engine, Engine], where: str) -> list[Any]:
    return [DOCS[index]["v"] for index in sorted(found(both, where))]


def test_a_text_that_holds_a_number_is_compared_as_a_number(both: tuple[Engine, Engine]) -> None:
    assert values(both, "doc->>'v' = 3") == ["3", "3.0", 3, 3.0]
    assert values(both, "doc->>'v' between 2 and 5") == ["3", "3.0", " 4 ", 3, 3.0, 2.5, 2.675]
    assert values(both, "doc->>'v' in (1000, -7)") == ["1e3", -7, 1000]


def test_what_is_no_number_is_never_compared_as_one(both: tuple[Engine, Engine]) -> None:
    for value in values(both, "doc->>'v' > -1e307 or doc->>'v' <= -1e307"):
        assert float(value) == float(value)
        assert not isinstance(value, bool)
        assert str(value) not in ("007", "+3", ".5", "5.", "1_0", "٣", "NaN", "Infinity", "1E400")
    everything = len(found(both, "true"))
    known = len(found(both, "doc->>'v' > 0 or not doc->>'v' > 0"))
    unknown = len(found(both, "(doc->>'v' > 0) is null"))
    assert (everything, known + unknown) == (len(DOCS), len(DOCS))


def test_numbers_are_doubles_and_division_keeps_fractions(both: tuple[Engine, Engine]) -> None:
    assert len(found(both, "7 / 2 = 3.5 and -7 / 2 = -3.5 and 7 % 4 = 3 and -7 % 4 = -3")) == len(
        DOCS
    )
    assert len(found(both, "(1 / 0) is null and (1 % 0) is null")) == len(DOCS)
    assert found(both, "doc->>'n' / 4 = 2.5") == {10}
    assert found(both, "doc->>'n' % 50 = 7") == {7, 57}
    assert found(both, "doc->>'n' + doc->>'n' * 2 - 1 = 8") == {3}
    assert values(both, "doc->>'v' > 1e299") == [1e300, 1.7e308]
    assert values(both, "doc->>'v' = 1e16") == [10**16, 1e16]


def test_true_and_false_are_those_of_json(both: tuple[Engine, Engine]) -> None:
    assert values(both, "doc->>'v' = true") == [True]
    assert values(both, "doc->>'v'") == [True]
    assert values(both, "doc->>'v' is false") == [False]
    assert values(both, "not doc->>'v'") == [False]
    assert values(both, "doc->>'v' = 'true'") == ["true", True]
    assert values(both, "doc->>'v' = 1 or doc->>'v' = 0") == ["-0.0", "0", "1e-400", -0.0, 0]
    assert found(both, "doc->>'even' and doc->>'n' < 5") == {0, 2, 4}


def test_missing_and_null_are_null(both: tuple[Engine, Engine]) -> None:
    nothing = found(both, "doc->>'v' is null")
    assert {index for index in nothing if index < len(VALUES)} == {
        index
        for index, value in enumerate(VALUES)
        if value is None or (isinstance(value, float) and not math.isfinite(value))
    }
    assert nothing - found(both, "doc->'v' is null") == nothing & set(range(len(VALUES)))
    assert found(both, "doc->>'v' is not null").isdisjoint(nothing)
    assert found(both, "doc->'choices'->>-4 is null") == set(range(len(DOCS)))
    assert found(both, "doc->'n'->'x'->>'y' is not null") == set()


def test_parts_are_found_by_key_and_by_index(both: tuple[Engine, Engine]) -> None:
    assert values(both, "doc->'choices'->>0 = 'abc'") == ["abc"]
    assert values(both, "doc->'choices'->-1->>'k' = 'abc'") == ["abc"]
    assert values(both, "doc->'deep'->'a'->'b'->>0 = 'abc'") == ["abc"]
    assert values(both, "(doc->'deep')->'a'->'b'->>0 = 'abc'") == ["abc"]
    assert len(found(both, "doc->>0 = 'top' and doc->>-2 = '1' and doc->2->>'v' like 'in%'")) == 1
    assert found(both, "doc->>'0' = 'top'") == set()


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_can_be_asked_for(both: tuple[Engine, Engine], key: str) -> None:
    quoted = key.replace("'", "''")
    assert len(found(both, f"doc->>'{quoted}' = {ODD_KEYS[key]}")) == 1
    assert len(found(both, f"doc->'k'->>'{quoted}' = '{ODD_KEYS[key]}'")) == 1


def test_json_is_spelled_the_same_everywhere(both: tuple[Engine, Engine]) -> None:
    spelled = '{"A": 0.0, "b": 1, "aa": {"c": [true, null, 10000000000000000000000]}, "é": "ü"}'
    assert values(both, f"doc->>'v' = '{spelled}'") == [NESTED]
    assert values(both, "doc->>'v' = '[1, 2.5, \"x\"]'") == [[1, 2.5, "x"]]
    assert values(both, "doc->>'v' = '10000000000000000'") == [10**16, 1e16]
    assert values(both, "doc->>'v' = '0.0000001'") == [1e-7]
    assert found(both, "doc->'choices' like '%\"second\"%'") == set(range(len(VALUES)))
    assert found(both, "doc like '{\"n\": 5, %'") == {5}


def test_like_heeds_case_and_ilike_does_not(both: tuple[Engine, Engine]) -> None:
    assert values(both, "doc->>'v' like 'abc'") == ["abc"]
    assert values(both, "doc->>'v' like 'A%c'") == ["Abc", "A%b_c", "AxbYc"]
    assert values(both, "doc->>'v' ilike 'aBC'") == ["abc", "Abc", "ABC"]
    assert values(both, "doc->>'v' ilike 'üNï'") == ["ünï"]
    assert "abc" not in values(both, "doc->>'v' not like 'a%'")
    assert values(both, "doc->>'v' like 'a*b?c[d]'") == ["a*b?c[d]"]
    assert values(both, "doc->>'v' like '['") == ["["]


def test_a_backslash_is_a_letter_unless_it_is_the_escape(both: tuple[Engine, Engine]) -> None:
    assert values(both, r"doc->>'v' like '\frac'") == ["\\frac"]
    assert values(both, r"doc->>'v' like '%\'") == ["\\", "a\\"]
    assert values(both, r"doc->>'v' like 'A\%b\_c' escape '\'") == ["A%b_c"]
    assert values(both, "doc->>'v' like 'A!%b!_c' escape '!'") == ["A%b_c"]
    assert values(both, "doc->>'v' ilike 'a!%B!_c' escape '!'") == ["A%b_c"]
    assert values(both, r"doc->>'v' = '\frac'") == ["\\frac"]


def test_texts_are_ordered_by_code_points(both: tuple[Engine, Engine]) -> None:
    texts = [value for value in VALUES if isinstance(value, str)]
    chosen = values(both, "doc->>'v' >= 'a' and doc->>'v' < 'b'")
    assert set(chosen) == {text for text in texts if "a" <= text < "b"}
    above = [value for value in values(both, "doc->>'v' > 'ß'") if isinstance(value, str)]
    assert set(above) == {text for text in texts if text > "ß"}


def test_lower_and_upper_know_ascii(both: tuple[Engine, Engine]) -> None:
    assert values(both, "lower(doc->>'v') = 'abc'") == ["abc", "Abc", "ABC"]
    assert values(both, "upper(doc->>'v') = 'ABC'") == ["abc", "Abc", "ABC"]
    assert values(both, "lower(doc->>'v') = 'ünï'") == ["ünï"]


def test_fields_of_samples_and_runs(both: tuple[Engine, Engine]) -> None:
    assert len(found(both, "task = 'it''s'")) == 20
    assert len(found(both, "model = 'm%3' and run = 3")) == 20
    assert len(found(both, "run in (2, 3) and date is null")) == 20
    assert len(found(both, "date >= '2026-03' and date < '2026-04' and task = 'odd'")) == len(DOCS)
    assert found(both, "prompt = 'p4'") == {4}
    assert 3 in found(both, 'prompt like \'%"role": "user"%\'')
    assert found(both, "response like '%' || (doc->>'v') || '%' and doc->>'v' = 'abc'") != set()
    assert found(both, "target > 5 and target < 7 and doc->>'n' = 6") == {6}


def test_a_run_is_its_name_where_it_meets_a_text(engine: Engine) -> None:
    run_id, _ = add_run(engine, "t", [Answered({"a": 1})])
    other, _ = add_run(engine, "t", [Answered({"a": 2})], model="other")
    with atomic(engine) as conn:
        conn.execute(update(schema.run).where(schema.run.c.id == other).values(name="best"))

    assert len(docs_in(engine, "run = 'best'")) == 1
    assert len(docs_in(engine, "run like 'b%' and doc->>'a' = 2")) == 1
    assert len(docs_in(engine, f"run = {run_id} and run is null")) == 1


ATTACKS = [
    "task = 'x'' or ''1''=''1'",
    r"task = '\'",
    "task = ':x' or task = '%(x)s' or task = '%s' or task = '?' or task = '$1'",
    "doc->>'a''b' = 'x'' or 1=1 --'",
    "doc->>''') or 1=1 --' = 'x'",
    r"doc->>'\''' = 'x'",
    "doc->>'\"] or 1=1 --' = 'x'",
    "doc->>'%s %(a)s :b' = 'x'",
    "response like '''; drop table run; --'",
    r"response like '\''; drop table run; --' escape '!'",
    "task in ('x'') or (''1''=''1')",
]


@pytest.mark.parametrize("where", ATTACKS)
def test_quotes_stay_inside_their_texts(both: tuple[Engine, Engine], where: str) -> None:
    assert found(both, where) == set()


REFUSED = {
    "nope = 1": r"no field 'nope'.*fields are doc, task, run, .*doc->>'nope'",
    "respnse = 'x'": "did you mean response",
    'task = "odd"': "single quotes",
    "doc.level = 3": "doc->>'level'",
    "": "empty",
    "  -- nothing": "empty",
    "task = ": "line 1, column 6",
    "task = 'a\n' and": "line 2",
    "task = 'abc": "quote",
    "(task = 'a'": r"Expecting \)",
    "task = 'a'; drop table run": "drop",
    "drop table run": "drop",
    "select 1": "select",
    "task = 'a' union select 1": "union",
    "1 = 1 limit 5": "limit",
    "task in (select 'odd')": "SELECT",
    "(select count(*) from run) > 0": "SELECT",
    "exists (select 1)": "EXISTS",
    "count(*) > 1": "COUNT",
    "max(task) = 'a'": "MAX",
    "row_number() over () = 1": "ROW_NUMBER",
    "lenght(response) > 1": "did you mean length",
    "pg_sleep(10) is null": "PG_SLEEP",
    "pg_read_file('/etc/passwd') = ''": "PG_READ_FILE",
    "load_extension('x') = 1": "LOAD_EXTENSION",
    "random() > 0.5": "RANDOM",
    "task = ?": "don't know",
    "task = :a": "don't know",
    "task = $1": "don't know",
    "task": "a text stands where a condition is needed",
    "3": "a number stands where",
    "task = true": "can't be compared or mixed with true and false",
    "doc->>'n' > true": "no order",
    "doc->>'n' = null": "IS NULL",
    "doc->>'n' in (1, null)": "IS NULL",
    "length(response) > 'abc'": "'abc' is not a number",
    "1e999 > doc->>'n'": "not a number",
    "length(task) || 'x' = '3x'": "a number can't be used as a text",
    "doc->>'a'->>'b' = 'c'": "a part of a text",
    "task->>'b' = 'c'": "a part of a text",
    "doc->>task = 'c'": "single quotes or a whole number",
    'doc->>"v" = 1': "single quotes",
    "doc->>99999999999 = 'x'": "whole number",
    "task like 'a%' escape 'xy'": "one ASCII sign",
    "task like 'a!' escape '!'": "end with it",
    "task like task escape '!'": "written out",
    "substr(task, 0) = 'x'": "first character is 1",
    "substr(task, length(task)) = 'x'": "whole numbers",
    "round(doc->>'n', 99) = 1": "0 to 15",
    "cast(task as date) = 'x'": "casts are to",
    "cast(task as varchar(3)) = 'x'": "casts are to",
    "task similar to 'a'": "SIMILAR",
    "task between symmetric 'a' and 'b'": "SYMMETRIC",
    "task collate \"C\" = 'odd'": "COLLATE",
    "doc @> '{}'": "@>",
    "task = any(array['a'])": "ANY",
    "a.response = b.response": "don't know",
    "task = 'nul\x00'": "NUL",
    "task = '\ud83d'": "surrogate",
    "(" * 5000 + "1 = 1" + ")" * 5000: "nested too deeply",
    "not " * 5000 + "1 = 1": "nested too deeply",
    "task = '" + "x" * 100_000 + "'": "100,000 is the most",
}


@pytest.mark.parametrize("where", REFUSED)
def test_what_conditions_do_not_know_is_refused_with_a_reason(
    both: tuple[Engine, Engine], where: str
) -> None:
    for engine in both:
        with pytest.raises(BadSqlError, match=REFUSED[where]):
            docs_in(engine, where)


def test_many_alternatives_are_no_deep_nesting(both: tuple[Engine, Engine]) -> None:
    where = " or ".join(f"doc->>'n' = {number}" for number in range(0, len(VALUES), 2))

    assert found(both, where) == set(range(0, len(VALUES), 2))


def test_a_condition_that_takes_too_long_is_stopped(
    both: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = " and ".join(f"response not like '%{number}%x%y%z%'" for number in range(400))
    for engine in both:
        with reading(engine) as conn:
            monkeypatch.setenv("RESCORE_SQL_SECONDS", "0.001")
            with pytest.raises(BadSqlError, match=r"longer than 0\.001 s"):
                matching_docs(conn, slow)
            monkeypatch.setenv("RESCORE_SQL_SECONDS", "60")
            assert len(matching_docs(conn, "run = 2")) == 20  # the transaction is still good


def test_an_overflow_is_an_error_of_the_condition_or_infinite(both: tuple[Engine, Engine]) -> None:
    where = "doc->>'v' * 1e10 > 1e300"
    assert len(docs_in(both[0], where)) == 2
    with pytest.raises(BadSqlError, match="out of range"):
        docs_in(both[1], where)


# ------------------------------------------------------------------------- generated conditions

ATOMS = st.sampled_from(
    [
        "doc->>'v'", "doc->'v'", "doc->'choices'->>0", "doc->'choices'->-1->>'k'", "doc->>'w'",
        "doc->'deep'->'a'->'b'->>0", "doc->>'missing'", "response", "target", "prompt", "task",
    ]
)  # fmt: skip
LITERALS = st.sampled_from(
    [
        value
        for value in VALUES
        if isinstance(value, str) and "\ud83d" not in value and "\x00" not in value
    ]
).map(lambda text: "'" + text.replace("'", "''") + "'")
NUMBERS = st.sampled_from(
    ["0", "3", "-7", "2.5", "1e3", "10000000000000000", "1e16", "0.1", "1e300", "-0.0", "999"]
)
TEXTS = st.recursive(
    ATOMS | LITERALS,
    lambda text: (
        st.builds("lower({})".format, text)
        | st.builds("upper({})".format, text)
        | st.builds("trim({})".format, text)
        | st.builds(
            "substr({}, {}, {})".format, text, st.sampled_from([1, 2, -1, -3]), st.integers(0, 4)
        )
        | st.builds("replace({}, {}, {})".format, text, text, text)
        | st.builds("coalesce({}, {})".format, text, text)
        | st.builds("nullif({}, {})".format, text, text)
        | st.builds("({} || {})".format, text, text)
    ),
    max_leaves=4,
)
# No products: PostgreSQL calls an overflow an error.
COMPUTED = st.recursive(
    NUMBERS
    | ATOMS.map("({} + 0)".format)
    | TEXTS.map("length({})".format)
    | st.builds("instr({}, {})".format, TEXTS, TEXTS),
    lambda number: (
        st.builds("abs({})".format, number)
        | st.builds("(- {})".format, number)
        | st.builds("round({}, {})".format, number, st.integers(0, 3))
        | st.builds("cast({} as integer)".format, number)
        | st.builds("({} / 4)".format, number)
    ),
    max_leaves=3,
)
ORDER = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
CONDITIONS = st.recursive(
    st.builds("{} {} {}".format, TEXTS, ORDER, TEXTS)
    | st.builds("{} {} {}".format, COMPUTED, ORDER, NUMBERS | ATOMS)
    | st.builds("{} {} {}".format, ATOMS, ORDER, NUMBERS)
    | st.builds("{} {}like {}".format, TEXTS, st.sampled_from(["", "i", "not ", "not i"]), TEXTS)
    | st.builds("{} like '%' || {} || '_'".format, TEXTS, TEXTS)
    | st.builds("{} in ({}, {})".format, ATOMS, LITERALS, LITERALS | NUMBERS.map("'{}'".format))
    | st.builds("{} not in ({}, {})".format, ATOMS, NUMBERS, NUMBERS)
    | st.builds("{} between {} and {}".format, ATOMS, NUMBERS, NUMBERS)
    | st.builds("{} is {}null".format, TEXTS, st.sampled_from(["", "not "]))
    | st.builds(
        "doc->>'{}' {}".format,
        st.sampled_from(["v", "even", "w"]),
        st.sampled_from(["= true", "<> false", "is true", "is not false", "in (true)"]),
    ),
    lambda condition: (
        st.builds("({}) and ({})".format, condition, condition)
        | st.builds("({}) or ({})".format, condition, condition)
        | st.builds("not ({})".format, condition)
        | st.builds("({}) is not true".format, condition)
        | st.builds("case when {} then {} else {} end".format, condition, condition, condition)
    ),
    max_leaves=3,
)


TOO_LONG = "pattern too complex"
"""What SQLite says of a LIKE pattern of more than 50,000 bytes; PostgreSQL has no such limit."""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=CONDITIONS)
def test_any_condition_means_the_same_on_both_databases(
    both: tuple[Engine, Engine], where: str
) -> None:
    try:
        found(both, where)
    except BadSqlError as error:
        if TOO_LONG not in str(error):
            raise
        reject()  # refused by name: see the next test


def test_a_pattern_longer_than_sqlite_takes_is_refused_by_name(
    both: tuple[Engine, Engine],
) -> None:
    sqlite, postgresql = both
    where = f"response like '{'a' * 60_000}%'"
    with pytest.raises(BadSqlError, match=TOO_LONG):
        docs_in(sqlite, where)
    assert docs_in(postgresql, where) == []


# ------------------------------------------------------------------------------------ indexes


@pytest.mark.parametrize("where", ["doc->>'a' = 7", "doc->>'a' = 'seven'"])
def test_a_condition_is_found_by_an_index_on_its_expression(engine: Engine, where: str) -> None:
    """What `rescore index` will build on: the field stands in the expression as a literal."""
    add_run(engine, "t", [Answered({"a": number}) for number in range(10)])
    condition = compile_condition(where, backend(engine).conditions()).where
    query = select(schema.doc.c.id).where(condition)
    text = str(query.compile(engine, compile_kwargs={"literal_binds": True}))
    expression = text.partition("WHERE ")[2].rpartition(" = ")[0].replace("doc.", "")
    with atomic(engine) as conn:
        conn.exec_driver_sql(f"CREATE INDEX by_a ON doc (({expression}))")
        if engine.dialect.name == "postgresql":
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        plan = conn.exec_driver_sql(f"{explain} {text}").all()

    assert "by_a" in str(plan)
