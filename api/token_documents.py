"""What is sent and answered about tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from api.answers import Answered
from api.schemas import Key, Line, Sent
from swath.domain.rights import LONGEST_LIFE, MOST_IMAGES, USUAL_LIFE, TokenScope

Name = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.-]+$")]
ImageName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9-]+$")]


class TokenDocument(Sent):
    """A token to be made."""

    name: Name = Field(description="what it is called in lists; no other token has it")
    scope: TokenScope = Field(
        description="push: registers versions of its images and sees them; notify: a registry's webhook"
    )
    user: Line | None = Field(default=None, description="in whose name it acts; whoever makes it, by default")
    project: Key | None = Field(default=None, description="whose resources verifications take")
    images: list[ImageName] = Field(default=[], max_length=MOST_IMAGES, description="names that it may push")
    lasts_s: float = Field(
        default=USUAL_LIFE.total_seconds(), ge=60, le=LONGEST_LIFE.total_seconds(), description="until it runs out"
    )

    @model_validator(mode="after")
    def _pushes_something(self) -> TokenDocument:
        if self.scope is TokenScope.PUSH and not self.images:
            raise ValueError("a token for push needs the names of its images")
        return self


class TokenAnswer(Answered):
    """A token."""

    id: str
    name: str
    scope: str
    user: str
    project: str | None
    images: list[str]
    created_by: str
    created_at: str
    expires_at: str
    expired: bool
    token: str | None = Field(default=None, description="the token's text, told once: when it is made")


class TokenList(Answered):
    """Tokens by name."""

    items: list[TokenAnswer]
