"""`python -m rescore_db`, the same as `rescore`."""

from __future__ import annotations

import sys

from rescore_db.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
