"""the image catalogue: owners, details of versions, and what became of them

Revision: 0015, after 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("projects", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_images")),
    )
    op.create_table(
        "image_details",
        sa.Column("image_version_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("platform", sa.Text(), nullable=True),
        sa.Column("runs_as", sa.Text(), nullable=True),
        sa.Column("layers", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("labels", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("provenance", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("packages", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.Column("tag_digest", sa.Text(), nullable=True),
        sa.Column("signed_by", sa.Text(), nullable=True),
        sa.Column("pushed_by", sa.Text(), nullable=True),
        sa.Column("profile", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["image_version_id"], ["image_versions.id"], name=op.f("fk_image_details_image_version_id")
        ),
        sa.PrimaryKeyConstraint("image_version_id", name=op.f("pk_image_details")),
    )
    op.create_table(
        "image_transitions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("image_version_id", sa.Integer(), nullable=False),
        sa.Column("before", sa.String(length=16), nullable=True),
        sa.Column("after", sa.String(length=16), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_version_id"], ["image_versions.id"], name=op.f("fk_image_transitions_image_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_transitions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_image_transitions_image_version_id_id"), "image_transitions", ["image_version_id", "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_image_transitions_image_version_id_id"), "image_transitions")
    op.drop_table("image_transitions")
    op.drop_table("image_details")
    op.drop_table("images")
