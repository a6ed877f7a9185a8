"""lm-eval's own files: `<model>/results_<date>.json` and `samples_<task>_<date>.jsonl`.

The results file is the stored one, byte for byte; lines are equal to the logged ones as parsed
JSON, key order included.  Undated files of before lm-eval 0.4.3 get back their form: a results
file under its old name, and samples as one indented array.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from rescore_db.export.files import PLAIN, Frame, NewFile
from rescore_db.harness_log import written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from rescore_db.export.places import Places
    from rescore_db.store.logged_files import LoggedRun, LoggedSamples

ARRAY: Final = Frame(b"[\n", b",\n", b"\n]")
DEFAULT_ORIGIN: Final = "results"


def files_of(run: LoggedRun, places: Places) -> list[NewFile]:
    """Return the files of one run; what is missing in them is noted."""
    logged = [one for one in run.evaluations if one.n_samples and one.has_lines]
    _note_gaps(run, logged, places)
    wanted = [_samples_name(run, one) for one in logged]
    if run.has_results:
        wanted.insert(0, _results_name(run))
    if not wanted:
        return []
    names = places.names(run, wanted)
    folder = places.claim(run, names, has_samples=bool(logged))
    files = []
    if run.has_results:
        path = folder / names.pop(0)
        files.append(NewFile(path, "results", run.id, None, 1, partial(_results, run.id)))
    for name, one in zip(names, logged, strict=True):
        is_array = _is_array(run, one)
        content = partial(_lines, one.evaluation_id, is_array)
        frame = ARRAY if is_array else PLAIN
        path = folder / name
        files.append(NewFile(path, "samples", run.id, one.task, one.n_lines, content, frame))
    return files


def _note_gaps(run: LoggedRun, logged: list[LoggedSamples], places: Places) -> None:
    for one in run.evaluations:
        if one.n_samples and not one.has_lines:
            places.note(
                run,
                f"{one.task} has responses that were made elsewhere and no log: "
                "`--format responses` writes them",
            )
        if one.n_quarantined:
            places.note(
                run,
                f"{one.task} is incomplete: {one.n_quarantined} of its lines could not be stored "
                "at ingest and are left out",
            )
    if logged and not run.date and not run.has_results:
        places.note(run, "neither date nor results file: `rescore ingest` needs one of them")
    if not run.has_results and not run.evaluations:
        places.note(run, "it has no files")
    told = written.model_of_folder(written.model_folder(run.model))
    if logged and not run.has_results and told != run.model:
        places.note(run, f"no results file: whoever reads its files takes the model for {told}")


def _results_name(run: LoggedRun) -> tuple[str, str]:
    if run.date:
        return written.results_name(run.date).removesuffix(".json"), ".json"
    return run.origin.rpartition("/")[2] or DEFAULT_ORIGIN, ".json"


def _samples_name(run: LoggedRun, one: LoggedSamples) -> tuple[str, str]:
    if run.date:
        name = written.samples_name(one.task, run.date)
        ending = f"_{written.file_date(run.date)}.jsonl"
        return name.removesuffix(ending), ending
    return f"samples_{one.task}", ".jsonl"


def _is_array(run: LoggedRun, one: LoggedSamples) -> bool:
    """Tell whether the file was one array, as lm-eval wrote it while its files had no date."""
    return not run.date and one.form.get("arguments") == "lists"


def _results(run_id: int, conn: Connection) -> Iterator[bytes]:
    from rescore_db.store.runs import get_results_json

    text = get_results_json(conn, run_id)
    yield (text or "").encode()


def _lines(evaluation_id: int, is_array: bool, conn: Connection) -> Iterator[bytes]:  # noqa: FBT001 - bound by `partial`
    from rescore_db.store.logged_lines import iter_lines

    write = written.element_bytes if is_array else written.line_bytes
    for line in iter_lines(conn, evaluation_id):
        yield write(line)
