"""What is done with the fields of a task's documents: the words of `hints`.

A path names a field, or a part of one: `("choices", "text")` is a key of a record, `("turns", 0)`
an item of a list.
"""

from __future__ import annotations

from typing import Any

Path = tuple[str | int, ...]
Uses = dict[Path, list[Any]]
"""Path → what is done with it: "list", "index", "text", "number", "ordinal", "json", "literal",
"record"; ("among", values) for a value that is looked up, ("contains", text) for one that is looked
into, ("item", n) for a list that is long enough, ("member", path) for another field's item."""

ITEM = 0
TEXT_METHODS = {
    *("strip", "lower", "upper", "split", "replace", "capitalize", "rstrip", "lstrip", "title"),
    *("startswith", "endswith", "splitlines", "format", "rfind", "find", "removeprefix"),
}
