"""Attempts in executors' hands, and what no two of them may have."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from executor.events import Order
from swath.wire.resources import to_ports

if TYPE_CHECKING:
    from tests.simulation.executor import SimExecutor


@dataclass(slots=True)
class Run:
    """One attempt in an executor's hands."""

    executor: SimExecutor
    job_id: str
    index: int
    begun_at: float
    order: Order
    zombie_since: float | None = None


def find_shared_ports(begun: Run, others: Iterable[Run]) -> Iterator[str]:
    """What is wrong with the ports of a run that begins: other ones than its Mesos task holds, or another run's, too.

    What is left of a removed framework may have the same: Mesos gives its resources away while its executors have their grace.
    """
    executor, spec = begun.executor, begun.order.spec
    machine = executor.host.machine
    task = None if machine is None else machine.state.tasks.get((executor.framework_id, begun.order.task_id))
    if task is not None and sorted(spec.ports) != (held := list(to_ports(task.info["resources"]))):
        yield f"{spec.attempt} runs with the ports {spec.ports} and holds {held}"
    for run in others:
        same = (run.executor.host, run.executor.framework_id) == (executor.host, executor.framework_id)
        shared = set(spec.ports) & set(run.order.spec.ports) if same else ()
        if shared:
            yield f"{spec.attempt} has ports of {run.order.spec.attempt}, which runs beside it: {shared}"


def read_work(data: str) -> list[str]:
    """The attempts that a TaskInfo carries, whether its slot is shared or not."""
    document = json.loads(b64decode(data))
    return [one["attempt"] for one in document.get("work", [document])]
