"""what image versions turned out to need

Revision: 0011, after 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "learned_needs",
        sa.Column("image_version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("mem", sa.BigInteger(), nullable=True),
        sa.Column("disk", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_version_id"],
            ["image_versions.id"],
            name=op.f("fk_learned_needs_image_version_id"),
        ),
        sa.PrimaryKeyConstraint("image_version_id", "asked", name=op.f("pk_learned_needs")),
    )
    op.add_column("jobs", sa.Column("asks_mem", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("asks_disk", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "asks_disk")
    op.drop_column("jobs", "asks_mem")
    op.drop_table("learned_needs")
