"""What the agents have, and what of it is promised or used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from local.master import Master
from local.resources import EMPTY, Bundle, from_wire
from local.statuses import is_terminal
from swath.wire.calls import Message

if TYPE_CHECKING:
    from tests.simulation.agents import AgentHost


class Books:
    """The master's and the agents'. Bundles never change: what is the same has been looked at."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Bundle, ...]] = {}  # by agent: what the master had of it when it was looked at
        self._bundles: dict[str, tuple[Any, Bundle]] = {}  # by task or container: its resources, and their sum

    def find_promised(self, master: Master) -> Iterator[str]:
        """What the master has promised of an agent, or lets use, beyond what it has."""
        for agent in master.state.agents.values():
            books = (agent.total, agent.used, agent.offered)
            if self._seen.get(agent.agent_id) != books:
                self._seen[agent.agent_id] = books
                held = agent.used + agent.offered
                if not agent.total.contains(held):
                    yield f"the master has overcommitted {agent.agent_id}: {held}"

    def find_used(self, host: AgentHost) -> Iterator[str]:
        """What runs on an agent beyond what it has."""
        if host.machine is None:
            return
        state, total = host.machine.state, EMPTY
        for executor in state.executors.values():
            if executor.framework_id not in state.removed:  # else it is on its way out, and the master has forgotten it
                total = total + self._bundle(executor.container_id, executor.info)
        for task in state.tasks.values():
            if not is_terminal(task.state):
                total = total + self._bundle(task.task_id, task.info)
        if not host.total.contains(total):
            yield f"{host.agent_id} is overcommitted: {total}"

    def _bundle(self, name: str, info: Message) -> Bundle:
        resources = info["resources"]
        known, bundle = self._bundles.get(name, (None, EMPTY))
        if known != resources:
            bundle = from_wire(resources)
            self._bundles[name] = (resources, bundle)
        return bundle
