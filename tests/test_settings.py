from __future__ import annotations

from pathlib import Path

import pytest

from rescore_db.cli.main import main
from rescore_db.errors import UsageError
from rescore_db.settings import DEFAULT_URL, Settings

SECONDS = ["RESCORE_BUSY_SECONDS", "RESCORE_CHILD_SECONDS", "RESCORE_SQL_SECONDS"]
MEGABYTES = ["RESCORE_MAX_LINE_MB", "RESCORE_CHILD_MB"]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECONDS, *MEGABYTES, "RESCORE_DB", "RESCORE_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_not_set_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESCORE_SQL_SECONDS", "")

    settings = Settings.from_environment()

    assert (settings.url, settings.sql_seconds, settings.child_mb) == (DEFAULT_URL, 60, 8192)


def test_what_is_set_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESCORE_SQL_SECONDS", "0.5")
    monkeypatch.setenv("RESCORE_CHILD_MB", " 512 ")
    monkeypatch.setenv("RESCORE_CACHE", "some/folder")

    settings = Settings.from_environment()

    assert (settings.sql_seconds, settings.child_mb) == (0.5, 512)
    assert settings.cache == Path("some/folder")


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in SECONDS for value in ("abc", "0", "-1", "nan", "inf", "1e9999")]
    + [(name, value) for name in MEGABYTES for value in ("abc", "0", "-1", "8.5", "1e3")],
)
def test_a_value_that_makes_no_sense_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=rf"{name}.*'{value}'"):
        Settings.from_environment()
    assert main(["runs"]) == 2

    err = capsys.readouterr().err
    assert err.startswith(f"rescore: {name} ")
    assert "bug" not in err
