"""Recipes keep the config of their task.  Existing rows have none until they score again.

Revision: 0004, after 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "recipe_config",
        sa.Column("recipe_id", ID, primary_key=True, autoincrement=False),
        sa.Column("config_json", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("recipe_id", name="pk_recipe_config"),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name="fk_recipe_config_recipe_id"),
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_table("recipe_config")
