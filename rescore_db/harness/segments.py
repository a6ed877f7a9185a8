"""sacrebleu's statistics of a segment, counted once instead of once a resample.

BLEU, chrF and TER of a corpus come from counts of each segment that depend on nothing but its
texts, so a bootstrap needs them once.  Adding them up, and all else, is sacrebleu's own code.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def remembered_segments() -> Iterator[None]:
    """Let sacrebleu remember the statistics of segments for the time of a block."""
    from sacrebleu.metrics.base import Metric

    own = Metric._extract_corpus_statistics  # noqa: SLF001 - what is replaced
    known: dict[Any, dict[Any, Any]] = {}

    def remembering(
        self: Any,  # noqa: ANN401 - a metric of sacrebleu's
        hypotheses: Sequence[str],
        references: Sequence[Sequence[str]] | None,
    ) -> list[Any]:
        if not references or not _are_texts(hypotheses, *references):
            return list(own(self, hypotheses, references))
        statistics = known.setdefault(_options(self), {})
        segments = list(zip(hypotheses, *references, strict=False))  # as sacrebleu pairs them
        for segment in segments:
            if segment not in statistics:
                hypothesis, *texts = segment
                (statistics[segment],) = own(self, [hypothesis], [[text] for text in texts])
        return [statistics[segment] for segment in segments]

    Metric._extract_corpus_statistics = remembering  # type: ignore[method-assign]  # noqa: SLF001
    try:
        yield
    finally:
        Metric._extract_corpus_statistics = own  # type: ignore[method-assign]  # noqa: SLF001


def _are_texts(*streams: Sequence[Any]) -> bool:
    """Tell whether there is nothing else in streams of texts; only references may be missing."""
    return all(type(text) in (str, type(None)) for stream in streams for text in stream)


def _options(metric: Any) -> Any:  # noqa: ANN401 - a metric of sacrebleu's
    """Return what a metric's statistics depend on beside the texts: how it was made."""
    plain = (str, int, float, type(None))
    options = {name: value for name, value in vars(metric).items() if isinstance(value, plain)}
    options.pop("num_refs", None)  # it counts them as it goes
    return type(metric), tuple(sorted(options.items()))
