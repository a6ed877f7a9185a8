"""The first bytes of an SQLite file, read without harm to those who have it open.

POSIX drops all of a process's locks on a file when the process closes any descriptor of it.  A
second look at a store that is open in this process would take the locks away from under SQLite's
connection: another process would then think itself alone, and delete the log that the connection
goes on writing to.  So descriptors are kept: those of the last few files that are still there.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

BYTES: Final = 100
KEPT: Final = 64  # files; a process that opens more has hardly still a connection to the first

_descriptors: OrderedDict[tuple[int, int], int] = OrderedDict()
_lock: Final = threading.Lock()


def read_header(path: Path) -> bytes:
    """Return a file's header, or as much of it as there is.

    Raises:
        OSError: the file can't be read.
    """
    with _lock:
        found = path.stat()
        key = (found.st_dev, found.st_ino)
        descriptor = _descriptors.pop(key, None)
        if descriptor is None:
            descriptor = os.open(path, os.O_RDONLY)
        _descriptors[key] = descriptor
        _let_go()
        os.lseek(descriptor, 0, os.SEEK_SET)
        return os.read(descriptor, BYTES)


def _let_go() -> None:
    """Close what nobody can need any more: deleted files, and the oldest of too many."""
    gone = [key for key, descriptor in _descriptors.items() if not os.fstat(descriptor).st_nlink]
    old = [key for key in _descriptors if key not in gone][:-KEPT]
    for key in (*gone, *old):
        os.close(_descriptors.pop(key))
