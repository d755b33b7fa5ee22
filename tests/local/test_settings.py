"""What `python -m local` refuses to be told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from local.resources import Bundle, from_wire
from local.settings import Settings, check, divide_ports, make_agent_info, parse_resources


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
        ({"resources": "licences"}, "--resources: 'licences' is not of the form name:value"),
        ({"resources": "licences:many"}, "--resources: licences is neither"),
        ({"resources": "licences:{a,b}"}, "--resources: licences is neither"),
        ({"resources": "licences:-1"}, "--resources: licences must be a number"),
        ({"resources": "ports:[9-5]"}, "--resources: ports has a range that is none"),
        ({"resources": "ports:[1-70000]"}, "--resources: ports has a range that is none"),
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


def test_resources_are_written_as_mesos_has_them():
    """Numbers and ranges; the same name twice is added up, ranges are merged, and a role keeps its part."""
    found = parse_resources("cpus:2;cpus:0.5; licences:1.0004 ;ports:[5-9, 10-12];ports:[20-20];mem(eo):64;none:0;")
    assert found == Bundle({"cpus": 2500, "licences": 1000, "mem(eo)": 64_000}, {"ports": ((5, 12), (20, 20))})


def test_agents_may_have_names_and_attributes_of_their_own(tmp_path: Path):
    """Said in turn, or once for all of them; what is not named is the machine."""
    sizes: dict[str, Any] = {"work_dir": tmp_path, "cpus": 2.0, "mem": 1000.0, "disk": 10.0}
    apart = Settings(**sizes, hostnames=["a", "b"], attributes=["rack:r1", "rack:r2"])
    infos = [make_agent_info(apart, 5051, (which, 3)) for which in range(3)]
    assert [info["hostname"] for info in infos] == ["a", "b", "127.0.0.1"]
    assert [info.get("attributes", [{}])[0].get("text") for info in infos] == [{"value": "r1"}, {"value": "r2"}, None]
    alike = Settings(**sizes, attributes=["rack:r1"])
    assert all(make_agent_info(alike, 5051, (which, 3))["attributes"] for which in range(3))


def test_an_agent_has_what_was_named_for_it(tmp_path: Path):
    """Beside cpus, memory and disk, or instead of what they would be; without ports it has Mesos' own."""
    sizes: dict[str, Any] = {"work_dir": tmp_path, "cpus": 2.0, "mem": 1000.0, "disk": 10.0}
    info = make_agent_info(Settings(**sizes, resources="licences:4;mem:64;ports:[7-8]"), 5051)
    expected = {"cpus": 2000, "mem": 64_000, "disk": 10_000, "licences": 4000}
    assert from_wire(info["resources"]) == Bundle(expected, {"ports": ((7, 8),)})
    assert from_wire(make_agent_info(Settings(**sizes), 5051)["resources"]).ranges == {"ports": ((31000, 32000),)}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_agents_of_one_machine_share_its_ports(count: int):
    """Each port is one agent's, and each agent has as many as the others, or one more."""
    whole = parse_resources("ports:[10-14,20-20,30-47]")
    parts = [divide_ports(whole, which, count).ranges["ports"] for which in range(count)]
    ports = [[port for begin, end in pieces for port in range(begin, end + 1)] for pieces in parts]
    assert sorted(port for part in ports for port in part) == [*range(10, 15), 20, *range(30, 48)]
    assert max(map(len, ports)) - min(map(len, ports)) <= 1
