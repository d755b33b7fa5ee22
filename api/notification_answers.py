"""What a registry's notification is answered with; registries do not read it, people who look for a mistake do."""

from __future__ import annotations

from pydantic import Field

from api.answers import Answered


class RefusedAnswer(Answered):
    """What the catalogue does not take."""

    reference: str
    why: str


class NotificationAnswer(Answered):
    """What became of a notification's events."""

    registered: list[str] = Field(description="NAME:VERSION of what was pushed")
    refused: list[RefusedAnswer]
    passed_by: int = Field(description="events of another kind, and of registries that SWATH_REGISTRIES does not name")
