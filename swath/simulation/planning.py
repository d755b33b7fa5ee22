"""The scheduler's own matcher as the simulation's planner."""

from __future__ import annotations

from swath.matching.model import Plan
from swath.matching.plan import plan
from swath.simulation.books import Books
from swath.simulation.engine import Planner


def make_planner() -> Planner:
    """The matcher as the scheduler calls it."""

    def decide(books: Books, now: float) -> Plan:
        views = [agent.view for agent in books.agents.values()]
        return plan(views, [job.demand for job in books.waiting.values()])

    return decide
