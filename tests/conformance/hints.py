"""What a task's templates and functions tell of its documents' fields."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.conformance.in_functions import functions_of, of_function
from tests.conformance.in_templates import of_template
from tests.conformance.watching import watched_comparisons

if TYPE_CHECKING:
    from tests.conformance.uses import Path, Uses

FIELD = re.compile(r"[A-Za-z_][\w ]*")


def of_config(config: dict[str, Any]) -> tuple[Uses, Uses]:
    """Return what a config's functions, and what its templates, do with the fields."""
    functions: Uses = defaultdict(list)
    templates: Uses = defaultdict(list)
    for key in ("doc_to_text", "doc_to_choice", "doc_to_target"):
        value = config.get(key)
        if isinstance(value, str):
            _merge(templates, _as_used_in(key, of_template(value)))
            if FIELD.fullmatch(value):
                templates[value,].append("list" if key == "doc_to_choice" else key)
        elif isinstance(value, list):
            for one in value:
                _merge(templates, _as_used_in(key, of_template(str(one))))
    if callable(config.get("process_docs")):
        _merge(functions, watched(config["process_docs"]))
    for function in functions_of(config):
        _merge(functions, of_function(function))
    return functions, templates


def watched(process_docs: Any) -> Uses:
    """Return what a `process_docs` compares the fields with when it runs."""
    found: Uses = defaultdict(list)
    for field, others in watched_comparisons(process_docs).items():
        found[field,].append(("among", tuple(others)))
    return found


def _as_used_in(key: str, found: Uses) -> Uses:
    """A field that is a choice is a text, whatever it is called."""
    if key != "doc_to_choice":
        return found
    whole = {
        path: uses for path, uses in found.items() if not any(_is_below(one, path) for one in found)
    }
    return found | {path: uses or ["text"] for path, uses in whole.items()}


def _is_below(path: Path, other: Path) -> bool:
    return len(path) > len(other) and path[: len(other)] == other


def _merge(into: Uses, found: Uses) -> None:
    for path, uses in found.items():
        into[path] += uses
