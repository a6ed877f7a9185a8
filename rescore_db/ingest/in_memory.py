"""What lm-eval returned in this process into the store, as if it had come from its files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rescore_db.errors import UsageError
from rescore_db.ingest import ingest_paths
from rescore_db.store.engine import atomic
from rescore_db.store.logged_files import name_sources

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rescore_db.records import IngestReport


def ingest_results(engine: Engine, results: Any, *, model: str | None = None) -> IngestReport:  # noqa: ANN401
    """Take what `lm_eval.simple_evaluate(..., log_samples=True)` returned into the store.

    lm-eval itself writes it into a temporary folder, which is then ingested.

    Args:
        engine: the store, open for writing.
        results: what lm-eval returned; not modified.
        model: the model's name, where the results do not tell or another one is wanted.

    Raises:
        UsageError: these are no results, or they hold no samples or no model.
    """
    from rescore_db.harness.tracker import write_logs

    _check(results)
    with tempfile.TemporaryDirectory(prefix="rescore-") as out:
        write_logs(results, out, model=model)
        report = ingest_paths(engine, [out])
        with atomic(engine) as conn:
            name_sources(conn, f"{out}/")
    return _without_folder(report, out)


def _check(results: Any) -> None:  # noqa: ANN401 - whatever the caller has
    """Refuse what lm-eval did not return.

    Raises:
        UsageError: saying what to do.
    """
    if results is None:
        msg = "no results: lm-eval returns them in the process of rank 0 only"
        raise UsageError(msg)
    if not isinstance(results, Mapping) or not {"results", "configs"} <= results.keys():
        msg = "these are no results of lm-eval: give what lm_eval.simple_evaluate returned"
        raise UsageError(msg)
    if not results.get("samples"):
        msg = "the results hold no samples: call lm_eval.simple_evaluate(..., log_samples=True)"
        raise UsageError(msg)


def _without_folder(report: IngestReport, out: str) -> IngestReport:
    """Return a report that names files without the temporary folder."""

    def short(text: str) -> str:
        return text.replace(f"{out}/", "")

    return replace(
        report,
        skipped=tuple(replace(one, file=short(one.file)) for one in report.skipped),
        errors=tuple(replace(one, file=short(one.file)) for one in report.errors),
        notes=tuple(short(text) for text in report.notes),
    )
