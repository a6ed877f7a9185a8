"""Stored responses through lm-eval's filters and `process_results`, document by document."""

from __future__ import annotations

import contextlib
import json
import marshal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from rescore_db.harness.chance import drawn_so_far, seed_everything
from rescore_db.harness.interface import Definition, Sample, SampleScores
from rescore_db.harness.isolation import isolated
from rescore_db.harness.rouge import shorten_rouge
from rescore_db.harness.templates import cached_templates
from rescore_db.harness.whereabouts import WatchedEntries, here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DOC_WIDTH: Final = 80  # characters of a document that an error message shows
LISTS: Final = (list, tuple)  # `list | tuple` would be made anew in each call
PLAIN: Final = frozenset({str, float, int, bool, type(None)})
TRUTHS: Final = {"True": True, "False": False}
FAILURES: Final = (Exception, SystemExit)  # what a task's code may raise; Ctrl-C passes


class OfflineTask:
    """A task of lm-eval's, ready to score stored responses.

    Attributes:
        definition: what it is and where it came from.
    """

    def __init__(self, task: Any, definition: Definition, *, may_fork: bool = False) -> None:  # noqa: ANN401
        """Wrap what `load_task` built.

        Args:
            task: lm-eval's `Task`, with filters and metrics in place.
            definition: its description.
            may_fork: its code may start processes: it executes other code in them.
        """
        self._task = task
        self.definition = definition
        self._has_code = bool(definition.code)
        self._draws = definition.nondeterministic is not None
        self._may_fork = may_fork

    @property
    def nondeterministic(self) -> str | None:
        """Why two scorings may differ; seen in the code, or once it drew random numbers."""
        if self.definition.nondeterministic is None and self._draws:
            return "its code draws random numbers while it scores"
        return self.definition.nondeterministic

    @property
    def lm_eval_task(self) -> Any:  # noqa: ANN401 - lm-eval ships no types
        """lm-eval's own task, for the rest of the harness."""
        return self._task

    @property
    def higher_is_better(self) -> dict[str, bool | None]:
        """By metric; scoring and aggregating may add metrics that others expand to."""
        return dict(self._task.higher_is_better())

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run a block of lm-eval's code over this task: no network, no output, fast templates."""
        sandboxed = self.definition.source == "as-logged"
        with isolated(may_fork=self._may_fork), cached_templates(sandboxed=sandboxed):
            shorten_rouge()
            yield

    def target_texts(self, samples: Sequence[Sample]) -> list[str]:
        """Return what lm-eval would log as each sample's target, to compare with what it logged.

        A document without the fields that the definition expects gives the error's text, which
        is no logged target either.
        """
        with self.running():
            here.step("its target")
            return [self._target_of(sample, index) for index, sample in enumerate(samples)]

    def _target_of(self, sample: Sample, index: int) -> str:
        here.document(index)
        try:
            return str(self._task.doc_to_target(sample.doc))
        except FAILURES as error:
            return _text_of(error)

    def score(self, samples: Sequence[Sample], only: str | None = None) -> list[SampleScores]:
        """Apply every filter to the samples, and `process_results` to what comes out.

        Filters see all samples at once, as in lm-eval.  A document that fails is told in its
        `error`; the others are scored.

        Args:
            samples: any part of an evaluation, in its order; the whole of it unless
                `definition.per_doc_filters`.
            only: the one filter to apply; None for all.

        Returns:
            One entry a filter and sample, filter by filter, in the samples' order.
        """
        if not samples:
            return []
        with self.running():
            seed_everything()
            before = drawn_so_far()
            scores = self._score_batch(samples, only)
            if not self._draws and drawn_so_far() != before:  # again, seeded for each document
                self._draws = True
                scores = self._score_batch(samples, only)
            return scores

    def _score_batch(self, samples: Sequence[Sample], only: str | None) -> list[SampleScores]:
        filters = [one for one in self._task._filters if only in (None, one.name)]  # noqa: SLF001
        batch = _Batch(filters, samples, per_doc=self.definition.per_doc_filters)
        batch.apply_filters()
        scores = []
        for name in batch.filters:
            here.step(f"scoring after filter {name!r}")
            scores += [self._score_one(batch, name, index) for index in range(len(samples))]
        return scores

    def _score_one(self, batch: _Batch, name: str, index: int) -> SampleScores:
        """Let `process_results` judge one sample's responses after one filter."""
        failure = batch.failures.get((name, index))
        if failure is not None:
            return SampleScores(name, index, [], error=failure)
        here.document(index)
        sample = batch.samples[index]
        responses = [one.filtered_resps[name] for one in batch.requests[index]]
        filtered = as_logged(responses)
        doc = sample.doc
        if self._has_code:  # which may change it: lm-eval reads it anew for each filter
            doc = _fresh(doc)
        if self._draws:
            seed_everything()
        try:
            metrics = dict(self._task.process_results(doc, responses))
        except FAILURES as error:
            return SampleScores(name, index, filtered, error=_failure(error, sample))
        return SampleScores(name, index, filtered, metrics)


class _Request:
    """What lm-eval's filters see and set of an instance; making one costs a tenth of its own."""

    __slots__ = ("doc", "filtered_resps", "resps")

    def __init__(self, doc: Any, resps: list[Any]) -> None:  # noqa: ANN401 - JSON
        self.doc = doc
        self.resps = resps
        self.filtered_resps: dict[str, Any] = {}


class _Batch:
    """Samples as lm-eval's filters see them, and what comes out."""

    def __init__(self, filters: list[Any], samples: Sequence[Sample], *, per_doc: bool) -> None:
        self.samples = samples
        self.requests = [_requests(sample) for sample in samples]
        self.failures: dict[tuple[str, int], str] = {}
        self._ensembles = filters
        self._per_doc = per_doc

    @property
    def filters(self) -> list[str]:
        """Names of the filters, in lm-eval's order; of two with one name the later one counts."""
        return list(dict.fromkeys(ensemble.name for ensemble in self._ensembles))

    def apply_filters(self) -> None:
        """Apply every filter; where one fails, find the samples that it fails on."""
        everything = range(len(self.samples))
        for ensemble in self._ensembles:
            failed = self._apply(ensemble, everything)
            if failed and not self._per_doc:  # one batch: none of it is filtered as in lm-eval
                culprits = [failed[index] for index in sorted(failed)]
                reason = f"the filter works on all documents at once and fails: {culprits[0]}"
                failed = {index: failed.get(index, reason) for index in everything}
            for index, failure in failed.items():
                self.failures[ensemble.name, index] = f"filter {ensemble.name!r}: {failure}"

    def _apply(self, ensemble: Any, indexes: range) -> dict[int, str]:  # noqa: ANN401
        """Apply one filter to a range of samples.

        Returns:
            The samples that it fails on, with the reason; found by halving the range.
        """
        flat = [one for index in indexes for one in self.requests[index]]
        owners = [index for index in indexes for _ in self.requests[index]]
        here.step(f"filter {ensemble.name!r}")
        if not flat:
            return dict.fromkeys(indexes, "the log holds no request of this document")
        try:
            _watched(ensemble, owners).apply(flat)
            lost = sum(ensemble.name not in one.filtered_resps for one in flat)
            if not lost:
                return {}
            reason = f"it returned responses for {len(flat) - lost} of {len(flat)} requests"
            return dict.fromkeys(indexes, reason)
        except FAILURES as error:
            if len(indexes) == 1:
                return {indexes[0]: _failure(error, self.samples[indexes[0]])}
            reason = _text_of(error)
        middle = indexes.start + len(indexes) // 2
        first = self._apply(ensemble, range(indexes.start, middle))
        second = self._apply(ensemble, range(middle, indexes.stop))
        return {**first, **second} or dict.fromkeys(indexes, reason)


def _watched(ensemble: Any, owners: Sequence[int]) -> Any:  # noqa: ANN401 - a FilterEnsemble
    """Return a filter that notes which document it is at.

    Args:
        ensemble: the filter, one step after the other.
        owners: whose each request is, as indexes of documents.
    """
    return type(ensemble)(
        ensemble.name, [partial(_WatchedStep, make, owners) for make in ensemble.filters]
    )


class _WatchedStep:
    """One step of a filter, whose input notes which document it is at."""

    def __init__(self, make: Callable[[], Any], owners: Sequence[int]) -> None:
        self._step, self._owners = make(), owners

    def apply(self, responses: Any, docs: list[Any]) -> Any:  # noqa: ANN401 - what filters pass on
        """Apply it; what is no list yet is computed by going through an earlier one's input."""
        watched = type(responses) is list and len(responses) == len(self._owners)
        given = WatchedEntries(responses, self._owners) if watched else responses
        return self._step.apply(given, docs)


def _requests(sample: Sample) -> list[_Request]:
    """Rebuild what filters need of one document's requests."""
    made = []
    doc, responses = sample.doc, sample.responses
    for number, arguments in enumerate(sample.arguments):
        kind = request_type(arguments)
        given = responses[number] if number < len(responses) else []
        made.append(_Request(doc, [as_response(one, kind) for one in given]))
    return made


def request_type(arguments: Sequence[Any]) -> str:
    """Tell what was asked of the model by a request's arguments.

    A text as second argument is a continuation, a mapping holds generation arguments, and a
    text alone is a rolling log-likelihood.
    """
    if len(arguments) < 2:  # noqa: PLR2004 - context and what to do with it
        return "loglikelihood_rolling"
    return "loglikelihood" if isinstance(arguments[1], str) else "generate_until"


def as_response(logged: Any, kind: str) -> Any:  # noqa: ANN401 - JSON in, a model's answer out
    """Return what the model returned, from what lm-eval logged of it.

    Log-likelihoods are logged as texts; answers that were no texts stay the texts they became.

    Args:
        logged: one response of one request.
        kind: the request's type, as `request_type` gives it.
    """
    if kind == "generate_until":
        return logged
    if isinstance(logged, LISTS):  # some models return pairs for rolling requests, too
        if len(logged) == 2:  # noqa: PLR2004 - log-likelihood and whether it is greedy: nearly all
            return (_number(logged[0]), _truth(logged[1]))
        return (_number(logged[0]), *[_truth(one) for one in logged[1:]])
    return _number(logged) if kind == "loglikelihood_rolling" else logged


def _number(logged: Any) -> Any:  # noqa: ANN401 - JSON
    try:
        return float(logged) if isinstance(logged, str) else logged
    except ValueError:
        return logged


def _truth(logged: Any) -> Any:  # noqa: ANN401 - JSON
    return TRUTHS.get(logged, logged) if isinstance(logged, str) else logged


def as_logged(value: Any) -> Any:  # noqa: ANN401 - anything a filter returns
    """Return filtered responses as lm-eval logs them: lists of lists, with texts inside."""
    if isinstance(value, LISTS):
        return [str(one) if type(one) in PLAIN else as_logged(one) for one in value]
    return str(value)


def _fresh(doc: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a copy of a document; it came from JSON, so the quickest way there is will do."""
    return marshal.loads(marshal.dumps(doc))  # noqa: S302 - what was written just now


def _failure(error: BaseException, sample: Sample) -> str:
    """Say what failed, and on which document."""
    doc = json.dumps(sample.doc, ensure_ascii=False)
    shown = doc if len(doc) <= DOC_WIDTH else f"{doc[:DOC_WIDTH]}…"
    # lm-eval tries a metric in a second way when the first fails: the first error is the cause.
    first = error.__context__
    cause = f", after {_text_of(first)}" if first is not None else ""
    return f"{_text_of(error)}{cause} (document {shown})"


def _text_of(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, MemoryError):
        text += ": the memory limit of a scoring child was reached (--memory)"
    return " ".join(text.split())
