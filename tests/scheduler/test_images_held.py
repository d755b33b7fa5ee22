"""What agents hold, as far as their executors have said so."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.events import Prefetch
from executor.messages import to_event as executor_to_event
from scheduler.core import events as ev
from scheduler.core import images_held
from scheduler.core.from_mesos import to_event
from scheduler.core.images_held import PROCESS, key_of, shares_of
from swath.domain.changes import PutImages
from swath.domain.errors import WireError
from swath.domain.images import HeldImage, ImagesReport, PrefetchOrder
from tests.scheduler.world import IMAGE, World, a_job

ID = "sha256:" + "a" * 64
NDVI = replace(IMAGE, name="ndvi", reference=f"registry/ndvi@{ID}", context=None)
BASE, MIDDLE, TOP = ("0" * 15 + digit for digit in "123")


def an_image(name: str = str(NDVI.reference), **layers: int) -> HeldImage:
    return HeldImage(names=(ID, name), size=100, layers=layers)


def a_layered(name: str, *layers: str) -> HeldImage:
    """An image of these layers, whose sizes are 70, 20 and 10."""
    sizes = {BASE: 70, MIDDLE: 20, TOP: 10}
    return HeldImage(names=(name,), size=100, layers={layer: sizes[layer] for layer in layers})


def a_message(said: bytes, **changed: Any) -> dict[str, Any]:
    """An executor's MESSAGE, as the master passes it on (transcript 01)."""
    told = {"agent_id": {"value": "a1"}, "executor_id": {"value": "e1"}, "data": b64encode(said).decode()}
    return {"type": "MESSAGE", "message": {**told, **changed}}


def test_an_executors_message_becomes_an_event():
    """With the agent and the executor that it came from."""
    report = ImagesReport(engine=True, processes=False, images=(an_image(),))
    event = to_event(a_message(report.to_json().encode()))
    assert event == ev.ImagesHeld(agent_id="a1", executor_id="e1", report=report)


@pytest.mark.parametrize("direction", ["sched", "exec"])
def test_recorded_messages_have_the_form_that_is_read(transcripts_folder: Path, direction: str):
    """01: both ways, with what is ours in the place of what the recorder's programs said, which is nothing to us."""
    lines = (transcripts_folder / "01-custom-executor-basics" / f"{direction}-stream.jsonl").read_text().splitlines()
    recorded = [event for line in lines if (event := json.loads(line).get("event", {})).get("type") == "MESSAGE"]
    report, order = ImagesReport(engine=True, processes=False), PrefetchOrder(reference="registry/ndvi")
    for event in recorded:
        if direction == "exec":
            assert executor_to_event(event) is None
            event["message"]["data"] = b64encode(order.to_json().encode()).decode()
            assert executor_to_event(event) == Prefetch(reference="registry/ndvi")
        else:
            with pytest.raises(WireError):
                to_event(event)
            event["message"]["data"] = b64encode(report.to_json().encode()).decode()
            heard = to_event(event)
            assert isinstance(heard, ev.ImagesHeld)
            assert (heard.executor_id, heard.report) == ("ex-1", report)
    assert recorded


def test_a_message_of_a_newer_executor_means_nothing():
    """Neither an event nor an error."""
    assert to_event(a_message(b'{"kind": "mood", "version": 3}')) is None


@pytest.mark.parametrize(
    "message",
    [
        *(
            a_message(b"\xff"),
            a_message(b"{}"),
            a_message(b"x" * 100_000),
            a_message(b'{"kind": "images", "images": 7}'),
        ),
        *(
            a_message(b"{}", data="?"),
            a_message(b"{}", data=7),
            {"type": "MESSAGE", "message": {}},
            {"type": "MESSAGE"},
        ),
        a_message(ImagesReport(engine=True, processes=True).to_json().encode(), agent_id={"value": ["a1"]}),
    ],
)
def test_garbage_in_a_message_is_a_wire_error(message: dict[str, Any]):
    """Whatever a task has written to the agent's port: logged, and passed by."""
    with pytest.raises(WireError):
        to_event(message)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_no_json_in_a_message_raises_anything_but_a_wire_error(value: Any):
    """In the place of each field in turn."""
    report = json.loads(ImagesReport(engine=True, processes=False, images=(an_image(),)).to_json())
    for name in report:
        try:
            to_event(a_message(json.dumps({**report, name: value}).encode()))
        except WireError:
            continue


def test_an_agent_holds_what_its_executor_says():
    """By id, by reference; what is gone from the next report is gone. An unchanged report writes nothing."""
    world = World().subscribe().list_agents("a1", "a2").hold(an_image())
    agents = world.core.state.agents
    assert (key_of(NDVI) in agents["a1"].images, ID in agents["a1"].images, agents["a1"].has_engine) == (True,) * 3
    assert agents["a2"].images == frozenset()
    assert [change.agent_id for change in world.written(PutImages)] == ["a1"]
    assert world.hold(an_image()).written(PutImages) == []
    assert world.hold().core.state.agents["a1"].images == frozenset()
    assert len(world.written(PutImages)) == 1


def test_a_build_context_is_held_wherever_processes_run():
    """It has nothing to be pulled."""
    world = World().subscribe().list_agents("a1", "a2").hold(engine=False, processes=True).hold(agent="a2")
    assert key_of(IMAGE) == PROCESS
    assert dict(shares_of(world.core.state, IMAGE)) == {"a1": 1.0}


def test_what_is_held_outlives_the_scheduler():
    """Read back from the database, layers included; what another version has written there is passed by."""
    held = a_layered(str(NDVI.reference), BASE, TOP)
    world = World().subscribe().list_agents("a1", "a2").hold(held).hold(held, agent="a2")
    world.store.images["a2"] = {"images": "all of them"}
    state = world.restart().core.state
    assert dict(shares_of(state, NDVI)) == {"a1": 1.0}
    assert state.agents["a1"].layers == {BASE, TOP}


def test_a_word_about_an_agent_that_nobody_knows_is_passed_by():
    """It comes again, when the agent may be known."""
    world = World().subscribe().hold(an_image(), agent="a9")
    assert world.core.state.agents == {}
    assert world.written(PutImages) == []


def test_shared_layers_count_by_their_bytes():
    """Of which layers an image is made tells the first agent that holds it; until then nobody is said to hold a part."""
    world = World().subscribe().list_agents("a1", "a2", "a3")
    world.hold(a_layered("registry/other", BASE, MIDDLE), agent="a2")
    assert dict(shares_of(world.core.state, NDVI)) == {}
    world.hold(a_layered(str(NDVI.reference), BASE, MIDDLE, TOP))
    assert dict(shares_of(world.core.state, NDVI)) == {"a1": 1.0, "a2": 0.9}
    world.hold(a_layered("registry/third", TOP), agent="a3").hold(agent="a1")
    assert dict(shares_of(world.core.state, NDVI)) == {"a2": 0.9, "a3": 0.1}
    assert dict(shares_of(world.list_agents("a3").core.state, NDVI)) == {"a3": 0.1}


LAYERS = st.lists(st.sampled_from([BASE, MIDDLE, TOP]), unique=True, max_size=3)
NAMES = ("registry/a", "registry/b", str(NDVI.reference))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.sampled_from(["a1", "a2"]), st.lists(st.sampled_from(NAMES), unique=True)),
        st.tuples(st.just("list"), st.sampled_from([("a1",), ("a1", "a2"), ("a2",)])),
        st.tuples(st.just("ask"), st.sampled_from(NAMES)),
        st.tuples(st.just("restart")),
    ),
    max_size=12,
)


@given(STEPS, st.fixed_dictionaries(dict.fromkeys(NAMES, LAYERS)))
def test_shares_that_are_kept_up_are_those_that_a_new_count_gives(steps: list[tuple], layers: dict[str, list[str]]):
    """Whatever was said and asked for in whatever order."""
    world = World().subscribe().list_agents("a1", "a2")
    for step in steps:
        match step:
            case ("hold", agent, names):
                world.hold(*(a_layered(name, *layers[name]) for name in names), agent=agent)
            case ("list", agents):
                world.list_agents(*agents)
            case ("ask", name):
                shares_of(world.core.state, replace(NDVI, reference=name))
            case ("restart",):
                world.restart().subscribe()
    state = world.core.state
    kept = {name: dict(shares_of(state, replace(NDVI, reference=name))) for name in NAMES}
    state.holdings.shares.clear()
    assert kept == {name: dict(shares_of(state, replace(NDVI, reference=name))) for name in NAMES}


def test_nobody_can_fill_the_memory_with_names(monkeypatch: pytest.MonkeyPatch):
    """What was learned of images, and the shares of those asked for, stay below their bounds."""
    monkeypatch.setattr(images_held, "_MOST_LEARNED", 20)
    monkeypatch.setattr(images_held, "_MOST_WANTED", 5)
    monkeypatch.setattr(images_held, "_MOST_SETS", 7)
    world = World().subscribe().list_agents("a1")
    for number in range(100):
        world.hold(a_layered(f"registry/{number}", BASE))
        shares_of(world.core.state, replace(NDVI, reference=f"registry/{number}"))
    holdings = world.core.state.holdings
    assert (len(holdings.learned), len(holdings.shares)) == (20, 5)
    assert len(holdings.sets) <= 7


@pytest.mark.parametrize("holder", ["a1", "a2", "a3"])
def test_a_task_starts_where_its_image_is(holder: str):
    """Of three agents that are alike, on the one that needs no pull; else on the one that needs the smallest."""
    others = [name for name in ("a1", "a2", "a3") if name != holder]
    world = World().subscribe().list_agents("a1", "a2", "a3")
    world.hold(a_layered(str(NDVI.reference), BASE, MIDDLE, TOP), agent=holder)
    world.hold(a_layered("registry/base", BASE), agent=others[0])
    world.submit(replace(a_job(cpus=3), image=NDVI))
    world.happen(ev.Offered(offers=tuple(world.an_offer(name) for name in ("a1", "a2", "a3"))))
    assert [attempt.agent_id for attempt in world.launched()] == [holder]
    world.submit(replace(a_job("j2", cpus=3), image=NDVI))
    world.happen(ev.Offered(offers=tuple(world.an_offer(name) for name in others)))
    assert [attempt.agent_id for attempt in world.launched()] == [holder, others[0]]
