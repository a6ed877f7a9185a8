"""One file on its way to the disk: written beside its place, then put there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from rescore_db.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path, PurePath

    from sqlalchemy import Connection

    from rescore_db.records.exported import FileKind, FileStatus

CHUNK: Final = 1 << 20


class Frame(NamedTuple):
    """What stands around and between a file's records."""

    opening: bytes = b""
    between: bytes = b""
    closing: bytes = b""


PLAIN: Final = Frame()


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to be written.

    Attributes:
        path: below the export's folder.
        kind: what is in it.
        run: primary key of the run.
        task: the evaluation's, None for a results file.
        records: how many there will be, as far as is known before.
        content: gives the records, one at a time.
        frame: what stands around them.
    """

    path: PurePath
    kind: FileKind
    run: int
    task: str | None
    records: int
    content: Callable[[Connection], Iterator[bytes]]
    frame: Frame = PLAIN


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a file: its records and bytes, also of one that stayed as it was."""

    records: int
    size: int
    status: FileStatus


def write_file(target: Path, frame: Frame, records: Iterable[bytes], *, force: bool) -> Written:
    """Write a file and put it in its place, unless there is another one already.

    Args:
        target: the place; folders above it are made.
        frame: what stands around the records.
        records: the content.
        force: replace a file with other content.

    Raises:
        OutputError: it cannot be written.
    """
    part = target.parent / f".rescore-{uuid4().hex}.part"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                count = _write_all(file, frame, records)
                size = file.tell()
            return Written(count, size, _put(part, target, force=force))
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        msg = f"{target} cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def _write_all(file: IO[bytes], frame: Frame, records: Iterable[bytes]) -> int:
    file.write(frame.opening)
    count = 0
    for record in records:
        if count:
            file.write(frame.between)
        file.write(record)
        count += 1
    file.write(frame.closing)
    return count


def _put(part: Path, target: Path, *, force: bool) -> FileStatus:
    """Give a file its name, unless that name has a file already that is to stay."""
    if os.path.lexists(target):
        if target.is_file() and _are_equal(part, target):
            return "unchanged"
        if not force:
            return "kept"
    part.replace(target)
    return "written"


def _are_equal(one: Path, other: Path) -> bool:
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        while chunk := left.read(CHUNK):
            if chunk != right.read(CHUNK):
                return False
    return True
