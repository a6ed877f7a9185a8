"""What may lie at a store's address, and the revisions of the schema that this version knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005")
"""Every revision in `migrations/versions`, oldest first; a test keeps them equal.

They are repeated here so that opening a store does not have to import alembic.
"""

HEAD: Final = REVISIONS[-1]

_OURS: Final = frozenset({"run", "evaluation", "sample", "scored_evaluation"})


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at an address.

    Attributes:
        revision: the content of `alembic_version`, None where there is none.
        tables: the names of the tables and views there.
    """

    revision: str | None = None
    tables: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Nothing is there, not even somebody else's table.

        Going back to the very beginning leaves the table of the revision, without a row.
        """
        return self.revision is None and self.tables <= {"alembic_version"}

    @property
    def is_ours(self) -> bool:
        """It has a revision, and the tables that every revision of ours has."""
        return self.revision is not None and self.tables >= _OURS
