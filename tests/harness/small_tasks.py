"""Tasks that a test writes down in a few lines, and documents for them."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

from rescore_db.harness.interface import Sample, TaskRequest

if TYPE_CHECKING:
    from pathlib import Path

GENERATION = """
task: small
dataset_path: json
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.5}
"""


def write_task(folder: Path, more: str = "", code: str = "", base: str = GENERATION) -> TaskRequest:
    """Write a task's YAML, and a `functions.py` beside it; return the request for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.yaml").write_text(base + dedent(more), "utf-8")
    if code:
        (folder / "functions.py").write_text(dedent(code), "utf-8")
    return TaskRequest("small", include_paths=(str(folder),))


def doc(answer: str, **fields: Any) -> dict[str, Any]:
    """Return a document."""
    return {"question": f"What is {answer}?", "answer": answer, **fields}


def sample(answer: str, *responses: str, **fields: Any) -> Sample:
    """Return a document that was answered, once a repeat."""
    document = doc(answer, **fields)
    return Sample(document, [[document["question"], {"until": ["\n"]}]], [list(responses)])
