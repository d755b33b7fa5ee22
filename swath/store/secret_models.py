"""The table of secrets: the api writes it, the scheduler reads it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from swath.store.base import Base


class Secret(Base):
    """A secret of a project, sealed by a key that is not in the database."""

    __tablename__ = "secrets"
    project: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[str]
    user: Mapped[str]  # who changed it last
    at: Mapped[datetime]
