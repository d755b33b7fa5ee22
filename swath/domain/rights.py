"""Who asks, and what they may ask for: one table of what each scope of a token reaches. Everything else is closed to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from swath.domain.errors import ForbiddenError
from swath.domain.ids import ULID_LENGTH, is_ulid

PREFIX = "swath_"  # of every token's text, so that those who search for leaked secrets know it
LONGEST_LIFE = timedelta(days=366)
USUAL_LIFE = timedelta(days=90)
MOST_IMAGES = 50
_TOKEN = re.compile(rf"{PREFIX}(?P<id>.{{{ULID_LENGTH}}})_(?P<secret>[\w-]{{20,200}})", re.ASCII)
TOKEN_TEXT = re.compile(rf"{PREFIX}[0-9A-Z]{{{ULID_LENGTH}}}_[\w-]+", re.ASCII)  # wherever one stands


class TokenScope(StrEnum):
    """What a token is for."""

    PUSH = "push"  # CI: registers versions of its images and sees what becomes of them
    NOTIFY = "notify"  # a registry: says what was pushed to it


# A comparison is not among these: the other image stands in its query.
_IMAGE = r"/v1/images/(?P<image>[^/]+)(/[^/]+(/(transitions|verification))?)?"
REACHED: Mapping[TokenScope, tuple[tuple[str, re.Pattern[str]], ...]] = MappingProxyType(
    {
        # which images a POST is about stands in its body: the route looks (`check_image`)
        TokenScope.PUSH: (("POST", re.compile("/v1/images")), ("GET", re.compile(_IMAGE))),
        TokenScope.NOTIFY: (("POST", re.compile("/v1/registry/notifications")),),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Whoever makes a request."""

    user: str
    scope: TokenScope | None = None  # None: whoever runs the cluster, who may do everything
    project: str | None = None  # whose resources it uses
    images: tuple[str, ...] = ()  # that it may push, by name

    def check(self, method: str, path: str) -> None:
        """Return where the caller may ask for this; raises ForbiddenError."""
        if self.scope is None:
            return
        for known, pattern in REACHED[self.scope]:
            found = pattern.fullmatch(path) if method == known else None
            if found:
                if "image" in found.groupdict():
                    self.check_image(found["image"])
                return
        raise ForbiddenError(f"a token for {self.scope} does not reach {method} {path}")

    def check_image(self, name: str) -> None:
        """Return where the caller may register and see the image; raises ForbiddenError."""
        bound = self.scope is TokenScope.PUSH or (self.scope is not None and self.images)
        if bound and name not in self.images:
            known = ", ".join(self.images) or "no image"
            raise ForbiddenError(f"this token is for {known}, not for {name}: `swath tokens create` makes others")

    def check_place(self, *, in_registry: bool) -> None:
        """Return where the caller may register a version that is found there; raises ForbiddenError.

        A token for push names a registry's images only: a build context is a path on the agents, and runs as a process there.
        """
        if self.scope is not None and not in_registry:
            raise ForbiddenError("this token registers what a registry has (`reference`), no image_id and no context")


def to_token(token_id: str, secret: str) -> str:
    """The text of a token."""
    return f"{PREFIX}{token_id}_{secret}"


def split_token(text: str) -> tuple[str, str] | None:
    """(id, secret) of a token's text; None for what is none."""
    found = _TOKEN.fullmatch(text)
    return (found["id"], found["secret"]) if found and is_ulid(found["id"]) else None
