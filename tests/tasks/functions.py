"""What the tasks in this folder name by `!function`."""

import re
from collections.abc import Callable
from statistics import median
from typing import Any

Doc = dict[str, Any]

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def first_number(resps: list[list[str]], docs: list[Doc]) -> list[list[str]]:  # noqa: ARG001
    """Filter: keep the first number of each response, or nothing."""
    found = [[NUMBER.search(text) for text in row] for row in resps]
    return [[match.group().replace(",", "") if match else "" for match in row] for row in found]


def score_units(doc: Doc, results: list[str]) -> dict[str, float]:
    """Score one conversion by how far off its number is."""
    match = NUMBER.search(results[0])
    if match is None:
        return {"close": 0.0, "error": 1.0}
    got, want = float(match.group().replace(",", "")), float(doc["answer"])
    error = abs(got - want) / abs(want)
    return {"close": float(error < 0.01), "error": min(error, 1.0)}


def median_of(items: list[float]) -> float:
    """Aggregation: the median."""
    return float(median(items))


def tidy_page(doc: Doc) -> str:
    """Return a page without the spaces that its tokens stand apart by."""
    return re.sub(r" ([.,;])", r"\1", doc["page"]).replace(" @-@ ", "-").strip()


def score_page(doc: Doc, results: list[float]) -> dict[str, tuple[float, int]]:
    """Weigh a page's log-likelihood by its words and bytes as they were."""
    (log_likelihood,) = results
    words = len(re.split(r"\s+", doc["page"]))
    size = len(doc["page"].encode("utf-8"))
    return {
        "word_perplexity": (log_likelihood, words),
        "byte_perplexity": (log_likelihood, size),
        "bits_per_byte": (log_likelihood, size),
    }


RULES: dict[str, Callable[[str], bool]] = {
    "capitals": str.isupper,
    "no_e": lambda text: "e" not in text.lower(),
    "short": lambda text: len(text.split()) <= 4,
}


def score_order(doc: Doc, results: list[str]) -> dict[str, Any]:
    """Tell for each rule of an order whether the response follows it."""
    followed = [RULES[rule](results[0]) for rule in doc["rules"]]
    return {"all_rules": all(followed), "each_rule": followed}


def share_of_all(items: list[list[bool]]) -> float:
    """Aggregation: the share of rules that were followed, over all documents."""
    verdicts = [verdict for item in items for verdict in item]
    return sum(verdicts) / len(verdicts)


def right_option(doc: Doc) -> int:
    """Return the index of the right beginning."""
    return int(doc["gold"])


def rest_of_sentence(doc: Doc) -> str:
    """Return what follows the gap."""
    return str(doc["sentence"].split("_")[1].strip())


def filled_beginnings(doc: Doc) -> list[str]:
    """Return what stands before the gap, with each option in it."""
    return [doc["sentence"].split("_")[0] + option for option in doc["options"]]
