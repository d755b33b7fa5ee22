"""Whatever record a master sends: it is an event that the core takes, or it is refused before (MESOS.md part 2, item 1)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.core.events import Event
from scheduler.core.from_mesos import to_agents, to_event
from swath.domain.errors import WireError
from swath.domain.images import ImagesReport
from tests.fixtures.nonsense import json_values, spoiled
from tests.scheduler.world import NOON, World, a_job

ID = {"value": "a1"}
WINDOW = {"start": {"nanoseconds": 1_780_000_000_000_000_000}, "duration": {"nanoseconds": 3_600_000_000_000}}
ATTRIBUTES = [
    {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
    {"name": "level", "type": "SCALAR", "scalar": {"value": 3.0}},
]
RESOURCES = [
    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 4.0}, "role": "*"},
    {"name": "mem", "type": "SCALAR", "scalar": {"value": 8192.0}, "role": "*"},
    {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 2}]}, "role": "*"},
]
DOMAIN = {"fault_domain": {"region": {"name": "ispra"}, "zone": {"name": "a"}}}
OFFER = {
    "id": {"value": "o1"},
    "agent_id": ID,
    "hostname": "node1",
    "url": {"scheme": "http", "address": {"hostname": "node1", "ip": "10.0.0.1", "port": 5051}, "path": "/slave(1)"},
    "resources": RESOURCES,
    "executor_ids": [{"value": "swath-abc"}],
    "attributes": ATTRIBUTES,
    "domain": DOMAIN,
    "unavailability": WINDOW,
}
STATUS = {
    "task_id": {"value": World().running()},  # the same in every world
    "state": "TASK_RUNNING",
    "source": "SOURCE_EXECUTOR",
    "reason": "REASON_RECONCILIATION",
    "message": "words",
    "agent_id": ID,
    "uuid": "dQ==",
    "data": "eyJzYW5kYm94IjoiL3MifQ==",
}
MASTER = {"hostname": "m", "port": 5050, "address": {"ip": "127.0.0.1", "port": 5050}}
HELD = b64encode(ImagesReport(engine=True, processes=False).to_json().encode()).decode()
MESSAGES: list[dict[str, Any]] = [
    {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "f1"}, "master_info": MASTER}},
    {"type": "OFFERS", "offers": {"offers": [OFFER]}},
    {
        "type": "INVERSE_OFFERS",
        "inverse_offers": {
            "inverse_offers": [{"id": {"value": "i1"}, "agent_id": ID, "unavailability": WINDOW}],
        },
    },
    {"type": "RESCIND", "rescind": {"offer_id": {"value": "o1"}}},
    {"type": "UPDATE", "update": {"status": STATUS}},
    {"type": "FAILURE", "failure": {"agent_id": ID, "executor_id": {"value": "swath-abc"}, "status": 9}},
    {"type": "MESSAGE", "message": {"agent_id": ID, "executor_id": {"value": "swath-abc"}, "data": HELD}},
    {"type": "ERROR", "error": {"message": "Framework has been removed"}},
    {"type": "HEARTBEAT"},
    {"type": "DISCONNECTED", "reason": "gone"},
]
AGENT = {
    "agent_info": {"hostname": "node1", "port": 5051, "id": ID, "attributes": ATTRIBUTES, "domain": DOMAIN},
    "active": True,
    "deactivated": False,
    "drain_info": {"state": "DRAINING"},
    "pid": "slave(1)@10.0.0.1:5051",
    "total_resources": RESOURCES,
}
LISTED = {"type": "GET_AGENTS", "get_agents": {"agents": [AGENT], "recovered_agents": [{"id": {"value": "a2"}}]}}
KINDS = [*(message["type"] for message in MESSAGES), "MESSAGE", "NEWS"]

records = (
    json_values
    | st.builds(lambda kind, body: {"type": kind, kind.lower(): body}, st.sampled_from(KINDS), json_values)
    | st.sampled_from(MESSAGES).flatmap(spoiled)
)


def inverse_offers(**fields: Any) -> dict[str, Any]:
    offer = {"id": {"value": "i1"}, "agent_id": ID, "unavailability": WINDOW, **fields}
    return {"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": [offer]}}


def happen(event: Event) -> None:
    """To a core with a running attempt, an offer in hand, and work that only some agents may do; then life goes on."""
    rack = [{"attribute": "rack", "operator": "in", "value": ["r1", "r2"]}]
    world = World()
    world.running(a_job())
    world.submit(a_job("j2", size=3, constraints=rack))
    world.happen(event)
    if world.core.state.connected:
        world.offer().offer("a2", attributes={"rack": "r2"})
    world.list_agents("a1", "a3").advance(60)
    world.store.check_counts()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
def test_each_message_as_it_should_be_is_an_event_that_the_core_takes(message: dict[str, Any]):
    """What the next tests spoil is sound."""
    event = to_event(message)
    assert event is not None
    happen(event)
    happen(to_agents(LISTED, NOON))


@given(record=records)
@example(record={"type": "FAILURE", "failure": {}})
@example(record={"type": {}})
@example(record={"type": "RESCIND", "rescind": {"offer_id": {"value": ["no id"]}}})
@example(record={"type": "UPDATE", "update": {"status": {"task_id": {"value": {}}, "state": "TASK_RUNNING"}}})
@example(record=inverse_offers(id={"value": ["x"]}))
@example(record=inverse_offers(agent_id={"value": ["a1"]}))
def test_any_record_is_an_event_of_the_core_or_is_refused(record: Any):
    """Nothing but WireError comes out of the conversion, which the loop logs, and the core takes whatever else does."""
    if not isinstance(record, dict):
        return
    try:
        event = to_event(record)
    except WireError:
        return
    if event is not None:
        happen(event)


@given(answer=json_values.map(lambda value: {"get_agents": value}) | spoiled(LISTED))
@example(answer={"get_agents": {"agents": [{**AGENT, "agent_info": {"hostname": "n", "id": {"value": ["a1"]}}}]}})
@example(answer={"get_agents": {"recovered_agents": [{"id": {"value": 1}}]}})
def test_any_list_of_agents_is_an_event_of_the_core_or_is_refused(answer: dict[str, Any]):
    """As with records."""
    try:
        event = to_agents(answer, NOON)
    except WireError:
        return
    happen(event)
