"""What a path is: a place on this machine, or a URL that fsspec understands.

URLs may be chained as fsspec does it: `zip://a/b.jsonl::https://host/logs.zip` is a file inside
an archive that lies elsewhere.  Nothing here opens anything, and fsspec is not imported.

A URL may hold credentials.  `shown` gives the URL without them, which is what discovery hands on
as the path, so that no message, progress bar or database row can hold them; `real` gives them
back to whoever opens the file in this process.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import unquote

from rescore_db.harness_log.compression import split_compression
from rescore_db.masking import MASK, masked, masked_url

WEB: Final = frozenset({"http", "https"})
LOCAL: Final = frozenset({"file", "local"})
ARCHIVES: Final = frozenset({"zip", "tar", "libarchive"})
DATA_ENDINGS: Final = (".json", ".jsonl", ".csv")
NO_LOGIN: Final = frozenset({"github", "hf"})  # what stands before @ is a repository

_PROTOCOL: Final = r"[a-z][a-z0-9+.-]+"
_URL: Final = re.compile(rf"(?:{_PROTOCOL}::)*{_PROTOCOL}://", re.IGNORECASE)
_PARTS: Final = re.compile(
    rf"(?P<before>(?:{_PROTOCOL}::)*)(?P<protocol>{_PROTOCOL})://(?P<place>.*?)(?P<after>(?:::.*)?)",
    re.IGNORECASE | re.DOTALL,
)
_USER: Final = re.compile(r"(://)[^/@\s:?]+(?=@)")  # a token that stands alone before the host
_SIGNED: Final = re.compile(
    r"([?&][^=&]*(?:signature|credential|sig|key)=)[^&\s'\"]+", re.IGNORECASE
)

_real: dict[str, str] = {}  # shown → with its credentials


class Parts(NamedTuple):
    """A URL taken apart around the link that names the file: the first one with a place.

    Attributes:
        before: protocols that only pass through, such as `simplecache::`.
        protocol: of the link.
        place: what follows its `://`.
        after: the rest of the chain, from its `::` on.
    """

    before: str
    protocol: str
    place: str
    after: str

    def at(self, place: str) -> str:
        """Return the URL of another place in the same file system."""
        return f"{self.before}{self.protocol}://{place}{self.after}"


def is_url(path: str) -> bool:
    """Tell a URL, chained or not, from a path on this machine."""
    return "://" in path and _URL.match(path) is not None


def parts_of(url: str) -> Parts:
    """Take a URL apart; an archive that is named without a place in it means all of it."""
    found = _PARTS.fullmatch(url)
    if found is None:
        msg = f"not a URL: {url}"
        raise ValueError(msg)
    parts = Parts(*found.groups())
    outer = parts.before.rstrip(":").rpartition("::")[2]
    if outer in ARCHIVES:
        before = parts.before.removesuffix(f"{outer}::")
        return Parts(before, outer, "", f"::{parts.protocol}://{parts.place}{parts.after}")
    return parts


def local_path(path: str) -> str | None:
    """Return the path on this machine that a path or a `file://` URL means; None for others."""
    if not is_url(path):
        return path
    parts = parts_of(path)
    if parts.protocol.lower() not in LOCAL or parts.before or parts.after:
        return None
    place = parts.place.removeprefix("localhost")
    return place if os.path.lexists(place) else unquote(place)


def shown(path: str) -> str:
    """Return a path without the credentials that a URL may hold; `real` knows them."""
    if not is_url(path):
        return path
    hidden = "::".join(_masked(link) for link in path.split("::"))
    if hidden != path:
        _real[hidden] = path
    return hidden


def without_secrets(text: str, url: str) -> str:
    """Return a message without the credentials of a URL that it may quote."""
    text = text.replace(real(url), shown(url))
    return masked(_USER.sub(rf"\1{MASK}", _SIGNED.sub(rf"\1{MASK}", text)), url=real(url))


def real(path: str) -> str:
    """Return the path that `shown` was given."""
    return _real.get(path, path)


def base_name(path: str) -> str:
    """Return a file's name, also that of a URL, without query and quoting."""
    if not is_url(path):
        return Path(path).name
    return PurePosixPath(_plain_place(parts_of(path))).name


def is_data(path: str) -> bool:
    """Tell by its name whether a file may be one that users expect to be read."""
    return split_compression(base_name(path))[0].endswith(DATA_ENDINGS)


def parent(path: str) -> str:
    """Return the folder that a file lies in."""
    if not is_url(path):
        return str(Path(path).parent)
    parts = parts_of(path)
    place = parts.place
    if parts.protocol.lower() in WEB:
        place = place.partition("?")[0].partition("#")[0]
    return parts.at(place.rstrip("/").rpartition("/")[0])


def folder_name(path: str) -> str:
    """Return the name of the folder that a file lies in; an archive is a folder, too."""
    if not is_url(path):
        return Path(path).absolute().parent.name
    above = parts_of(parent(path))
    name = PurePosixPath(_plain_place(above)).name
    if name or not above.after:
        return name
    container = above.after.removeprefix("::")
    return PurePosixPath(base_name(container)).stem


def _plain_place(parts: Parts) -> str:
    if parts.protocol.lower() not in WEB:
        return parts.place
    return unquote(parts.place.partition("?")[0].partition("#")[0])


def _masked(link: str) -> str:
    protocol = link.partition("://")[0].lower()
    if protocol in NO_LOGIN:
        return link
    link = _SIGNED.sub(rf"\1{MASK}", masked_url(link))
    return _USER.sub(rf"\1{MASK}", link) if protocol in WEB else link
