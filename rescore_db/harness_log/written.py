"""How lm-eval names its files and writes its lines."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from rescore_db import json_exact
from rescore_db.harness_log.lines import SURROGATE

MODEL_CHARACTERS: Final = re.compile(r"[\"<>:/|\\?*\[\]]+")
"""What lm-eval replaces in a model's name to make a folder's name of it."""


def model_folder(model: str) -> str:
    """Return the folder that lm-eval makes for a model: `org/name` gives `org__name`."""
    return MODEL_CHARACTERS.sub("__", model)


def model_of_folder(folder: str) -> str:
    """Return the model that a folder is named for, as far as its name tells."""
    return folder.replace("__", "/", 1)


def results_name(date: str) -> str:
    """Return the name of a results file; `date` is ISO 8601."""
    return f"results_{file_date(date)}.json"


def samples_name(task: str, date: str) -> str:
    """Return the name of a samples file; `date` is ISO 8601."""
    return f"samples_{task}_{file_date(date)}.jsonl"


def file_date(date: str) -> str:
    """Return a date as lm-eval writes it into names, without colons."""
    return date.replace(":", "-")


def line_bytes(line: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a record as lm-eval writes it; one that UTF-8 cannot hold is all ASCII, escaped."""
    try:
        return json_exact.dumps(line).encode() + b"\n"
    except UnicodeEncodeError:
        return json_exact.escaped(line).encode() + b"\n"


def element_bytes(line: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """Return a record as lm-eval 0.4.0 wrote it, an element of an indented array, all ASCII."""
    text = json.dumps(line, indent=2)
    return ("  " + text.replace("\n", "\n  ")).encode()


def encoded(text: str) -> bytes:
    """Encode JSON text; what UTF-8 cannot hold becomes an escape, which JSON reads back."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
