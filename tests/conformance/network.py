"""A process without a network, whatever its code catches or patches."""

from __future__ import annotations

import socket
import sys
from typing import Any

REACHED: list[str] = []
"""What this process wanted to reach since its network was cut."""


def cut_network() -> None:
    """Refuse connections and name look-ups from now on; sockets within this machine pass."""

    def refuse(event: str, details: tuple[Any, ...]) -> None:
        if event == "socket.connect" and details[0].family == socket.AF_UNIX:
            return
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
            REACHED.append(f"{event} {details[1:] if event == 'socket.connect' else details}")
            raise ConnectionRefusedError(REACHED[-1])

    sys.addaudithook(refuse)
