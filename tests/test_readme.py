"""The README's Python runs as it stands there, in the demo's folder."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from rescore_db.demo import prepare
from tests.truth import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
RUN = [block for block in BLOCKS if "# not run here" not in block]


def test_the_readme_has_examples() -> None:
    assert len(RUN) >= 2
    assert len(BLOCKS) == len(RUN) + 1


@pytest.mark.parametrize("block", RUN, ids=range(len(RUN)))
def test_an_example_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(prepare(tmp_path / "demo"))

    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own text

    assert "strict-match" in capsys.readouterr().out
