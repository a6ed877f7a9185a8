"""Where a command's answer goes: one decorator gives it --json, --csv and --markdown."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescore_db.cli.options import AsCsv, AsJson, AsMarkdown, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rescore_db.report.render import Format

_FLAGS = {"as_json": AsJson, "as_csv": AsCsv, "as_markdown": AsMarkdown}


@dataclass(frozen=True, slots=True)
class Output:
    """A command's stdout, in the form that its options choose."""

    form: Format

    @property
    def is_table(self) -> bool:
        """Whether rows and columns are all that can be written: CSV, Markdown."""
        return self.form in ("csv", "markdown")

    def rows(self, rows: Sequence[Any], *, of: type, footer: Sequence[str] = ()) -> None:
        """Write a listing; see `report.render.show`."""
        from rescore_db.report.render import show

        show(rows, self.form, of=of, footer=footer)

    def detail(self, thing: Any) -> None:  # noqa: ANN401 - any record
        """Write one record with all that belongs to it."""
        from rescore_db.report.render import show_detail

        show_detail(thing, self.form)

    def told(self, thing: Any, text: Callable[[Any], str]) -> None:  # noqa: ANN401 - any record
        """Write what was done: to people in words, to programs as the record itself."""
        from rescore_db.report.render import Format, emit

        if self.form is Format.TEXT:
            emit(text(thing))
        else:
            self.detail(thing)


def with_output(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its output; it takes what they choose as `out`."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - the command's own options
        flags = [given.pop(name) for name in _FLAGS]
        return command(**given, out=Output(chosen(*flags)))

    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name == "out":
            parameters += [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation
                )
                for name, annotation in _FLAGS.items()
            ]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
