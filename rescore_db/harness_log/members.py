"""Which tasks a results file has below its groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def group_members(logged: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return group → its direct members, as a results file names them; plain tasks left out."""
    found = logged.get("group_subtasks")
    if not isinstance(found, dict):
        return {}
    return {
        group: list(members)
        for group, members in found.items()
        if isinstance(members, list) and members
    }


def leaves(group: str, members: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the names of the tasks below a group."""
    found: set[str] = set()
    todo, seen = [group], set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in members:
            todo.extend(members[name])
        else:
            found.add(name)
    return found
