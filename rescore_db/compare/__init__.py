"""Sides compared over the samples that both answered, and one task over time."""

from rescore_db.compare.history import history
from rescore_db.compare.pairs import CompareOptions, compare_runs

__all__ = ["CompareOptions", "compare_runs", "history"]
