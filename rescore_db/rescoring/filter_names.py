"""Filters that an older release of lm-eval did not name get their names from the definition.

Before 0.4.7 the lines do not tell; where no results file does either, the filters are called
`filter-1` … at ingest.  Their order is the definition's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rescore_db.harness_log.older import GUESSED
from rescore_db.store.engine import atomic, reading
from rescore_db.store.filter_names import guessed_filters, name_filters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine

    from rescore_db.rescoring.how import Way

THE_TASKS_OWN: Final = frozenset({"registry", "include-path", "as-logged"})
"""Where a definition is from that may name the filters of a log: not the user's variant of it."""


def filters_meant(logged: Sequence[str], defined: Sequence[str]) -> dict[str, str]:
    """Return logged filter → the definition's filter that it is, by place where names are guessed.

    Where there are more or fewer than the definition has, names are left as they are.
    """
    numbered = [GUESSED.format(index) for index in range(1, len(defined) + 1)]
    if list(logged) == numbered and not set(numbered) & set(defined):
        return dict(zip(logged, defined, strict=True))
    return {name: name for name in logged}


def learn_filter_names(
    engine: Engine, evaluation_id: int, way: Way, definition: Mapping[str, Any]
) -> None:
    """Name an evaluation's logged filters as the definition does, if nothing else names them.

    Args:
        engine: the store.
        evaluation_id: which evaluation.
        way: how it is scored; filters of the user's say nothing of the log's.
        definition: the fields of the task's `Definition`.
    """
    if way.template.filters_json is not None or definition["source"] not in THE_TASKS_OWN:
        return
    with reading(engine) as conn:
        guessed = guessed_filters(conn, evaluation_id)
    if guessed:
        with atomic(engine) as conn:
            name_filters(conn, evaluation_id, definition["filters"])
