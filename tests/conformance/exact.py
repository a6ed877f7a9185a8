"""Values as texts that are equal only for the same type and the same bits."""

from __future__ import annotations

from typing import Any


def exact(value: Any) -> str:
    """Return a text that says a value's type and all of its bits; NaN is equal to NaN."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{exact(k)}: {exact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        inner = ", ".join(exact(one) for one in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} {sorted(exact(one) for one in value)}"
    return value_bits(value)


def value_bits(value: Any) -> str:
    """Return the same of a value that holds no others."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
        is_nan = value.shape == () and value != value  # noqa: PLR0124 - NaN is not itself
        return f"{kind} {value.dtype} {value.shape} {'nan' if is_nan else value.tobytes().hex()}"
    return f"{kind} {value.hex() if isinstance(value, float) else repr(value)}"
