"""What Python functions do with the fields of the documents, read from their source."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.conformance.uses import ITEM, TEXT_METHODS, Path, Uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def functions_of(config: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """Yield the Python functions and classes of a config."""
    metrics = config.get("metric_list") or []
    parts = [*config.values(), *(value for one in metrics for value in one.values())]
    for value in parts:
        if callable(value) and not isinstance(value, (str, dict)):
            yield value


@functools.lru_cache(maxsize=2048)
def _parsed(function: Any) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return None


def sources_of(function: Any) -> list[Any]:
    """Return a function and those of the tasks' own that it calls, by name."""
    found: list[Any] = []
    waiting = [function]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, functools.partial):
            waiting.append(one.func)
            continue
        one = inspect.unwrap(one) if callable(one) else one
        if one in found:
            continue
        found.append(one)
        tree = _parsed(one)
        scope = getattr(one, "__globals__", None) or vars(inspect.getmodule(one) or object)
        cells = inspect.getclosurevars(one).nonlocals if inspect.isfunction(one) else {}
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} if tree else set()
        waiting += [v for v in (cells.get(n, scope.get(n)) for n in sorted(names)) if _is_ours(v)]
    return found


def _is_ours(value: Any) -> bool:
    return (inspect.isfunction(value) or inspect.isclass(value)) and "utils" in (
        getattr(value, "__module__", "") or ""
    )


def of_function(function: Any) -> Uses:
    """Return what a function does with the fields, and the functions that it calls."""
    found: Uses = defaultdict(list)
    for one in sources_of(function):
        tree = _parsed(one)
        if tree is not None:
            scope = {**getattr(one, "__globals__", {}), **_given(function)}
            _Source(found, _values_around(function), scope).visit(tree)
    return found


def _given(function: Any) -> dict[str, Any]:
    """Return the arguments that a `partial` gives by name."""
    return function.keywords if isinstance(function, functools.partial) else {}


def _values_around(function: Any) -> tuple[Any, ...]:
    """Return the texts that a function was made with: `partial(process_docs, subject="law")`."""
    values: list[Any] = []
    while isinstance(function, functools.partial):
        values += [*function.args, *function.keywords.values()]
        function = function.func
    if inspect.isfunction(function):
        values += inspect.getclosurevars(function).nonlocals.values()
        values += [one for one in function.__defaults__ or () if one]
    return tuple(one for one in values if isinstance(one, (str, int)))


class _Source(ast.NodeVisitor):
    """Notes subscripts and what is done with them."""

    def __init__(self, found: Uses, around: tuple[Any, ...], scope: dict[str, Any]) -> None:
        self._found = found
        self._around = around
        self._scope = dict(scope)
        self._names: dict[str, Path] = {}

    def visit_Assign(self, node: ast.Assign) -> None:
        path, value = self._path(node.value), _literal(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and path:
                self._names[target.id] = path
            elif isinstance(target, ast.Name) and isinstance(value, (dict, list, tuple)):
                self._scope[target.id] = value
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        path = self._path(node)
        if path and isinstance(node.ctx, ast.Load):
            self._found[path]
            if path[-1] == ITEM:
                self._found[path[:-1]].append("list")
        index = self._path(node.slice)
        if index:
            values = self._literal(node.value)
            if isinstance(values, dict):
                self._found[index].append(("among", tuple(values)))
            else:
                self._found[index].append("index")
                if path := self._path(node.value):
                    self._found[path].append("list")
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._iterate(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._iterate(node.target, node.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        for one in node.generators:
            self._iterate(one.target, one.iter)
        self.generic_visit(node)

    visit_GeneratorExp = visit_ListComp  # type: ignore[assignment]  # noqa: N815 - ast's name

    def _iterate(self, target: ast.expr, source: ast.expr) -> None:
        match source:
            case ast.Call(func=ast.Name(id="enumerate"), args=[inner, *_]):
                source = inner
                target = target.elts[1] if isinstance(target, ast.Tuple) else target
        path = self._path(source)
        if path:
            self._found[path].append("list")
            if isinstance(target, ast.Name):
                self._names[target.id] = (*path, ITEM)

    def visit_Call(self, node: ast.Call) -> None:
        path = self._path(node)
        if path:
            self._found[path]
        first = self._path(node.args[0]) if node.args else None
        match node.func:
            case ast.Name(id="int" | "float") if first:
                self._found[first].append("number")
            case ast.Name(id="ord") if first:
                self._found[first].append("index")
            case ast.Name(id="eval" | "literal_eval") | ast.Attribute(attr="literal_eval") if first:
                self._found[first].append("literal")
            case ast.Attribute(attr="loads") if first:
                self._found[first].append("json")
            case ast.Attribute(value=base, attr=method):
                self._call_method(base, method, first)
                if method in ("index", "find", "split", "replace"):
                    self._look_for(base, node.args)
        self.generic_visit(node)

    def _call_method(self, base: ast.expr, method: str, first: Path | None) -> None:
        path = self._path(base)
        if path and method in TEXT_METHODS:
            self._found[path].append("text")
        elif path and method in ("items", "keys", "values"):
            self._found[path].append("record")
        if first and method == "index":
            values = self._literal(base)
            if isinstance(values, (list, tuple, str)):
                self._found[first].append(("among", tuple(values)))
            elif path:
                self._found[first].append(("member", path))
        elif first and method == "get" and isinstance(self._literal(base), dict):
            self._found[first].append(("among", tuple(self._literal(base))))
        elif first and method == "join":
            self._found[first].append("list")

    def _look_for(self, base: ast.expr, arguments: list[ast.expr]) -> None:
        """Note a text that is looked for in a field by a method."""
        path = self._path(base)
        if path and arguments and isinstance(text := self._literal(arguments[0]), str):
            self._found[path].append(("contains", text))

    def visit_BinOp(self, node: ast.BinOp) -> None:
        path = self._path(node.left)
        if path and isinstance(node.op, ast.Sub) and isinstance(node.right, ast.Constant):
            self._found[path].append("ordinal")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        path, value = self._path(node.left), self._literal(node.comparators[0])
        if path and isinstance(node.ops[0], (ast.Eq, ast.NotEq)) and isinstance(value, (str, int)):
            self._found[path].append(("among", (value,)))
        elif (
            path
            and isinstance(node.ops[0], (ast.In, ast.NotIn))
            and isinstance(value, (list, tuple))
        ):
            self._found[path].append(("among", tuple(value)))
        elif path is None and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            self._contained(node)
        elif path and value is None and self._around:
            self._found[path] += [("among", (one,)) for one in self._around]
        self.generic_visit(node)

    def _contained(self, node: ast.Compare) -> None:
        """Note a text that is looked for in a field."""
        path, value = self._path(node.comparators[0]), self._literal(node.left)
        if path and isinstance(value, str):
            self._found[path].append(("contains", value))

    def _path(self, node: ast.AST) -> Path | None:
        """Return the field or part of one that an expression names."""
        match node:
            case ast.Name(id=name):
                return self._names.get(name)
            case ast.Subscript(value=base, slice=ast.Constant(value=str() | int() as key)):
                return self._part(base, key)
            case ast.Call(
                func=ast.Attribute(value=base, attr="get"),
                args=[ast.Constant(value=str() as key), *_],
            ):
                return self._part(base, key)
            case ast.Call(func=ast.Attribute(value=base, attr=method)) if method in TEXT_METHODS:
                return self._path(base)
            case ast.Call(func=ast.Name(id="str" | "list" | "len"), args=[inner]):
                return self._path(inner)
        return None

    def _part(self, base: ast.AST, key: str | int) -> Path | None:
        """Return the path of a part; any name with a text as key is taken for a document."""
        inner = self._path(base)
        if inner:
            return (*inner, key if isinstance(key, str) else ITEM)
        return (key,) if isinstance(base, ast.Name) and isinstance(key, str) else None

    def _literal(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            value = self._scope.get(node.id)
            return value if isinstance(value, (dict, list, tuple, str)) else None
        return _literal(node)


def _literal(node: ast.AST) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError):
        return None


def literals_in(functions: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Return the lists and mappings' keys that stand in functions and their modules."""
    found: list[tuple[Any, ...]] = []
    for function in functions:
        for one in sources_of(function):
            for value in _values_in(one):
                if isinstance(value, (list, tuple, dict, set)) and 1 < len(value) < 200:
                    keys = tuple(value)
                    if all(isinstance(key, (str, int)) for key in keys) and keys not in found:
                        found.append(keys)
    return found


def _values_in(function: Any) -> Iterator[Any]:
    scope = getattr(function, "__globals__", {})
    tree = _parsed(function)
    parts = list(ast.walk(tree)) if tree else []
    for part in parts:
        if isinstance(part, (ast.List, ast.Tuple, ast.Dict)):
            yield _literal(part)
    for name in sorted({part.id for part in parts if isinstance(part, ast.Name)}):
        yield scope.get(name)
