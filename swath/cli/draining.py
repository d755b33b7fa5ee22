"""Waiting until agents are empty, with a progress bar each; Ctrl-C stops the waiting, never the drain."""

from __future__ import annotations

import time

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from swath.cli.console import err, say, shown
from swath.cli.exits import Exit
from swath.client import Client
from swath.documents import Agent
from swath.domain.errors import ConflictError

POLL_S = 0.5


def wait_until_drained(client: Client, agent_ids: list[str], timeout_s: float | None) -> list[Agent]:
    """The agents once nothing runs on them.

    Raises TimeoutError, ConflictError when somebody wants another mode meanwhile, and typer.Exit(130) after Ctrl-C.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        with _make_progress() as progress:
            rows = {agent_id: progress.add_task(agent_id, total=None, left="") for agent_id in agent_ids}
            while True:
                agents = [client.agent(agent_id) for agent_id in agent_ids]
                for agent in agents:
                    _show(progress, rows[agent["id"]], agent)
                if all(map(_is_drained, agents)):
                    return agents
                if deadline is not None and time.monotonic() >= deadline:
                    raise TimeoutError(
                        f"not drained after {timeout_s:g} s; it goes on: `swath agents` shows how far it is"
                    )
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        say("the drain goes on: `swath agents` shows how far it is, `swath agents undrain` ends it")
        raise typer.Exit(Exit.INTERRUPTED) from None


def _make_progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn())
    return Progress(*columns, console=err(), transient=False)


def _show(progress: Progress, row: TaskID, agent: Agent) -> None:
    """The bar fills as attempts end; its length is the most that were seen there."""
    left = agent["attempts"]
    total = max(left, progress.tasks[row].total or 0)
    text = f"{left} left" if left else (agent["drain"] or "nothing left")
    progress.update(
        row, description=shown(agent["hostname"]), total=max(total, 1), completed=max(total, 1) - left, left=text
    )


def _is_drained(agent: Agent) -> bool:
    """True when nothing of ours runs there and the master says so too, has lost the agent, or would not have a part in it."""
    if agent["mode"] != "DRAINED":
        raise ConflictError(
            f"agent {agent['hostname']} is to be {agent['mode']} now: somebody has asked for it meanwhile"
        )
    if agent["mode_pending"] or agent["attempts"]:
        return False
    return agent["drain"] == "DRAINED" or not agent["active"] or agent["mode_message"] is not None
