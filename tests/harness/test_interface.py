"""What crosses a pipe comes back as it was."""

from __future__ import annotations

import pytest

from rescore_db.harness.interface import TaskRequest
from tests.harness.running import run_python


@pytest.mark.parametrize(
    "request_",
    [
        TaskRequest("gsm8k"),
        TaskRequest("a::b", ("x", "y"), "t.yaml", as_logged=True, allow_unsafe=True, groups=("a",)),
        TaskRequest("a", config_json="{}", filters_json="[]", metrics_json="[]"),
    ],
)
def test_requests(request_: TaskRequest) -> None:
    assert TaskRequest.from_json(request_.to_json()) == request_


def test_the_interface_needs_no_lm_eval() -> None:
    program = (
        "import sys, rescore_db.harness.interface, rescore_db.harness.offline,"
        "rescore_db.harness.aggregation, rescore_db.harness.environment;"
        "print(sorted({'lm_eval', 'numpy', 'nltk', 'yaml'} & set(sys.modules)))"
    )

    assert run_python(program).stdout == "[]\n"
