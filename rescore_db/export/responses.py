"""What models answered, one JSON object a line, as `rescore ingest --responses` reads it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rescore_db import json_exact
from rescore_db.export.files import NewFile
from rescore_db.harness_log import written
from rescore_db.harness_log.responses import line_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from rescore_db.export.places import Places
    from rescore_db.store.logged_files import LoggedRun, LoggedSamples
    from rescore_db.store.samples import StoredSample


def files_of(run: LoggedRun, places: Places) -> list[NewFile]:
    """Return the files of one run: one for each task with samples."""
    answered = [one for one in run.evaluations if one.n_samples]
    if not answered:
        places.note(run, "it has no responses")
        return []
    ending = f"_{written.file_date(run.date)}.jsonl" if run.date else ".jsonl"
    names = places.names(run, [(f"responses_{one.task}", ending) for one in answered])
    folder = places.claim(run, names, has_samples=False)
    return [
        NewFile(
            path=folder / name,
            kind="responses",
            run=run.id,
            task=one.task,
            records=one.n_samples,
            content=partial(_lines, run, one, places),
        )
        for name, one in zip(names, answered, strict=True)
    ]


def _lines(run: LoggedRun, one: LoggedSamples, places: Places, conn: Connection) -> Iterator[bytes]:
    """Yield the lines of an evaluation; what they cannot say is left out and noted."""
    from rescore_db.store.samples import iter_samples

    left_out = 0
    for sample in iter_samples(conn, one.evaluation_id):
        values = _values(sample)
        if values is None:
            left_out += 1
        else:
            yield written.line_bytes(values)
    if left_out:
        places.note(
            run,
            f"{left_out} of {one.n_samples} samples of {one.task} are left out, for a line of "
            "responses cannot say what was logged: `--format lm-eval` does",
        )


def _values(sample: StoredSample) -> dict[str, Any] | None:
    if not sample.is_regular:
        return None
    known: dict[str, Any] = {} if sample.logged_doc_id is None else {"doc_id": sample.logged_doc_id}
    target = json_exact.loads(sample.target) if sample.target_is_json else sample.target
    known |= {
        "doc": json_exact.loads(sample.doc),
        "arguments": sample.arguments,
        "target": target,
    }
    return line_values(known, sample.responses)
