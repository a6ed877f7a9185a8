"""Run lm-eval as `tests.run_lm_eval` does, and keep what it returned, pickled, beside its logs."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import FunctionType
from typing import Any

import lm_eval

from tests import run_lm_eval

evaluate = lm_eval.simple_evaluate


class Keeper(pickle.Pickler):
    """Keeps functions, which only this process has, as the texts that lm-eval logs."""

    def reducer_override(self, value: Any) -> Any:
        return (str, (str(value),)) if isinstance(value, FunctionType) else NotImplemented


def evaluate_and_keep(**options: Any) -> dict[str, Any]:
    """Evaluate; write the results before anybody changes them."""
    results: dict[str, Any] = evaluate(**options)
    with Path("results.pickle").open("wb") as file:
        Keeper(file).dump(results)
    return results


if __name__ == "__main__":
    lm_eval.simple_evaluate = evaluate_and_keep
    run_lm_eval.main()
