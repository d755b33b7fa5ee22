"""The projects, as the api has declared them."""

from __future__ import annotations

from scheduler.core.events import ProjectsSeen
from scheduler.core.turn import Turn
from swath.domain.changes import ObserveProjects


def on_projects(turn: Turn, event: ProjectsSeen) -> None:
    """Take the whole tree in; what a quota held back may start now."""
    turn.state.projects = dict(event.tree.projects)
    turn.write(ObserveProjects(rev=event.tree.rev))
    turn.state.wants_offers = turn.state.wants_offers or bool(turn.state.waiting)
