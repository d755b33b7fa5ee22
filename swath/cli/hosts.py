"""What the agents of the laptop cluster are called and where they seem to stand, so that constraints can tell them apart."""

from __future__ import annotations

from collections.abc import Iterator

HOST = "laptop"
_ZONES = "ab"
_RACK = 2  # agents


def name_agents(count: int, attributes: str) -> Iterator[tuple[str, str]]:
    """(host name, attributes) of each of `count` agents, in Mesos' own words.

    Zones take turns, and two of a zone share a rack: laptop-1 stands in zone a and rack a1, laptop-2 in b and b1, laptop-3
    in a and a1, laptop-5 in a and a2. What `attributes` says, all agents have instead.
    """
    said = [part.strip() for part in attributes.split(";") if part.strip()]
    names = {part.partition(":")[0].strip() for part in said}
    for index in range(count):
        row, column = divmod(index, len(_ZONES))
        zone = _ZONES[column]
        place = {"region": HOST, "zone": zone, "rack": f"{zone}{row // _RACK + 1}"}
        given = [f"{name}:{value}" for name, value in place.items() if name not in names]
        yield f"{HOST}-{index + 1}", ";".join([*given, *said])
