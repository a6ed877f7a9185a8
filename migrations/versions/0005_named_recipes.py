"""Recipes get names.  There were none before, so no rows are brought over.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table of named recipes."""
    op.create_table(
        "named_recipe",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("content_json", sa.Text(), nullable=False),
        sa.Column("places_json", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_named_recipe")),
        sa.UniqueConstraint("name", name=op.f("uq_named_recipe_name")),
    )


def downgrade() -> None:
    """Drop the named recipes; what they scored stays."""
    op.drop_table("named_recipe")
