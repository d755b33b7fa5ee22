"""why the scheduler has decided to end an attempt

Revision: 0003, after 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("kill_cause", sa.String(length=16), nullable=True))


def downgrade() -> None:
    op.drop_column("attempts", "kill_cause")
