"""jobs that wait for others

Revision: 0009, after 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dependencies",
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("on_id", sa.String(length=26), nullable=False),
        sa.Column("condition", sa.String(length=16), nullable=False),
        sa.Column("elementwise", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_dependencies_job_id")),
        sa.ForeignKeyConstraint(["on_id"], ["jobs.id"], name=op.f("fk_dependencies_on_id")),
        sa.PrimaryKeyConstraint("job_id", "on_id", name=op.f("pk_dependencies")),
    )
    op.create_index(op.f("ix_dependencies_on_id"), "dependencies", ["on_id"])
    # The default serves the version before this one, which goes on submitting jobs while this one is being rolled out.
    op.add_column("jobs", sa.Column("dropped", sa.JSON(none_as_null=True), server_default="[]", nullable=False))
    op.add_column("jobs", sa.Column("message", sa.Text(), nullable=True))
    op.add_column("idempotency_keys", sa.Column("job_ids", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("idempotency_keys", "job_ids")
    op.drop_column("jobs", "message")
    op.drop_column("jobs", "dropped")
    op.drop_index(op.f("ix_dependencies_on_id"), "dependencies")
    op.drop_table("dependencies")
