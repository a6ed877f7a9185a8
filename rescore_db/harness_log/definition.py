"""What makes two logged configurations the same task definition.

lm-eval logs a task's whole configuration, and with it things that belong to the run: `metadata`
holds the model's arguments and the path of the YAML, and functions are logged as text with their
address in memory.  Without those, runs of different models on different machines agree.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from rescore_db import json_exact

ADDRESS: Final = re.compile(r"(<[^<>]*?) at 0x[0-9a-fA-F]+(?=[ >])")
"""The address in `<function f at 0x7f…>`, also inside `functools.partial(<function …>, x=1)`."""


def definition_json(config_json: str) -> str:
    """Return a configuration without what differs by model or machine, as canonical JSON.

    Of `metadata` only `version` stays; addresses are taken out of texts.

    Args:
        config_json: a task's entry in `configs` of a results file, as JSON text.
    """
    return json.dumps(_without_run(json_exact.loads(config_json)), sort_keys=True)


def definition_hash(config_json: str | None) -> bytes:
    """Return the SHA-256 that identifies a task's definition, 32 bytes.

    Args:
        config_json: as for `definition_json`; None where no configuration was logged, which is
            the same "unknown definition" for every run of a task.
    """
    return json_exact.text_hash("null" if config_json is None else definition_json(config_json))


def _without_run(config: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(config, dict):
        return without_addresses(config)
    kept = {key: value for key, value in config.items() if key != "metadata"}
    metadata = config.get("metadata")
    if isinstance(metadata, list) and metadata:  # as lm-eval 0.4.0 has it
        metadata = metadata[0]
    if isinstance(metadata, dict) and "version" in metadata:
        kept["metadata"] = {"version": metadata["version"]}
    return without_addresses(kept)


def without_addresses(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a configuration, or a part of one, without the addresses of functions."""
    if isinstance(value, str):
        return ADDRESS.sub(r"\1", value)
    if isinstance(value, list):
        return [without_addresses(item) for item in value]
    if isinstance(value, dict):
        return {key: without_addresses(item) for key, item in value.items()}
    return value
