"""The part of the Python client that knows projects and usage."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx

from swath.asking import Asking
from swath.documents import Project, Usage
from swath.domain.errors import InvalidInputError

Dimensions = tuple[str, ...]


class Tenants(Asking):
    """Projects and usage, for `swath.client.Client`, which knows how to ask."""

    def projects(self) -> list[Project]:
        """All projects that were declared or have open jobs, each above those below it."""
        return cast(list[Project], self._ask("GET", "/v1/projects")["items"])

    def project(self, name: str) -> Project:
        """One project, with what its users hold."""
        return cast(Project, self._ask("GET", _path(name)))

    def set_project(self, name: str, document: Mapping[str, Any]) -> Project:
        """Declare a project, as a whole: what the document leaves out has its default."""
        return cast(Project, self._ask("PUT", _path(name), json=dict(document)))

    def remove_project(self, name: str) -> None:
        """Forget what was declared of it."""
        self._request("DELETE", _path(name))

    def usage(
        self,
        *by: str,
        first: str | None = None,
        last: str | None = None,
        project: str | None = None,
        user: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Usage]:
        """What was requested and used, by any of day, project, user, image and outcome; days of UTC, both included."""
        asked = _to_query(by, first, last, project, user)
        return cast(Iterator[Usage], self._pages("/v1/usage", asked, limit))

    def save_usage(
        self,
        to: str | os.PathLike[str],
        *by: str,
        first: str | None = None,
        last: str | None = None,
        project: str | None = None,
        user: str | None = None,
    ) -> Path:
        """The same as CSV in the file `to`, which is there once it is whole."""
        target = Path(to)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        asked = {name: value for name, value in _to_query(by, first, last, project, user).items() if value is not None}
        try:
            with self._stream("/v1/usage", params=asked | {"format": "csv"}) as response, partial.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            partial.replace(target)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except OSError as error:
            raise InvalidInputError.at(str(target), f"cannot be written: {error.strerror}") from error
        finally:
            partial.unlink(missing_ok=True)
        return target


def _path(name: str) -> str:
    return f"/v1/projects/{quote(name)}"


def _to_query(
    by: Dimensions, first: str | None, last: str | None, project: str | None, user: str | None
) -> dict[str, str | None]:
    return {"by": ",".join(by), "from": first, "to": last, "project": project, "user": user}
