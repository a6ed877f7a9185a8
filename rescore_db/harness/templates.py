"""Jinja templates, compiled once instead of once a document."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT: Final = 512  # compiled templates; tasks have a few, but a document may bring its own


@contextlib.contextmanager
def cached_templates(*, sandboxed: bool = False) -> Iterator[None]:
    """Let lm-eval render with compiled templates that are kept between documents.

    lm-eval compiles a template each time it renders one.  A compiled template keeps nothing
    between renderings, so the text is the same.

    Args:
        sandboxed: the templates come from a log, which nobody vouches for: they may not reach
            anything but the document.
    """
    from lm_eval import utils

    before = utils.env
    utils.env = _environment(sandboxed)
    try:
        yield
    finally:
        utils.env = before


@lru_cache(maxsize=2)
def _environment(sandboxed: bool) -> Any:  # noqa: ANN401, FBT001 - a jinja2 Environment; the cache's key
    """Return lm-eval's Jinja environment with a cache in front of its compiler."""
    from jinja2 import BaseLoader, Environment, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment
    from lm_eval import utils

    original = utils.env
    if sandboxed:
        made: Environment = SandboxedEnvironment(
            loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True
        )
        made.filters.update(original.filters)
    else:
        made = original.overlay()
    compile_anew = made.from_string

    def compile_once(source: str) -> Any:  # noqa: ANN401 - a jinja2 Template
        template = compile_anew(source)
        template.globals = dict(template.globals)  # copied for each rendering: quicker if plain
        return template

    made.from_string = lru_cache(maxsize=KEPT)(compile_once)  # type: ignore[method-assign,assignment]
    return made
