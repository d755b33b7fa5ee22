"""ports and custom scalars among the resources

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = ("agents", "attempts", "jobs")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("more_resources", sa.JSON(), nullable=True))
    op.add_column("attempts", sa.Column("ports", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "ports")
    for table in _TABLES:
        op.drop_column(table, "more_resources")
