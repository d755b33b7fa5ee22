"""The client's part for tokens with a scope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from swath.asking import Asking


class TokenCalls(Asking):
    """What `swath.client.Client` says of tokens."""

    def create_token(
        self,
        name: str,
        scope: str,
        *,
        images: Sequence[str] = (),
        user: str | None = None,
        project: str | None = None,
        lasts_s: float | None = None,
    ) -> dict[str, Any]:
        """Make a token for "push" or "notify"; its text is in `token` of what is returned, and told only this once."""
        document = {"name": name, "scope": scope, "images": list(images), "user": user, "project": project}
        return self._ask("POST", "/v1/tokens", json=document | ({} if lasts_s is None else {"lasts_s": lasts_s}))

    def tokens(self) -> list[dict[str, Any]]:
        """All tokens by name, without their texts."""
        return list(self._ask("GET", "/v1/tokens")["items"])

    def revoke_token(self, name: str) -> None:
        """Take a token back, by its name or id."""
        self._request("DELETE", f"/v1/tokens/{quote(name, safe='')}")
