from __future__ import annotations

from dataclasses import replace

from rescore_db.records import Deletion, StoreInfo, TableSpace, Vacuumed
from rescore_db.report.managed import deletion_text, info_text, vacuum_text

ROWS = {"score": 2560, "sample": 1280, "run": 1}
GONE = Deletion(
    dry_run=True,
    runs=(3,),
    scorings=(4, 5),
    names=("run 3 (m@2026-03-02)",),
    evaluations=1,
    samples=1280,
    scores=2560,
    docs=2,
    prompts=1,
    kept_docs=1,
    rows=ROWS,
    notes=("1 doc stays for the subsets that hold them: hard",),
)
INFO = StoreInfo(
    url="sqlite:////a.db",
    database="SQLite 3.40.1",
    revision="0003",
    bytes=1_500_000,
    log_bytes=0,
    free_bytes=32_768,
    page_bytes=16_384,
    tables=(TableSpace("sample", 1280, 65_536, 16_384), TableSpace("line", 0, 16_384, 0)),
)


def test_a_plan_names_what_goes_then_counts_rows() -> None:
    assert deletion_text(GONE) == (
        "would delete run 3 (m@2026-03-02)\n"
        "with 1 evaluation, 1,280 samples, 2 scorings, 2,560 scores, 2 docs, 1 prompt\n"
        "\n"
        "table    rows\n"
        "──────  ─────\n"
        "score   2,560\n"
        "sample  1,280\n"
        "run         1\n"
        "note: 1 doc stays for the subsets that hold them: hard\n"
    )


def test_a_deletion_says_how_to_get_the_room() -> None:
    text = deletion_text(replace(GONE, dry_run=False, rows={}, notes=()))

    assert text.startswith("deleted run 3")
    assert text.endswith("note: `rescore db vacuum` gives the room back\n")


def test_many_runs_are_named_in_part_and_harmless() -> None:
    names = tuple(f"run {number} (\x1b[2J)" for number in range(1, 9))

    head = deletion_text(replace(GONE, names=names)).splitlines()[0]

    assert head.endswith(r"run 5 (\x1b[2J) and 3 more")


def test_a_store_is_shown_as_a_whole_and_by_table() -> None:
    assert info_text(INFO) == (
        "sqlite:////a.db · SQLite 3.40.1 · revision 0003\n"
        "1.5 MB, 16.4 kB a page · 32.8 kB of it free: `rescore db vacuum` gives it back\n"
        "\n"
        "table    rows    bytes  indexes\n"
        "──────  ─────  ───────  ───────\n"
        "sample  1,280  65.5 kB  16.4 kB\n"
        "\n"
        "1 empty table not shown\n"
    )


def test_what_is_not_known_of_a_store_is_left_out() -> None:
    tables = (TableSpace("sample", 3, None, None),)
    text = info_text(replace(INFO, log_bytes=4096, free_bytes=None, tables=tables))

    assert "4.1 kB in its write-ahead log" in text
    assert "free" not in text
    assert text.endswith("\n\ntable   rows\n──────  ────\nsample     3\n")
    assert info_text(replace(INFO, tables=())).endswith("\nno rows yet\n")


def test_a_vacuum_says_bytes_before_and_after() -> None:
    done = Vacuumed("sqlite:////a.db", 2_000_000, 1_000, ("somebody reads",))

    assert vacuum_text(done) == (
        "sqlite:////a.db: 2.0 MB before, 1.0 kB now\nnote: somebody reads\n"
    )
