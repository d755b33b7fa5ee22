"""operators' wishes, partitions and maintenance

Revision: 0002, after 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_wishes",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("max_grace_s", sa.Float(), nullable=True),
        sa.Column("mark_gone", sa.Boolean(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("observed_rev", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agent_wishes")),
    )
    op.create_index(
        "ix_agent_wishes_changed",
        "agent_wishes",
        ["agent_id"],
        postgresql_where=sa.text("rev <> observed_rev"),
        sqlite_where=sa.text("rev <> observed_rev"),
    )
    op.create_table(
        "framework_wishes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("desire", sa.String(length=16), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("observed_rev", sa.Integer(), nullable=False),
        sa.Column("torn_down", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_framework_wishes")),
    )
    # The default serves the version before this one, which goes on writing agents while this one is being rolled out.
    op.add_column("agents", sa.Column("deactivated", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("agents", sa.Column("drain", sa.String(length=16), nullable=True))
    op.add_column("agents", sa.Column("unavailable_from", sa.DateTime(timezone=True), nullable=True))
    op.add_column("agents", sa.Column("unavailable_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("attempts", sa.Column("unreachable_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_attempts_slot_id", "attempts", ["slot_id"])


def downgrade() -> None:
    op.drop_index("ix_attempts_slot_id", "attempts")
    op.drop_column("attempts", "unreachable_at")
    for name in ("unavailable_until", "unavailable_from", "drain", "deactivated"):
        op.drop_column("agents", name)
    op.drop_table("framework_wishes")
    op.drop_index(
        "ix_agent_wishes_changed",
        "agent_wishes",
        postgresql_where=sa.text("rev <> observed_rev"),
        sqlite_where=sa.text("rev <> observed_rev"),
    )
    op.drop_table("agent_wishes")
