"""Three agents of one laptop: constraints tell them apart, and their sandboxes are reached all the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.laptop import Laptop, running


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A cluster of three agents, of which the user has said something as well."""
    options = ("--no-docker", "--agents", "3", "--cpus", "1", "--mem", "512", "--attributes", "disk:ssd")
    yield from running(tmp_path_factory.mktemp("three") / "var", *options)


def test_a_job_spreads_over_the_hosts_of_a_laptop(three: Laptop) -> None:
    """One task on each, and what each wrote is read from the agent that it ran on."""
    words = ("--range", "INDEX=0:3", "--spread-hosts", "--constraint", "disk=ssd", "--wait")
    three.swath("submit", "true", *words)
    (job,) = three.client.jobs(limit=1)
    hosts = {task["agent"]["hostname"] for task in three.client.tasks(job["id"]) if task["agent"]}
    assert hosts == {"laptop-1", "laptop-2", "laptop-3"}
    for index in range(3):
        three.client.log(job["id"], index)


def test_a_job_may_keep_to_a_zone_and_a_rack_of_it(three: Laptop) -> None:
    """laptop-2 is the only agent in zone b."""
    three.swath("submit", "true", "--constraint", "zone=b", "--constraint", "rack=b1", "--wait")
    (job,) = three.client.jobs(limit=1)
    assert [task["agent"]["hostname"] for task in three.client.tasks(job["id"]) if task["agent"]] == ["laptop-2"]
    refused = three.swath("submit", "true", "--constraint", "rack=c9", check=False)
    assert "of rack there is a1, b1" in refused.stderr


def test_one_agent_is_drained_by_its_name(three: Laptop) -> None:
    """Which is of no use where all of them have the same."""
    three.swath("agents", "cordon", "laptop-3")
    modes = {agent["hostname"]: agent["mode"] for agent in three.client.agents()}
    assert modes == {"laptop-1": "ACTIVE", "laptop-2": "ACTIVE", "laptop-3": "CORDONED"}
    three.swath("agents", "undrain", "laptop-3")
