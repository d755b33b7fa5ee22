"""usage accounting

Revision: 0010, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SUMS = (
    *("held_s", "cpu_s", "mem_mib_s", "gpu_s", "used_cpu_s", "used_mem_mib_s"),
    *("measured_cpu_s", "measured_mem_mib_s"),
)


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint("day", "project", "user", "image", "outcome", name=op.f("pk_usage")),
    )


def downgrade() -> None:
    op.drop_table("usage")
