"""The client's part for jobs that recur."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

from swath.asking import Asking
from swath.documents import Schedule, with_hrefs


class ScheduleCalls(Asking):
    """What `swath.client.Client` says of recurring jobs."""

    def add_schedule(self, name: str, cron: str, job: Mapping[str, Any], **options: Any) -> Schedule:
        """Submit `job` at the times of the cron expression; options are timezone, overlap, catch_up and paused."""
        document = {"name": name, "cron": cron, "job": with_hrefs(job), **options}
        return cast(Schedule, self._ask("POST", "/v1/schedules", json=document))

    def schedules(self) -> list[Schedule]:
        """All recurring jobs by name."""
        return cast(list[Schedule], self._ask("GET", "/v1/schedules")["items"])

    def schedule(self, name: str) -> Schedule:
        """One of them, by its name or id, with its last runs."""
        return cast(Schedule, self._ask("GET", _path(name)))

    def change_schedule(self, name: str, **changes: Any) -> Schedule:
        """Change what is given: cron, timezone, overlap, catch_up, paused, job."""
        if "job" in changes:
            changes["job"] = with_hrefs(changes["job"])
        return cast(Schedule, self._ask("PATCH", _path(name), json=changes))

    def remove_schedule(self, name: str) -> None:
        """Forget it; the jobs that it has submitted stay."""
        self._request("DELETE", _path(name))


def _path(name: str) -> str:
    return f"/v1/schedules/{quote(name, safe='')}"
