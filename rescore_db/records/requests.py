"""What Python callers get wrong in a request, whatever it asks for."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from rescore_db.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Request = TypeVar("Request", bound="DataclassInstance")


def checked(request: Request) -> Request:
    """Return a request; a text where several are expected would be read letter by letter.

    Raises:
        UsageError: there is one.
    """
    for field in fields(request):
        value: Any = getattr(request, field.name)
        if field.default == () and isinstance(value, str | os.PathLike):
            msg = f"{field.name} takes a tuple: write {field.name}=({os.fspath(value)!r},)"
            raise UsageError(msg)
    return request
