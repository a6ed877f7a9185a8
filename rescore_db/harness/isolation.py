"""lm-eval's code and its tasks' run cut off from the network, our stdout and their own chatter."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "DISABLE_MULTIPROC": "1",  # lm-eval's bootstrap starts no processes
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}
"""What has to be in the environment before lm-eval and its libraries are imported."""


class NetworkRefusedError(ConnectionError):
    """Something under lm-eval wanted to reach the network."""

    def __init__(self) -> None:
        """Say why that is refused."""
        super().__init__("rescoring never uses the network, and this task's code tried to")


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Run a block without network, without output, and without warnings.

    Everything in the harness that runs code of lm-eval or of a task runs in such a block.  The
    first one also prepares the process: offline variables, quiet loggers, NLTK.
    """
    _prepare()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_no_network())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _prepare() -> None:
    from rescore_db.harness.nltk_data import watch_nltk

    if "lm_eval" not in sys.modules:  # later it would be too late for its libraries
        os.environ.update(OFFLINE)
        logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    watch_nltk()


@contextlib.contextmanager
def _no_network() -> Iterator[None]:
    """Refuse connections and name look-ups; sockets within the machine's own kernel pass."""
    connect, connect_ex, look_up = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def refused(*_: Any, **__: Any) -> Any:  # noqa: ANN401 - stands for several functions
        raise NetworkRefusedError

    def local_only(self: socket.socket, address: Any) -> None:  # noqa: ANN401 - as socket has it
        if self.family != socket.AF_UNIX:
            raise NetworkRefusedError
        connect(self, address)

    socket.socket.connect = local_only  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = refused  # type: ignore[method-assign]
    socket.getaddrinfo = refused
    try:
        yield
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
        socket.getaddrinfo = look_up
