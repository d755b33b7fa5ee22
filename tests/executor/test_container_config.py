"""What the engine is asked for, as JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from executor.places import Places
from executor.runtimes.container import Berth, Site, make_config
from executor.runtimes.port import Assignment
from swath.domain.errors import InvalidInputError
from tests.executor.test_parts import an_order

SITE = Site(
    label="l",
    run="r",
    sandbox=Path("/mnt/mesos/sandbox"),
    host_sandbox=Path("/var/lib/mesos"),
    pids_limit=9,
    open_files=99,
    networks=frozenset({"none", "bridge"}),
    cpus=2,
    ports_address="127.0.0.1",
)
BERTH = Berth(image="sha256:0", user="1000:1000", volumes={})


def an_assignment(**fields: Any) -> Assignment:
    """An attempt of an executor in a container."""
    order = an_order("/outputs", **fields)
    return Assignment(order=order, places=Places.of(order, Path("/mnt/mesos/sandbox")), inputs={})


def test_engine_paths_are_the_machines(tmp_path: Path) -> None:
    """In a container of its own, the executor translates its sandbox; the limits fit the machine."""
    order = an_order("/outputs", resources={"cpus": 64, "mem": 2, "disk": 0, "gpus": 0})
    assignment = Assignment(order=order, places=Places.of(order, Path("/mnt/mesos/sandbox")), inputs={})
    config = make_config(assignment, BERTH, SITE)
    sources = {mount["Target"]: mount["Source"] for mount in config["HostConfig"]["Mounts"]}
    assert sources["/tmp"] == f"/var/lib/mesos/attempts/{order.spec.attempt}/tmp"
    assert sources["/swath/output"] == str(assignment.places.output_dir)
    assert (config["HostConfig"]["NanoCpus"], config["HostConfig"]["Memory"]) == (2 * 10**9, 6 * 2**20)
    assert config["User"] == "1000:1000"


def test_only_what_is_in_the_sandbox_has_another_path_on_the_machine() -> None:
    """A name that begins alike is another directory's."""
    known = {"/mnt/mesos/sandbox": "/var/lib/mesos", "/mnt/mesos/sandbox/a/b": "/var/lib/mesos/a/b"}
    same = ("/mnt/mesos/sandboxes/a", "/mnt/mesos", "/eos/scene")
    assert {path: SITE.to_host(Path(path)) for path in (*known, *same)} == known | {path: path for path in same}


def test_ports_are_published_where_the_image_has_a_network() -> None:
    """The same number inside and outside, on one address of the machine; without a network there is nothing to publish."""
    for network, published in (("bridge", True), ("none", False)):
        order = an_order("/outputs", ports=[31007, 31002], swath_manifest={"network": network})
        assignment = Assignment(order=order, places=Places.of(order, Path("/mnt/mesos/sandbox")), inputs={})
        config = make_config(assignment, BERTH, SITE)
        bindings = {f"{port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}] for port in (31007, 31002)}
        assert config["HostConfig"].get("PortBindings") == (bindings if published else None)
        assert ("ExposedPorts" in config) is published
        assert "PORT0=31007" in config["Env"]


@pytest.mark.parametrize(
    ("length", "fits"), [(128 * 1024 - len("LETTER=") - 1, True), (128 * 1024 - len("LETTER="), False)]
)
def test_a_container_gets_no_variable_that_its_command_cannot_take(length: int, fits: bool) -> None:
    """Up to the kernel's limit a request, beyond it InvalidInputError, which is cause SPEC."""
    order = an_order("/outputs", parameters={"LETTER": "x" * length})
    assignment = Assignment(order=order, places=Places.of(order, Path("/mnt/mesos/sandbox")), inputs={})
    if fits:
        assert make_config(assignment, BERTH, SITE)["Env"]
    else:
        with pytest.raises(InvalidInputError, match="too long for a command"):
            make_config(assignment, BERTH, SITE)


@pytest.mark.parametrize("network", ["none", "bridge", "host"])
def test_a_site_says_which_networks_images_may_have(network: str) -> None:
    """One that asks for another is refused, with what may be had; the machine's own network publishes nothing."""
    assignment = an_assignment(ports=[31007], swath_manifest={"network": network})
    config = make_config(assignment, BERTH, replace(SITE, networks=frozenset({network})))
    assert config["HostConfig"]["NetworkMode"] == network
    assert ("PortBindings" in config["HostConfig"]) is (network == "bridge")
    with pytest.raises(InvalidInputError, match=f"{network} is not allowed to images here, only other"):
        make_config(assignment, BERTH, replace(SITE, networks=frozenset({"other"})))


def test_gpus_are_asked_for_one_by_one() -> None:
    """By their numbers on the machine, which a label keeps from other containers; none where none were asked for."""
    config = make_config(an_assignment(), replace(BERTH, gpus=(1, 3)), SITE)
    (request,) = config["HostConfig"]["DeviceRequests"]
    assert (request["DeviceIDs"], request["Capabilities"]) == (["1", "3"], [["gpu"]])
    assert config["Labels"]["swath.gpus"] == "1,3"
    assert "DeviceRequests" not in make_config(an_assignment(), BERTH, SITE)["HostConfig"]


def test_a_volume_of_the_image_is_a_directory_of_the_attempt() -> None:
    """Nothing is written that nobody measures, and no volume of the engine's is left."""
    places = an_assignment().places
    own = places.attempt_dir / "volumes" / "0"
    config = make_config(an_assignment(), replace(BERTH, volumes={"/data": own}), SITE)
    sources = {mount["Target"]: mount["Source"] for mount in config["HostConfig"]["Mounts"]}
    assert sources["/data"] == f"/var/lib/mesos/attempts/{own.parent.parent.name}/volumes/0"


def test_only_the_manifests_health_check_counts() -> None:
    """The image's own is switched off; times are the engine's nanoseconds."""
    assert make_config(an_assignment(), BERTH, SITE)["Healthcheck"] == {"Test": ["NONE"]}
    health = {"command": ["probe", "a b"], "interval_s": 2, "retries": 5}
    config = make_config(an_assignment(swath_manifest={"health": health}), BERTH, SITE)
    assert config["Healthcheck"] == {
        "Test": ["CMD", "probe", "a b"],
        "Interval": 2 * 10**9,
        "Timeout": 10 * 10**9,
        "StartPeriod": 0,
        "Retries": 5,
    }
