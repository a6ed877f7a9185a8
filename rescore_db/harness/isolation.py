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

from rescore_db.harness.whereabouts import here

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


class ForkRefusedError(PermissionError):
    """A task's code wanted to fork this process."""

    def __init__(self) -> None:
        """Say why that is refused, and to whom it is not."""
        super().__init__(
            "rescoring lets no task's code fork its process: the copy would score and write, too "
            "(only tasks that execute code may, with --allow-unsafe)"
        )


@contextlib.contextmanager
def isolated(*, may_fork: bool = False) -> Iterator[None]:
    """Run a block without network, without forks, without output, and without warnings.

    Everything in the harness that runs code of lm-eval or of a task runs in such a block.  The
    first one also prepares the process: offline variables, quiet loggers, NLTK.  A copy of the
    process that gets to the block's end, however it came to be, ends there.

    Args:
        may_fork: let code start processes by `os.fork`, as `multiprocessing` does.
    """
    _prepare()
    owner = os.getpid()
    try:
        with here.excursion(), _silenced(may_fork=may_fork):
            yield
    finally:
        if os.getpid() != owner:
            os._exit(1)


@contextlib.contextmanager
def _silenced(*, may_fork: bool) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_no_network())
        if not may_fork:
            stack.enter_context(_no_forks())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _prepare() -> None:
    from rescore_db.harness.late_datasets import import_datasets_late
    from rescore_db.harness.nltk_data import watch_nltk

    if "lm_eval" not in sys.modules:  # later it would be too late for its libraries
        os.environ.update(OFFLINE)
        import_datasets_late()
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


@contextlib.contextmanager
def _no_forks() -> Iterator[None]:
    """Refuse copies of this process; other programs may be started."""
    before = {name: getattr(os, name) for name in ("fork", "forkpty") if hasattr(os, name)}

    def refused() -> Any:  # noqa: ANN401 - stands for several functions
        raise ForkRefusedError

    for name in before:
        setattr(os, name, refused)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(os, name, function)
