"""JSON text goes in and comes out without loss."""

from __future__ import annotations

import json
import math
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescore_db import json_exact

ODD_TEXT = st.text(st.characters(codec=None, categories=None))


@given(ODD_TEXT)
def test_any_string_comes_back_from_what_is_storable(text: str) -> None:
    stored, exact = json_exact.storable(text)
    assert json_exact.restored(stored, exact) == text
    stored.encode("utf-8")
    assert "\x00" not in stored
    assert exact is None or exact.isascii()


def test_ordinary_text_stays_plain() -> None:
    assert json_exact.storable("naïve \u2028 text\n") == ("naïve \u2028 text\n", None)


def test_what_cannot_be_stored_is_replaced_and_kept() -> None:
    stored, exact = json_exact.storable("a\x00b\ud83d")
    assert stored == "a\ufffdb\ufffd"
    assert exact == '"a\\u0000b\\ud83d"'


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | ODD_TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_queryable_is_strict_json_that_sqlite_reads(value: Any) -> None:
    text = json.dumps(json_exact.queryable(value), allow_nan=False)
    with_sqlite = sqlite3.connect(":memory:")
    try:
        assert with_sqlite.execute("select json_valid(?)", (text,)).fetchone() == (1,)
    finally:
        with_sqlite.close()
    raw = json.dumps(json_exact.queryable(value), ensure_ascii=False)
    assert json_exact.UNSTORABLE.search(raw) is None
    assert "\\u0000" not in raw


def test_queryable_cuts_what_is_too_deep() -> None:
    deep: Any = 1
    for _ in range(json_exact.MAX_QUERY_DEPTH + 50):
        deep = [deep]
    cut = json_exact.queryable(deep)
    depth = 0
    while isinstance(cut, list):
        cut, depth = cut[0], depth + 1
    assert cut is None
    assert depth == json_exact.MAX_QUERY_DEPTH


def test_loads_reads_what_only_python_reads() -> None:
    value = json_exact.loads('{"a": NaN, "b": -Infinity, "c": 123456789012345678901234567890}')
    assert math.isnan(value["a"])
    assert value["b"] == -math.inf
    assert value["c"] == 123456789012345678901234567890


def test_loads_names_what_is_too_deep() -> None:
    with pytest.raises(ValueError, match="too deeply"):
        json_exact.loads("[" * 100_000 + "]" * 100_000)


def test_doc_hash_is_lm_evals() -> None:
    from lm_eval.utils import handle_non_serializable, hash_string

    doc = {"question": "naïve?", "choices": ["a", "b"], "n": 1e16, "none": None, "empty": []}
    dumped = json.dumps(doc, indent=2, default=handle_non_serializable, ensure_ascii=False)
    assert json_exact.doc_hash(doc).hex() == hash_string(dumped)
