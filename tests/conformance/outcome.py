"""How one name of the registry fared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["identical", "different", "built only", "unsupported"]
VERDICTS: tuple[Verdict, ...] = ("identical", "different", "built only", "unsupported")
KINDS = (
    *("multiple choice", "generation", "loglikelihood", "rolling", "multi-request"),
    *("class-based", "multimodal", "code-executing", "group", "tag"),
)


SCORING = "it builds, but scoring wants what is missing: "


@dataclass(frozen=True)
class Outcome:
    """What the walk found of a name.

    Attributes:
        name: of a task, group or tag.
        kind: one of KINDS.
        family: the folder of lm-eval's tasks that defines it.
        verdict: identical, different, built only or unsupported.
        reason: why, where it is not identical.
        seconds: how long it took to make documents and to evaluate.
    """

    name: str
    kind: str
    family: str
    verdict: Verdict
    reason: str = ""
    seconds: float = 0.0

    @property
    def is_built(self) -> bool:
        """Whether its definition loads and lm-eval's constructor ran on documents, or would."""
        return self.verdict != "unsupported" or self.reason.startswith(SCORING)


def kind_of_config(config: dict[str, object]) -> str:
    """Class a task by its config."""
    if config.get("unsafe_code"):
        return "code-executing"
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        return "multimodal"
    if "class" in config:
        return "class-based"
    kinds = {
        "multiple_choice": "multiple choice",
        "loglikelihood": "loglikelihood",
        "loglikelihood_rolling": "rolling",
    }
    kind = kinds.get(str(config.get("output_type")), "generation")
    metrics = config.get("metric_list") or []
    asks_twice = any(one.get("metric") == "acc_mutual_info" for one in metrics)  # type: ignore[attr-defined]
    return "multi-request" if asks_twice or int(str(config.get("repeats") or 1)) > 1 else kind
