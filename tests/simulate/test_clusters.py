"""Clusters in words, in documents and from the API."""

from __future__ import annotations

from typing import Any

import pytest

from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources
from swath.simulation.clusters import from_agents, parse_agents, read_cluster


def test_groups_of_agents_in_words() -> None:
    """Resources with their units, everything else is an attribute."""
    cluster = parse_agents(["2x16cpus,64GiB,disk=200GiB,gpus=1,zone=b", "1x0.5cpu,512MiB"])
    assert [agent.id for agent in cluster.agents] == ["agent-00000", "agent-00001", "agent-00002"]
    assert cluster.agents[0].total == Resources(cpus_m=16_000, mem=65_536, disk=204_800, gpus=1)
    assert cluster.agents[0].attributes == {"zone": "b"}
    assert cluster.agents[2].total == Resources(cpus_m=500, mem=512)
    assert cluster.capacity["cpus"] == 32_500


@pytest.mark.parametrize(
    "text",
    ["", "16cpus", "x16cpus", "0x1cpus", "2x", "2x16", "2x16cpus,64", "2x16cpus,64GiB,=b", "2x1cpus,zone=", "9x٣cpus"],
)
def test_other_words_are_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(InvalidInputError):
        parse_agents([text])


def test_more_agents_than_are_taken_are_refused() -> None:
    """Before any is made."""
    with pytest.raises(InvalidInputError, match="100,000"):
        parse_agents(["999999x1cpus"])


def test_a_document_describes_a_cluster() -> None:
    """Groups with counts, and what executors take."""
    document = {
        "agents": [
            {"count": 2, "resources": {"cpus": 4, "mem": 100}, "attributes": {"rack": "r1"}},
            {"resources": {"cpus": 1}},
        ],
        "reserved": {"cpus": 0.5},
    }
    cluster = read_cluster(document, "lab")
    assert [agent.total.cpus_m for agent in cluster.agents] == [4000, 4000, 1000]
    assert cluster.reserved == Resources(cpus_m=500)
    assert cluster.capacity["cpus"] == 7500


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (7, ""),
        ({}, ""),
        ({"agents": []}, "/agents"),
        ({"agents": [7]}, "/agents/0"),
        ({"agents": [{"count": 0, "resources": {}}]}, "/agents/0/count"),
        ({"agents": [{"count": True, "resources": {}}]}, "/agents/0/count"),
        ({"agents": [{"resources": {"cpus": "x"}}]}, "/agents/0/resources/cpus"),
        ({"agents": [{"resources": 1}]}, "/agents/0/resources"),
        ({"agents": [{"resources": {}, "attributes": {"a": 1}}]}, "/agents/0/attributes"),
        ({"agents": [{"resources": {}, "colour": 1}]}, "/agents/0/colour"),
        ({"agents": [], "colour": 1}, "/colour"),
    ],
)
def test_a_malformed_document_is_refused_with_the_place(document: Any, path: str) -> None:
    """As a JSON pointer."""
    with pytest.raises(InvalidInputError) as refused:
        read_cluster(document, "lab")
    assert refused.value.problems[0].path == path


def test_the_present_cluster_is_that_of_the_api() -> None:
    """Its active agents, region and zone among their attributes."""
    agent = {"id": "S1", "active": True, "hostname": "h1", "region": "eu", "zone": None, "attributes": {"rack": "r1"}}
    agent["resources"] = {"cpus": 4.0, "mem": 100, "disk": 0, "gpus": 0}
    cluster = from_agents([agent, {**agent, "id": "S2", "active": False}], Resources(cpus_m=100))
    assert [found.id for found in cluster.agents] == ["S1"]
    assert cluster.agents[0].attributes == {"hostname": "h1", "region": "eu", "rack": "r1"}
    with pytest.raises(InvalidInputError, match="no active agent"):
        from_agents([], Resources())
