"""Signs of drift: what a definition gives now and did not give when the run was logged.

A task's targets and the responses after filters that nobody replaced depend on nothing but the
definition and what is stored.  Where they are not the logged ones, the definition changed, and its
scores can't be compared with the logged ones without a word.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from rescore_db.errors import DriftError
from rescore_db.json_exact import loads
from rescore_db.records import DriftSign
from rescore_db.rescoring.comparison import same
from rescore_db.rescoring.filter_names import filters_meant
from rescore_db.rescoring.shard import as_harness_samples
from rescore_db.store import scored
from rescore_db.store.scores import first_responses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from rescore_db.harness.interface import SampleScores, TaskRequest
    from rescore_db.harness.offline import OfflineTask
    from rescore_db.store.samples import StoredSample

DRIFT: Final = "drift: "
"""How a warning of drift begins, among a scored evaluation's warnings."""

KEPT: Final = 3  # differing samples that are named
DEFAULT_FILTERS: Final = [{"name": "none", "filter": [{"function": "take_first"}]}]
"""What lm-eval applies where a config has no `filter_list`."""


@dataclass(frozen=True, slots=True)
class LoggedResponses:
    """Filtered responses as logged: of all samples where `complete`, else of those held."""

    complete: bool
    held: Mapping[int, Any]

    def has(self, position: int) -> bool:
        """Tell whether the log has this filter's response to a sample."""
        return self.complete or position in self.held

    def of(self, sample: StoredSample) -> Any:  # noqa: ANN401 - JSON
        """Return the filtered response of each of a sample's requests, as logged."""
        from rescore_db.harness.scoring import as_logged

        # Up to 0.4.2 lm-eval wrote numbers where it writes their texts since.
        return as_logged(self.held.get(sample.position, first_responses(sample.responses)))


def target_signs(task: OfflineTask, stored: Sequence[StoredSample]) -> list[DriftSign]:
    """Return a sign where targets are no longer what lm-eval logged.

    Of responses made elsewhere the target may not be known, which is stored as null.
    """
    known = [one for one in stored if not (one.target_is_json and one.target == "null")]
    # Parsed anew: a task's own code may have changed the documents that it scored.
    texts = task.target_texts(as_harness_samples(known))
    off = [
        (one.position, now, was)
        for one, now in zip(known, texts, strict=True)
        if now != (was := _target_text(one))
    ]
    return _sign("the target", off, len(known))


def _target_text(sample: StoredSample) -> str:
    """Return a logged target as text: up to 0.4.3 lm-eval wrote it in its own type."""
    return str(loads(sample.target)) if sample.target_is_json else sample.target


def filter_signs(
    logged: Mapping[str, LoggedResponses],
    stored: Sequence[StoredSample],
    results: Iterable[SampleScores],
) -> list[DriftSign]:
    """Return a sign for each filter whose responses are no longer what lm-eval logged.

    Args:
        logged: what was logged, by the name that the definition has for a filter.
        stored: the samples.
        results: what `OfflineTask.score` gave for them; failed samples are told elsewhere.
    """
    off: dict[str, list[tuple[int, Any, Any]]] = {name: [] for name in logged}
    compared = dict.fromkeys(logged, 0)
    for result in results:
        sample, was = stored[result.index], logged.get(result.filter)
        if was is None or result.error is not None or not was.has(sample.position):
            continue
        compared[result.filter] += 1
        if not same(before := was.of(sample), result.filtered):
            off[result.filter].append((sample.position, result.filtered, before))
    return [
        sign
        for name in logged
        for sign in _sign(f"the response after filter {name!r}", off[name], compared[name])
    ]


def _sign(what: str, off: Sequence[tuple[int, Any, Any]], compared: int) -> list[DriftSign]:
    return [DriftSign(what, len(off), compared, tuple(off[:KEPT]))] if off else []


def read_unchanged(
    conn: Connection,
    evaluation_id: int,
    request: TaskRequest,
    defined: Sequence[str],
    stored: Sequence[StoredSample],
) -> dict[str, LoggedResponses]:
    """Return what was logged of some samples, by those filters that the user did not replace.

    Args:
        conn: a connection.
        evaluation_id: which evaluation.
        request: how it is scored now.
        defined: the filters' names in the definition that scores it.
        stored: the samples, in position order.
    """
    from rescore_db.store.evaluations import stored_config

    key = scored.logged_evaluation(conn, evaluation_id)
    if key is None or not stored:
        return {}
    filters = scored.read_filters(conn, key)
    meant = filters_meant([one.name for one in filters], defined)
    unchanged = set(defined)
    if request.filters_json is not None:
        unchanged = _as_in(json.loads(request.filters_json), stored_config(conn, evaluation_id))
    extent = (stored[0].position, stored[-1].position)
    return {
        meant[one.name]: LoggedResponses(one.complete, scored.read_filtered(conn, one.id, extent))
        for one in filters
        if meant[one.name] in unchanged
    }


def _as_in(filters: Sequence[Any], config_json: str | None) -> set[str]:
    """Name the filters of a list that are those of a logged config, steps and all."""
    config = loads(config_json) if config_json else None
    if not isinstance(config, dict):
        return set()
    logged = config.get("filter_list") or DEFAULT_FILTERS
    return {one["name"] for one in filters if one in logged}


def merged(signs: Iterable[DriftSign]) -> list[DriftSign]:
    """Return the signs of several ranges as those of the whole, one each."""
    found: dict[str, DriftSign] = {}
    for sign in signs:
        before = found.get(sign.what, DriftSign(sign.what, 0, 0, ()))
        found[sign.what] = replace(
            sign,
            n=before.n + sign.n,
            of=before.of + sign.of,
            first=(*before.first, *sign.first)[:KEPT],
        )
    return list(found.values())


def drift_text(sign: DriftSign) -> str:
    """Say what differs, in how many samples, in which first, and how in the very first."""
    at = ", ".join(str(position) for position, _, _ in sign.first)
    _, now, logged = sign.first[0]
    place = f"position {at}" if len(sign.first) == 1 else f"positions {at}"
    first = "" if sign.n == 1 else "first "
    return (
        f"{sign.what} differs in {sign.n} of {sign.of} samples, {first}at {place}: "
        f"{_short(now)} instead of {_short(logged)}"
    )


def _short(value: object, width: int = 60) -> str:
    if isinstance(value, list) and len(value) == 1:  # one request, as nearly always
        value = value[0]
    shown = repr(value)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def drift_warnings(signs: Iterable[DriftSign]) -> tuple[str, ...]:
    """Return the warnings that a scored evaluation keeps."""
    return tuple(DRIFT + drift_text(sign) for sign in merged(signs))


def refusal(warnings: Iterable[str]) -> str | None:
    """Return why an evaluation with these warnings is refused under --strict, None if it is not."""
    found = [text for text in warnings if text.startswith(DRIFT)]
    return f"{'; '.join(found)} (--strict keeps no scores of it)" if found else None


def refuse_drift(warnings: Iterable[str], *, strict: bool) -> None:
    """Refuse to go on with a definition that drifted, where the user asked for that.

    Raises:
        DriftError: there is drift, and `strict`.
    """
    reason = refusal(warnings) if strict else None
    if reason is not None:
        raise DriftError(reason)
