"""Metric values in and out of the store, with their Python and numpy types.

An aggregation is bit-identical only when it gets what `process_results` gave: a tuple or a list,
a float or a `numpy.float64` (Python 3.12's `sum` treats them differently), an array.  A score is
stored as a number under its metric's *kind*, or as typed JSON:

    JSON as it is              None, bool, int, float, str, list, dict with ordinary keys
    {"$tuple": [...]}          tuple
    {"$set": [...]}            set, in sorted order of its members' JSON
    {"$numpy": [dtype, x]}     numpy scalar; x is its `item()`
    {"$array": [dtype, [...]]} numpy array of numbers
    {"$dict": [[k, v], ...]}   dict with other keys, or with a key that begins with "$"
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from rescore_db.records import ScoreKind

MAX_EXACT_INT: Final = 2**53  # beyond it a double column would round

_NUMPY_KINDS: Final[dict[str, ScoreKind]] = {
    "float64": "np.float64",
    "float32": "np.float32",
    "int64": "np.int64",
    "bool": "np.bool",
}


class UntypableError(TypeError):
    """A value of a type that the store cannot give back."""


def kind_of(value: Any) -> ScoreKind:  # noqa: ANN401 - whatever process_results returns
    """Return the kind under which a value is stored as one number, else "json"."""
    if type(value) is float:
        return "float"
    if type(value) is bool:
        return "bool"
    if type(value) is int:
        return "int"
    if type(value).__module__ == "numpy" and hasattr(value, "dtype") and value.ndim == 0:
        return _NUMPY_KINDS.get(value.dtype.name, "json")
    return "json"


def split(value: Any, kind: ScoreKind) -> tuple[float | None, str | None]:  # noqa: ANN401
    """Split a value into the two columns of `score`, under its metric's kind.

    Returns:
        `(number, None)` when the number and the kind say it all, else `(number or None, typed
        JSON)`; the number is then only for queries.

    Raises:
        UntypableError: the value's type cannot be given back.
    """
    own = kind_of(value)
    number: float | None = None
    if own != "json":
        plain = value.item() if own.startswith("np.") else value
        if abs(plain) <= MAX_EXACT_INT or isinstance(plain, float):
            number = float(plain) if math.isfinite(plain) else None
        is_negative_zero = number == 0 and math.copysign(1.0, plain) < 0
        if own == kind and number is not None and not is_negative_zero:
            return number, None
    return number, json.dumps(_typed(value))


def join(number: float | None, exact: str | None, kind: ScoreKind) -> Any:  # noqa: ANN401
    """Give back the value that `split` split."""
    if exact is not None:
        return _untyped(json.loads(exact))
    if number is None:
        return None
    return _CASTS[kind](number)


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a typed JSON value as lm-eval would log it (tuples become lists, and so on).

    Arrays become the text that lm-eval writes for them, `str(array)`, as they do in its logs.
    """
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, set):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if type(value).__module__ == "numpy":
        return value.item() if value.ndim == 0 else str(value)
    return value


def _typed(value: Any) -> Any:  # noqa: ANN401
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [_typed(item) for item in value]
    if type(value) is tuple:
        return {"$tuple": [_typed(item) for item in value]}
    if type(value) is dict:
        return _typed_dict(value)
    if type(value) is set:
        return {"$set": sorted((_typed(item) for item in value), key=json.dumps)}
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        name = value.dtype.name
        if value.dtype.kind in "fiub":
            return {"$array" if value.ndim else "$numpy": [name, value.tolist()]}
    msg = f"a metric's value of type {type(value).__module__}.{type(value).__qualname__}"
    raise UntypableError(msg)


def _typed_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: _typed(item) for key, item in value.items()}
    return {"$dict": [[_typed(key), _typed(item)] for key, item in value.items()]}


def _untyped(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, list):
        return [_untyped(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (tag, inner), *_ = value.items()
        if tag in _UNTYPED:
            return _UNTYPED[tag](inner)
    return {key: _untyped(item) for key, item in value.items()}


def _numpy_scalar(inner: list[Any]) -> Any:  # noqa: ANN401
    import numpy as np

    return np.dtype(inner[0]).type(inner[1])


def _array(inner: list[Any]) -> Any:  # noqa: ANN401
    import numpy as np

    return np.array(inner[1], dtype=inner[0])


_UNTYPED: Final[dict[str, Callable[[Any], Any]]] = {
    "$tuple": lambda inner: tuple(_untyped(item) for item in inner),
    "$set": lambda inner: {_untyped(item) for item in inner},
    "$dict": lambda inner: {_untyped(key): _untyped(item) for key, item in inner},
    "$numpy": _numpy_scalar,
    "$array": _array,
}

_CASTS: Final[dict[str, Callable[[float], Any]]] = {
    "float": float,
    "int": int,
    "bool": bool,
    "np.float64": lambda number: _numpy_scalar(["float64", number]),
    "np.float32": lambda number: _numpy_scalar(["float32", number]),
    "np.int64": lambda number: _numpy_scalar(["int64", int(number)]),
    "np.bool": lambda number: _numpy_scalar(["bool", bool(number)]),
    "json": float,
}
