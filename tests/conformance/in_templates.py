"""What Jinja templates do with the fields of the documents."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import Any

import jinja2
from jinja2 import nodes
from lm_eval import utils

from tests.conformance.uses import ITEM, TEXT_METHODS, Path, Uses

GLOBALS = {"range", "dict", "lipsum", "cycler", "joiner", "namespace", "loop", "true", "false"}
FILTERS = {
    **dict.fromkeys(("join", "length", "list", "first", "last", "random", "count"), "list"),
    **dict.fromkeys(("map", "select"), "list"),
    **dict.fromkeys(("int", "float"), "number"),
}
NO_FIELDS = TEXT_METHODS | {"index", "items"}  # what is looked up on a value


@functools.lru_cache(maxsize=4096)
def of_template(template: str) -> Uses:
    """Return what a Jinja template does with the fields."""
    found: Uses = defaultdict(list)
    try:
        tree = utils.env.parse(template)
    except jinja2.TemplateSyntaxError:
        return found
    reader = _Template(found)
    reader.read(tree, {})
    return found


class _Template:
    def __init__(self, found: Uses) -> None:
        self._found = found

    def read(self, node: nodes.Node, bound: dict[str, Path | None]) -> None:
        """Note what a node and those below it do; `bound` are names that are no fields."""
        bound = dict(bound)
        if isinstance(node, nodes.For):
            path = self._use(node.iter, bound, "list")
            for name in _names_in(node.target):
                bound[name] = (*path, ITEM) if path else None
        elif isinstance(node, nodes.Template):
            for one in node.find_all(nodes.Assign):
                for name in _names_in(one.target):
                    bound[name] = self._path(one.node, bound)
        self._note(node, bound)
        for child in node.iter_child_nodes():
            self.read(child, bound)

    def _use(self, node: nodes.Node, bound: dict[str, Path | None], use: Any = None) -> Path | None:
        """Note a use of what a node names, or just that it is named; return its path."""
        path = self._path(node, bound)
        if path:
            self._found[path] += [] if use is None else [use]
        return path

    def _note(self, node: nodes.Node, bound: dict[str, Path | None]) -> None:
        match node:
            case nodes.Getitem(node=base, arg=arg):
                self._note_item(base, arg, bound)
            case nodes.Call(node=nodes.Getattr(node=base, attr=method), args=arguments):
                self._note_call(base, method, arguments, bound)
            case nodes.Filter(node=nodes.Expr() as base, name=name) if name in FILTERS:
                self._use(base, bound, FILTERS[name])
            case nodes.Getattr() | nodes.Name(ctx="load"):
                self._use(node, bound)
            case nodes.Sub(left=left, right=nodes.Const(value=int())):
                self._use(left, bound, "ordinal")
            case nodes.Compare(
                expr=left, ops=[nodes.Operand(op="eq", expr=nodes.Const(value=value))]
            ):
                self._use(left, bound, ("among", (value,)))

    def _note_item(self, base: nodes.Node, arg: nodes.Node, bound: dict[str, Path | None]) -> None:
        path, index, values = self._path(base, bound), self._path(arg, bound), _constant(base)
        if path and isinstance(_constant(arg), str):
            self._found[(*path, _constant(arg))]
        elif path and isinstance(_constant(arg), int):
            self._found[path].append(("item", _constant(arg)))
        elif path:
            self._found[path].append("list")
        if index and isinstance(values, dict):
            self._found[index].append(("among", tuple(values)))
        elif index and isinstance(values, list):
            self._found[index].append(("among", tuple(range(len(values)))))
        elif index:
            self._found[index].append("index")

    def _note_call(
        self, base: nodes.Node, method: str, arguments: list[Any], bound: dict[str, Path | None]
    ) -> None:
        path = self._path(base, bound)
        given = self._path(arguments[0], bound) if arguments else None
        if path and method in TEXT_METHODS:
            self._found[path].append("text")
        if method in ("index", "get") and given:
            values = _constant(base)
            if isinstance(values, (list, dict)):
                self._found[given].append(("among", tuple(values)))
            elif path:
                self._found[path].append("list")
                self._found[given].append(("member", path))

    def _path(self, node: nodes.Node, bound: dict[str, Path | None]) -> Path | None:
        """Return the field or part of one that a node names."""
        step: tuple[str | int, ...] = ()
        match node:
            case nodes.Name(name=name):
                return bound.get(name, None if name in GLOBALS else (name,))
            case nodes.Getattr(node=base, attr=attr) if attr not in NO_FIELDS:
                step = (attr,)
            case nodes.Getitem(node=base, arg=nodes.Const(value=str() as key)):
                step = (key,)
            case nodes.Getitem(node=base, arg=nodes.Const(value=int())):
                step = (ITEM,)
            case nodes.Filter(
                node=nodes.Expr() as base, name="int" | "trim" | "string" | "lower" | "upper"
            ):
                pass  # the same field
            case nodes.Call(node=nodes.Getattr(node=base, attr=attr)) if attr in TEXT_METHODS:
                pass
            case _:
                return None
        path = self._path(base, bound)
        return (*path, *step) if path else None


def _names_in(target: nodes.Node) -> list[str]:
    names = [target] if isinstance(target, nodes.Name) else target.find_all(nodes.Name)
    return [one.name for one in names]


def _constant(node: nodes.Node) -> Any:
    """Return a literal's value, None where it is none."""
    try:
        return node.as_const()  # type: ignore[attr-defined]
    except (nodes.Impossible, AttributeError):
        return None
