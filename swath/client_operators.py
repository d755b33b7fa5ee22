"""The client's part for those who look after a cluster."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

from swath.asking import Asking
from swath.documents import Agent, Scheduler


class OperatorCalls(Asking):
    """What `swath.client.Client` says of the cluster, its agents and its scheduler."""

    def cluster(self) -> dict[str, Any]:
        """What the cluster has, uses and runs."""
        return dict(self._ask("GET", "/v1/cluster"))

    def agents(self) -> list[Agent]:
        """The agents that were ever seen, by host name."""
        return cast(list[Agent], self._ask("GET", "/v1/agents")["items"])

    def agent(self, name: str) -> Agent:
        """One agent, by its id or by a host name that it alone has."""
        return cast(Agent, self._ask("GET", f"/v1/agents/{quote(name, safe='')}"))

    def set_agent_mode(
        self, name: str, mode: str, *, max_grace_s: float | None = None, mark_gone: bool = False
    ) -> Agent:
        """Say that an agent is to be ACTIVE, CORDONED or DRAINED; it is `mode_pending` until the scheduler has acted."""
        document = {"mode": mode, "max_grace_s": max_grace_s, "mark_gone": mark_gone}
        return cast(Agent, self._ask("PUT", f"/v1/agents/{quote(name, safe='')}/mode", json=document))

    def scheduler(self) -> Scheduler:
        """Who leads, how it stands with Mesos, and what an end of the framework would kill."""
        return cast(Scheduler, self._ask("GET", "/v1/scheduler"))

    def tear_down(self, framework_id: str | None) -> dict[str, Any]:
        """Have the framework, which must be the present one, leave Mesos: every attempt is killed."""
        return self._ask("POST", "/v1/scheduler/teardown", json={"framework_id": framework_id})

    def reset_framework(self, framework_id: str | None) -> dict[str, Any]:
        """Begin anew in place of the framework, which must be the present one: what it runs is killed and tried again."""
        return self._ask("POST", "/v1/scheduler/reset-framework", json={"framework_id": framework_id})
