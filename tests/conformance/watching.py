"""What a `process_docs` compares the fields of its documents with, seen by running it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import Any

Found = dict[str, list[Any]]


def watched_comparisons(process_docs: Any) -> Found:
    """Run a function over a dataset that notes comparisons; field → what it was compared with."""
    found: Found = defaultdict(list)
    with suppress(Exception):  # it gets values of no sense: what it did until then is what we want
        process_docs(_WatchedDataset(found))
    return found


class _WatchedDataset:
    """Hands one watched document to whatever filters, maps or iterates."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._doc = _WatchedDoc(found)
        self.features = self._doc

    def map(self, function: Any, *_: Any, **__: Any) -> _WatchedDataset:
        function(self._doc)
        return self

    filter = map  # noqa: A003 - as `datasets` calls it

    def __iter__(self) -> Any:
        return iter([self._doc])

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: Any) -> Any:
        return self._doc if isinstance(key, int) else [self._doc[key]]

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self


class _WatchedDoc(dict[str, Any]):
    """Has every field."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self._found = found

    def __missing__(self, field: str) -> Any:
        return _WatchedText.of(field, self._found)

    def __contains__(self, field: object) -> bool:
        return True

    def get(self, field: str, _: Any = None) -> Any:
        return self[field]


class _WatchedText(str):
    """A text that is equal to all others, and notes with what it was compared."""

    __slots__ = ("_field", "_found")
    _field: str
    _found: Found

    @classmethod
    def of(cls, field: str, found: Found) -> _WatchedText:
        made = cls("watched")
        made._field = field
        made._found = found
        return made

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (str, int)) and not isinstance(other, _WatchedText):
            seen = self._found[self._field]
            if other not in seen:
                seen.append(str.__str__(other) if isinstance(other, str) else other)
        return True

    def __contains__(self, other: object) -> bool:
        return self == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__()

    def strip(self, *_: Any) -> Any:
        return self

    lower = upper = rstrip = lstrip = title = capitalize = replace = strip

    def find(self, *_: Any) -> int:
        return -1
