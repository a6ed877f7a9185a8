"""`datasets` costs nothing where nobody uses it, and is itself where somebody does."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

USES = [
    "from datasets import load_dataset; assert callable(load_dataset)",
    "from datasets.load import load_dataset; assert callable(load_dataset)",
    """
    from lm_eval.api import task
    assert task.datasets.Dataset.from_list([{"a": 1}])[0] == {"a": 1}
    import datasets
    assert task.datasets.Dataset is datasets.Dataset
    """,
]


def run(code: str) -> str:
    start = """
        import sys
        from rescore_db.harness.isolation import isolated
        with isolated():
            import lm_eval.api.task
        assert not {"pandas", "pyarrow", "datasets.load"} & set(sys.modules)
    """
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        f"{dedent(start)}\n{dedent(code)}\nprint('right')",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout + done.stderr


@pytest.mark.parametrize("use", USES)
def test_datasets_is_imported_by_its_first_use(use: str) -> None:
    assert run(use) == "right\n"
