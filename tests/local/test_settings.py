"""What `python -m local` refuses to be told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from local.settings import Settings, check


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"port": 70_000}, "--port"),
        ({"port": -3}, "--port"),
        ({"agent_port": 65_535, "agents": 3}, "--agent-port"),
        ({"cpus": math.nan}, "--cpus"),
        ({"mem": -1.0}, "--mem"),
        ({"disk": math.inf}, "--disk"),
        ({"task_s": math.nan}, "--task-seconds"),
        ({"agents": 0}, "--agents"),
    ],
)
def test_what_makes_no_sense_is_refused_by_the_name_of_its_option(given: dict[str, Any], option: str):
    """In words, before anything listens."""
    (problem,) = check(Settings(**given))
    assert problem.startswith(option)


def test_the_defaults_make_sense():
    """And so do agents that are all simulated."""
    assert check(Settings()) == []
    assert check(Settings(agents=0, simulated_agents=3, agent_port=0)) == []
