"""Passwords out of URLs and messages: what is shown to anybody goes through here.

Passwords stand in a URL before the host, and in its options: libpq takes `password`,
`sslpassword`, `passfile` and keys there, too, and SQLAlchemy masks none of those.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK: Final = "***"

_SECRET: Final = re.compile(r"pass|secret|token|_key$", re.IGNORECASE)

# Passwords may hold unescaped "@", ":", "/" and "?", so a password ends at the last "@".
_LOGIN: Final = re.compile(r"(://[^/\s:?]*:)(.+)(?=@)", re.DOTALL)

# The same where a slash or a colon too few or too many keeps it from being a URL.  What follows
# `sqlite:` is a path, which may hold both characters.
_MISTYPED: Final = re.compile(
    r"^((?!(?:sqlite|file)\b|[a-z][\w+.-]*://[^/])(?:postgres\w*(?:\+\w+)?:?/*)?[^:]*:)(.+)(?=@)",
    re.DOTALL | re.IGNORECASE,
)
_OPTION: Final = re.compile(r"([?&]([^=&]*)=)([^&]*)")

# In a text a URL ends at a blank, but for what closes a quotation or a sentence.
_LOGIN_IN_TEXT: Final = re.compile(r"(://[^/\s:?]*:)(\S+)(?=@)")
_OPTION_IN_TEXT: Final = re.compile(
    r"""((?:[?&]|\b)([\w%]+)=)('[^']*'|[^&\s]*?)(?=['"]?[;,.:)\]}]*(?:[&\s]|$))"""
)


def masked_url(url: str) -> str:
    """Return a URL with every password in it masked."""
    login = _LOGIN if _LOGIN.search(url) else _MISTYPED
    return _OPTION.sub(_masked_option, login.sub(rf"\1{MASK}", url))


def masked(text: str, *, url: str = "") -> str:
    """Return a text, such as a message or a traceback, with the passwords in it masked.

    Args:
        text: may hold URLs and settings of a connection (`password=…`).
        url: a URL whose passwords are masked wherever they stand in the text.
    """
    for secret in sorted(_secrets(url), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _OPTION_IN_TEXT.sub(_masked_option, _LOGIN_IN_TEXT.sub(rf"\1{MASK}", text))


def _masked_option(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}" if _SECRET.search(unquote_plus(match[2])) else match[0]


def _secrets(url: str) -> Iterator[str]:
    """Yield a URL's passwords, as they are written and as they are meant."""
    login = _LOGIN.search(url)
    found = [login[2]] if login else []
    found += [match[3] for match in _OPTION.finditer(url) if _SECRET.search(unquote(match[2]))]
    for secret in filter(None, found):
        yield from {secret, unquote(secret), unquote_plus(secret)}
