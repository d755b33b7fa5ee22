"""The table of tokens with a scope, which is the api's alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from swath.domain.rights import TokenScope
from swath.store.base import Base


class Token(Base):
    """What lets somebody do one kind of thing. Of its secret only the hash is known; a row that is gone lets nobody in."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("name"),)
    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(String(64))  # SHA-256 of 256 random bits: nothing that could be guessed
    scope: Mapped[TokenScope]
    user: Mapped[str]  # in whose name
    project: Mapped[str | None]
    images: Mapped[list[Any]]  # names
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
