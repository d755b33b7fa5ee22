"""How the parts of the Python client ask the service: what `swath.client.Client` gives them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import httpx


class Asking(ABC):
    """What a part of the client needs of the whole."""

    @abstractmethod
    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One answered request."""

    @abstractmethod
    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """The document that a request is answered with."""

    @abstractmethod
    def _pages(self, path: str, filters: Mapping[str, Any], limit: int | None) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, at most `limit`."""

    @abstractmethod
    def _stream(self, path: str, **arguments: Any) -> AbstractContextManager[httpx.Response]:
        """An answer that is read as it comes."""

    @abstractmethod
    def _unreachable(self, error: Exception) -> Exception:
        """What to raise where the service does not answer."""
