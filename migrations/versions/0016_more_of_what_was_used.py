"""mean memory and what was read, written, received and sent, in the usage accounting

Revision: 0016, after 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SUMS = ("used_mean_mem_mib_s", "read_mib", "written_mib", "received_mib", "sent_mib")


def upgrade() -> None:
    for name in SUMS:  # with a default: a scheduler of the version before this one names none of them
        op.add_column("usage", sa.Column(name, sa.Float(), server_default="0", nullable=False))


def downgrade() -> None:
    for name in reversed(SUMS):
        op.drop_column("usage", name)
