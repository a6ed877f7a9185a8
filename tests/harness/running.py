"""Python programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def run_python(
    program: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program in which every warning is an error, and which must succeed."""
    return subprocess.run(  # noqa: S603 - this Python, the tests' own programs
        [sys.executable, "-W", "error", "-c", program],
        env=os.environ | (variables or {}),
        check=True,
        capture_output=True,
        text=True,
    )
