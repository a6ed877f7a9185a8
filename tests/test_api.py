"""What Python callers get wrong, and the ways to say the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rescore_db
from rescore_db import demo
from rescore_db.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGS = demo.HERE / "logs"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[rescore_db.Store]:
    with rescore_db.open(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.mark.parametrize("paths", [str(LOGS), LOGS, [str(LOGS)], (LOGS,)])
def test_paths_are_one_or_several_texts_or_paths(store: rescore_db.Store, paths: Any) -> None:
    assert store.ingest(paths).evaluations == 13


def test_a_path_that_leads_nowhere_is_not_read_letter_by_letter(store: rescore_db.Store) -> None:
    with pytest.raises(NotFoundError, match="no such file or folder: /nope"):
        store.ingest("/nope")


@pytest.mark.parametrize("value", ["shop_sums", Path("shop_sums")])
def test_one_text_where_several_are_expected_is_refused(
    store: rescore_db.Store, value: Any
) -> None:
    words = r"takes a tuple: write \w+=\('shop_sums',\)"

    for field in ("tasks", "include_paths"):
        with pytest.raises(UsageError, match=f"{field} {words}"):
            store.score(request=rescore_db.ScoreRequest(**{field: value}))
        with pytest.raises(UsageError, match=f"{field} {words}"):
            store.verify(request=rescore_db.VerifyRequest(**{field: value}))
    for field in ("tasks", "filters", "metrics"):
        with pytest.raises(UsageError, match=f"{field} {words}"):
            store.compare("1", "2", options=rescore_db.CompareOptions(**{field: value}))


@pytest.mark.parametrize("limit", [0, -5])
def test_a_limit_below_one_is_refused(store: rescore_db.Store, limit: int) -> None:
    with pytest.raises(UsageError, match=f"limit must be at least 1, not {limit}"):
        store.samples(limit=limit)
    with pytest.raises(UsageError, match="must be positive"):
        store.sql("SELECT 1", max_rows=limit)
