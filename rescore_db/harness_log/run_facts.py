"""What a results file tells of its run in words that differ by release: model, date, step."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rescore_db import json_exact

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMING: Final = ("pretrained", "model", "path", "engine")
"""Arguments that name the model, the first that is there counts."""

TELLING_STEP: Final = ("revision", "peft", "delta", *NAMING)
"""Arguments that may tell a training step, the first that does counts."""

STEP: Final = re.compile(
    r"(?:^|[^a-z0-9])(?:global[-_]?)?(?:steps?|checkpoint|ckpt|iter(?:ation)?)[-_=]?(\d{1,15})"
    r"(?![a-z0-9]|\.\d)",
    re.IGNORECASE,
)
"""`step53000`, `global_step10000`, `checkpoint-500`, `iter_0001000`; not `step1.5` or `step10b`."""

LATEST: Final = 32_503_680_000  # the year 3000, in seconds since 1970


def model_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's arguments from `config` of a results file; empty if it has none.

    Older releases log them as the user typed them: `pretrained=EleutherAI/pythia-160m,dtype=…`.
    """
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        return {key.strip(): value for key, equals, value in pairs if equals}
    return arguments if isinstance(arguments, dict) else {}


def model_name(logged: Any, arguments: Mapping[str, Any]) -> str | None:  # noqa: ANN401 - JSON
    """Return a model's name: as logged, else what its arguments load; None if nothing tells.

    A revision is no part of it, so that a model keeps its name over its training steps; a local
    path stays as it is.

    Args:
        logged: the field `model_name`, which came with lm-eval 0.4.3.
        arguments: see `model_arguments`.
    """
    for name in (logged, *(arguments.get(key) for key in NAMING)):
        if isinstance(name, str) and name:
            return json_exact.storable(name)[0]
    return None


def step_of(arguments: Mapping[str, Any], file_name: str = "") -> int | None:
    """Return the training step that a model's arguments or a file's name tell, None if none does.

    Args:
        arguments: see `model_arguments`.
        file_name: counts where the arguments do not tell.
    """
    texts = [arguments.get(key) for key in TELLING_STEP]
    for text in (*texts, file_name):
        found = STEP.findall(text) if isinstance(text, str) else []
        if found:
            return int(found[-1])  # of a path, the part nearest to the weights
    return None


def utc_date(logged: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return the field `date` as ISO 8601, None where it tells no moment.

    lm-eval logs seconds since 1970 when a run starts, and no time zone: the date is in UTC.  The
    date in a file's name is when it was written, by the clock of the machine that wrote it.
    """
    if isinstance(logged, bool) or not isinstance(logged, int | float):
        return None
    if not math.isfinite(logged) or not 0 < logged < LATEST:
        return None
    return datetime.fromtimestamp(logged, UTC).replace(tzinfo=None).isoformat()
