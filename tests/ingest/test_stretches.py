"""Lines that are alike are stored column by column: what goes in is what goes in line by line."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from rescore_db.ingest import ingest_paths
from rescore_db.ingest.assemble import Assembler
from rescore_db.store import schema
from rescore_db.store.engine import open_engine, reading
from tests.ingest.logs import Line, Log, choice_line, dump, sums, sums_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest
    from sqlalchemy import Engine

TABLES = ("sample", "filtered_response", "score", "line", "aggregate", "scored_filter")
ODD: tuple[dict[str, Any], ...] = (
    {"exact_match": None},
    {"exact_match": [True, 1]},
    {"resps": [["another"]]},
    {"resps": [[]]},
    {"filtered_resps": ["another"]},
    {"filtered_resps": "x"},
    {"metrics": []},
    {"extra": 1},
    {"doc_hash": "0" * 64},
    {"target": "another"},
)


def odd_lines(seed: int) -> list[Line]:
    """Blocks of two filters with some lines that are not as the others."""
    chance = random.Random(seed)  # noqa: S311 - a choice, not a secret
    lines = []
    for name in chance.choice((["strict"], ["strict", "loose"])):
        docs = list(range(chance.randrange(1, 12)))
        if chance.random() < 0.3:
            docs.insert(chance.randrange(len(docs)), chance.choice(docs))
        if chance.random() < 0.3:
            chance.shuffle(docs)
        for number in docs:
            changed = chance.choice(ODD) if chance.random() < 0.1 else {}
            lines.append(sums_line(number, name, **changed))
    return lines


def lines_of_all_kinds() -> dict[str, list[Line] | bytes]:
    lines: dict[str, list[Line] | bytes] = {f"odd{seed}": odd_lines(seed) for seed in range(30)}
    lines["sums"] = sums(9)
    lines["pairs"] = [sums_line(at, name) for at in range(9) for name in ("strict", "loose")]
    lines["spaced"] = dump(sums(9)).replace(b'"filter": ', b'"filter":   ')
    lines["choices"] = [choice_line(at) for at in range(9)]
    lines["spaced choices"] = dump(lines["choices"]).replace(b'"], ["', b'"] ,["')
    lines["other choices"] = [
        choice_line(at, filtered_resps=[["-1.0", "False"]] * 3, acc=at / 3) for at in range(9)
    ]
    return lines


def rows(engine: Engine) -> dict[str, Sequence[Any]]:
    tables = schema.metadata.tables
    with reading(engine) as conn:
        return {
            name: conn.execute(
                select(tables[name]).order_by(*tables[name].primary_key.columns)
            ).all()
            for name in TABLES
        }


def test_lines_that_are_alike_are_stored_as_they_are_one_by_one(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(Log(lines_of_all_kinds(), results=None).write(tmp_path))
    monkeypatch.setattr("rescore_db.ingest.reading.BATCH_LINES", 7)
    single = open_engine(f"sqlite:///{tmp_path / 'single.db'}")
    assert ingest_paths(engine, [folder]).errors == ()
    monkeypatch.setattr(Assembler, "_stretch", lambda *_: None)
    assert ingest_paths(single, [folder]).errors == ()

    expected = rows(single)
    single.dispose()

    assert all(expected.values())
    assert rows(engine) == expected
