"""Digests of samples files, to be compared with those that are stored."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from rescore_db.errors import LogFormatError
from rescore_db.harness_log.files import open_log
from rescore_db.ingest.reading import SamplesReader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rescore_db.harness_log.discovery import SamplesFile
    from rescore_db.harness_log.results import Results
    from rescore_db.ingest.versions import Digests
    from rescore_db.store.runs import RunVersion

CHUNK: Final = 1 << 20
OF_BYTES: Final = hashlib.sha256().digest_size
"""How long a digest is that an older version of this program made, of the file's bytes."""


class FileDigests:
    """Computes digests, each once.

    Attributes:
        results: the run's results file, which older releases' samples files cannot be read without.
    """

    def __init__(self, max_bytes: int, *, skip_bad: bool) -> None:
        """Prepare to read files as an ingest with the same limit and option would."""
        self.results: Results | None = None
        self._max_bytes = max_bytes
        self._skip_bad = skip_bad
        self._of_records: dict[str, bytes] = {}
        self._of_bytes: dict[str, bytes] = {}

    def of(self, source: SamplesFile, versions: Iterable[RunVersion]) -> Digests:
        """Return the digests of a file's content that some versions may have.

        A file that cannot be read, which is told when it is to be stored, has none that they have.
        """
        known = [one.evaluations.get(source.task) for one in versions]
        stored = {one.digest for one in known if one is not None and one.digest is not None}
        found = set()
        if any(len(digest) == OF_BYTES for digest in stored):
            found.add(self._cached(self._of_bytes, source))
        if any(len(digest) != OF_BYTES for digest in stored):
            found.add(self._cached(self._of_records, source))
        return frozenset(found)

    def _cached(self, digests: dict[str, bytes], source: SamplesFile) -> bytes:
        if source.path not in digests:
            read = self._read_bytes if digests is self._of_bytes else self._read_records
            try:
                digests[source.path] = read(source)
            except LogFormatError:
                digests[source.path] = b""
        return digests[source.path]

    def _read_bytes(self, source: SamplesFile) -> bytes:
        digest = hashlib.sha256()
        with open_log(source.path) as file:
            while chunk := file.stream.read(CHUNK):
                digest.update(chunk)
        return digest.digest()

    def _read_records(self, source: SamplesFile) -> bytes:
        reader = SamplesReader(source, self._max_bytes, _untold, skip_bad=self._skip_bad)
        task = None if self.results is None else self.results.tasks.get(source.task)
        for _ in reader.batches(task):
            pass
        return reader.digest.digest()


def _untold(_: int) -> None:
    """Take no note of the progress: the file is read again to be stored."""
