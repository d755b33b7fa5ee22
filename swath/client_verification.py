"""The client's part for the trials of image versions."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from swath.asking import Asking


class VerificationCalls(Asking):
    """What `swath.client.Client` says of verifications."""

    def verification(self, name: str, version: str, digest: str | None = None) -> dict[str, Any]:
        """How the trial of an image version stands: its state, why, its verdict and what was measured."""
        path = f"/v1/images/{quote(name, safe='')}/{quote(version, safe='')}/verification"
        return self._ask("GET", path, params={} if digest is None else {"digest": digest})
