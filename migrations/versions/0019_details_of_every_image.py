"""details of the image versions that were registered before there was a catalogue

Without them nothing that is found out of a version later could be written down: its profile, that its tag has moved, that its
registry does not have it any more; and a search would not look into its title.

Revision: 0019, after 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_versions = sa.table(
    "image_versions",
    *(sa.column(name, sa.Text()) for name in ("name", "version", "digest", "reference")),
    sa.column("id", sa.Integer()),
    sa.column("manifest", sa.JSON()),
)
_details = sa.table("image_details", sa.column("image_version_id", sa.Integer()), sa.column("words", sa.Text()))


def upgrade() -> None:
    lacking = sa.select(_versions.c.id, _words()).where(
        _versions.c.id.not_in(sa.select(_details.c.image_version_id).scalar_subquery())
    )
    op.execute(_details.insert().from_select(["image_version_id", "words"], lacking))


def _words() -> sa.ColumnElement[str]:
    """What a search looks at, as the api has it for new versions; the tags as the JSON that they stand in."""
    job = _versions.c.manifest["job"]
    told = [job[name].as_string() for name in ("title", "description", "tags")]
    texts = [_versions.c.name, _versions.c.version, _versions.c.digest, _versions.c.reference, *told]
    joined: sa.ColumnElement[str] = sa.literal("")
    for text in texts:
        joined = joined + sa.func.coalesce(text, "") + "\n"
    return sa.func.lower(joined)


def downgrade() -> None:
    """The rows do no harm."""
