from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass

import pytest

from rescore_db import records
from rescore_db.report.column_kinds import Listing, free_columns
from rescore_db.report.columns import LISTINGS, listing_of

ROW_CLASSES = [
    item
    for name, item in vars(records).items()
    if is_dataclass(item) and isinstance(item, type) and name.endswith(("Row", "Score"))
]


@pytest.mark.parametrize("row_class", ROW_CLASSES)
def test_every_row_class_is_declared(row_class: type) -> None:
    assert row_class in LISTINGS


@pytest.mark.parametrize("row_class", LISTINGS)
def test_a_declaration_has_each_field_once_in_its_place(row_class: type) -> None:
    declared = [column.key for column in LISTINGS[row_class].columns]

    assert declared == [field.name for field in fields(row_class)]


@pytest.mark.parametrize("listing", LISTINGS.values())
def test_groups_are_fields_that_come_first_in_a_flat_table(listing: Listing) -> None:
    flat = listing.flat_columns()

    assert [column.key for column in flat][: len(listing.group)] == list(listing.group)
    assert sorted(column.key for column in flat) == sorted(c.key for c in listing.columns)
    assert all(column.title for column in flat[: len(listing.group)])


def test_an_undeclared_class_shows_each_field() -> None:
    @dataclass
    class Fresh:
        some_name: str
        amount: int

    columns = listing_of(Fresh).columns

    assert [(c.title, c.cell(Fresh("x\n", 1200))) for c in columns] == [
        ("some_name", "x↵"),
        ("amount", "1200"),
    ]
    assert [c.right for c in columns] == [False, True]


def test_what_is_no_row_class_is_our_own_mistake() -> None:
    with pytest.raises(TypeError, match="no row class"):
        listing_of(int)


def test_a_querys_numbers_stand_at_the_right() -> None:
    columns = free_columns(["a", "b", "c"], [(1, "x", None), (2.5, 3, None)])

    assert [column.right for column in columns] == [True, False, False]
    assert [column.cell((2.5, "x\ny", None)) for column in columns] == ["2.5000", "x↵y", "-"]
