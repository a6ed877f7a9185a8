"""Messages between a parent and its scoring child: a length, then JSON in ASCII.

JSON by Python's own `json`, because NaN, big integers and lone surrogates must pass.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Final

HEADER: Final = struct.Struct("<Q")


def write_message(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Send one message.

    Raises:
        BrokenPipeError: the other side is gone.
    """
    body = json.dumps(message).encode("ascii")
    stream.write(HEADER.pack(len(body)) + body)
    stream.flush()


def read_message(stream: IO[bytes]) -> dict[str, Any] | None:
    """Wait for one message; None when the other side is gone."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    (length,) = HEADER.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        return None
    message: dict[str, Any] = json.loads(body)
    return message
