"""Logs of today made into what older releases of lm-eval wrote."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Line = dict[str, Any]
SINCE_0_4_7 = ("filter", "metrics")
SINCE_0_4_3 = ("doc_hash", "prompt_hash", "target_hash")
RESULTS_BEFORE_0_4_3 = ("results", "groups", "configs", "versions", "n-shot", "config")


def lines_of_0_4_3(lines: Iterable[Line]) -> list[Line]:
    """Targets in their own type, and nothing that tells filter and metrics."""
    return [
        {key: value for key, value in line.items() if key not in SINCE_0_4_7}
        | {"target": _value(line["target"])}
        for line in lines
    ]


def lines_of_0_4_0(lines: Iterable[Line]) -> list[Line]:
    """Log-likelihoods in their own types, arguments as lists, no hashes."""
    found = []
    for line in lines_of_0_4_3(lines):
        older = {key: value for key, value in line.items() if key not in SINCE_0_4_3}
        older["arguments"] = [list(one.values()) for one in line["arguments"].values()]
        if all(len(one) == 1 or isinstance(one[1], str) for one in older["arguments"]):
            older |= {key: _native(line[key]) for key in ("resps", "filtered_resps")}
        found.append(older)
    return found


def write_0_4_3(folder: Path, out: Path) -> Path:
    """Write the first run of a folder as 0.4.3 to 0.4.6 did, under its names; return it."""
    made = out / folder.name
    made.mkdir(parents=True)
    results = results_file(folder)
    (made / results.name).write_bytes(results.read_bytes())
    for path in samples_files(folder).values():
        text = "".join(f"{json.dumps(one)}\n" for one in lines_of_0_4_3(read_lines(path)))
        (made / path.name).write_text(text, encoding="utf-8")
    return made


def write_0_4_0(folder: Path, out: Path) -> Path:
    """Write the first run of a folder as 0.4.0 to 0.4.2 did, undated arrays; return it."""
    made = out / folder.name
    made.mkdir(parents=True)
    content = json.loads(results_file(folder).read_text(encoding="utf-8"))
    content["versions"] = dict.fromkeys(content["configs"], "Yaml")
    model = content["config"]["model_args"]["pretrained"]
    content["config"]["model_args"] = f"pretrained={model}"
    older = {key: content[key] for key in RESULTS_BEFORE_0_4_3 if key in content}
    (made / "results.json").write_text(json.dumps(older, indent=2), encoding="utf-8")
    for task, path in samples_files(folder).items():
        name = f"pretrained={model}".replace("/", "__").replace("=", "__")
        text = json.dumps(lines_of_0_4_0(read_lines(path)), indent=2)
        (made / f"{name}_{task}.jsonl").write_text(text, encoding="utf-8")
    return made


def results_file(folder: Path) -> Path:
    """Return the results file of a folder's first run."""
    return min(folder.glob("results_*.json"))


def samples_files(folder: Path) -> dict[str, Path]:
    """Return task → samples file of a folder's first run."""
    date = results_file(folder).stem.removeprefix("results_")
    paths = folder.glob(f"samples_*_{date}.jsonl")
    return {path.stem.removeprefix("samples_").removesuffix(f"_{date}"): path for path in paths}


def read_lines(path: Path) -> list[Line]:
    """Parse a samples file with one record a line."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def _value(text: str) -> Any:
    """Return what a target may have been before it became a text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float | list) and str(value) == text else text


def _native(value: Any) -> Any:
    """Return log-likelihoods as the model returned them."""
    if isinstance(value, list):
        return [_native(one) for one in value]
    return value == "True" if value in {"True", "False"} else float(value)
