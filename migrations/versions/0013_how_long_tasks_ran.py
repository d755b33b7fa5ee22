"""how long the tasks of a job have run

Revision: 0013, after 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("longest_run_s", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "longest_run_s")
