"""The client's part for secrets."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from swath.asking import Asking


class SecretCalls(Asking):
    """What `swath.client.Client` says of secrets. It can keep them, and read none back."""

    def set_secret(self, name: str, value: str, *, project: str = "default") -> dict[str, Any]:
        """Keep a secret of a project, or replace it."""
        return self._ask("PUT", _path(name), params={"project": project}, json={"value": value})

    def secrets(self, *, project: str | None = None) -> list[dict[str, Any]]:
        """Which secrets there are, and who changed them when."""
        asked = {} if project is None else {"project": project}
        return list(self._ask("GET", "/v1/secrets", params=asked)["items"])

    def remove_secret(self, name: str, *, project: str = "default") -> None:
        """Forget a secret."""
        self._request("DELETE", _path(name), params={"project": project})

    def rotate_secrets(self) -> int:
        """Have all secrets sealed by the key file's first key; how many there are."""
        return int(self._ask("POST", "/v1/secrets:rotate")["sealed"])


def _path(name: str) -> str:
    return f"/v1/secrets/{quote(name, safe='')}"
