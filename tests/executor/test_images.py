"""What an executor decides about images: when to look, what to tell, what to pull ahead."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from executor.core import Core, Limits
from executor.events import (
    Effect,
    Event,
    Exit,
    ImagesSeen,
    Launch,
    Look,
    Moment,
    Prefetch,
    Pull,
    Pulled,
    Started,
    Subscribed,
    Tell,
)
from executor.images import AGAIN_S, LOOK_S, MOST_QUEUED, SOON_S
from executor.messages import to_event
from executor.runtimes.shelf import concerns_us, to_layers
from swath.domain.attempts import ImageSource
from swath.domain.images import HeldImage, ImagesReport, PrefetchOrder
from swath.domain.manifest import LABEL
from tests.executor.build import a_manifest, a_spec

EMPTY = ImagesReport(engine=True, processes=False)


def a_report(*names: str) -> ImagesReport:
    images = tuple(HeldImage(names=(name,), size=1) for name in names)
    return ImagesReport(engine=True, processes=False, images=images)


class Clockwork:
    """A core with a clock that moves when it is told."""

    def __init__(self, idle_s: float = 1e6) -> None:
        self.clock_s = 1000.0
        limits = Limits(idle_s=idle_s, shutdown_grace_s=10, staging_s=1800, publishing_s=900)
        self.core = Core(limits=limits, now=self.now)

    @property
    def now(self) -> Moment:
        return Moment(clock_s=self.clock_s, at=datetime(2026, 1, 1, tzinfo=UTC))

    def handle(self, event: Event) -> list[Effect]:
        return self.core.handle(event, self.now)

    def after(self, seconds: float) -> list[Effect]:
        """What is done at a tick that much later; the core has not asked for a longer pause."""
        due_s = self.core.next_tick_s(self.now)
        effects = self.core.on_tick(self.now) if due_s <= 0 else []
        assert effects == []
        self.clock_s += seconds
        effects = self.core.on_tick(self.now)
        assert not effects or due_s <= seconds
        return effects

    def subscribe(self, *names: str) -> Clockwork:
        """Subscribed, and these images were seen."""
        assert self.handle(Subscribed()) == [Look()]
        report = a_report(*names)
        assert self.handle(ImagesSeen(report=report)) == [Tell(report=report)]
        return self

    def start(self, **image: Any) -> list[Effect]:
        """An attempt's container starts; what is done beside telling so."""
        source = ImageSource(name="ndvi", version="1.0.0", **image)
        spec = a_spec(a_manifest("true"), "/outputs", image=source)
        self.handle(Launch(task_id=spec.attempt, data=spec.to_json().encode()))
        return self.handle(Started(attempt=spec.attempt, sandbox="/s", runtime="docker"))[1:]


def test_what_is_here_is_told_at_every_subscription_and_every_few_minutes() -> None:
    """A MESSAGE may be lost, and images come and go by other hands."""
    clockwork = Clockwork().subscribe("a").subscribe("a", "b")
    assert clockwork.after(LOOK_S - 1) == []
    assert clockwork.after(1) == [Look()]
    assert clockwork.handle(ImagesSeen(report=EMPTY)) == [Tell(report=EMPTY)]


def test_one_look_at_a_time() -> None:
    """What comes while an engine takes its time is looked for once more, once."""
    clockwork = Clockwork()
    assert clockwork.handle(Subscribed()) == [Look()]
    assert clockwork.handle(Subscribed()) + clockwork.handle(Subscribed()) == []
    assert clockwork.handle(ImagesSeen(report=EMPTY)) == [Tell(report=EMPTY), Look()]
    assert clockwork.handle(ImagesSeen(report=EMPTY)) == [Tell(report=EMPTY)]


def test_a_look_that_failed_tells_nothing() -> None:
    """The next one comes soon."""
    clockwork = Clockwork()
    clockwork.handle(Subscribed())
    assert clockwork.handle(ImagesSeen(report=None)) == []
    assert clockwork.after(AGAIN_S - 1) == []
    assert clockwork.after(1) == [Look()]


def test_an_image_that_a_launch_brought_is_told() -> None:
    """Soon, and not for every attempt; one that was seen before is no news."""
    clockwork = Clockwork().subscribe("seen")
    assert clockwork.start(image_id="seen") == clockwork.start(reference="seen") == []
    clockwork.clock_s += SOON_S
    assert clockwork.start(reference="new") == [Look()]
    assert clockwork.start(reference="newer") == []
    clockwork.handle(ImagesSeen(report=EMPTY))
    clockwork.clock_s += SOON_S
    assert Look() in clockwork.core.on_tick(clockwork.now)


def test_an_image_is_pulled_ahead_and_told() -> None:
    """Asked for once, or twice while it is under way."""
    clockwork = Clockwork().subscribe()
    assert clockwork.handle(Prefetch(reference="a")) == [Pull(reference="a")]
    assert clockwork.handle(Prefetch(reference="a")) == []
    assert clockwork.handle(Pulled(reference="a")) == [Look()]
    assert clockwork.handle(ImagesSeen(report=a_report("a"))) == [Tell(report=a_report("a"))]


def test_an_image_that_is_here_is_told_again_instead_of_pulled() -> None:
    """Whoever asks for it has not heard of it."""
    clockwork = Clockwork().subscribe("a")
    assert clockwork.handle(Prefetch(reference="a")) == []
    assert clockwork.after(SOON_S) == [Look()]


def test_one_image_is_pulled_at_a_time_and_few_wait() -> None:
    """In order; what is asked for beyond that is forgotten."""
    clockwork = Clockwork().subscribe()
    effects = [effect for n in range(2 * MOST_QUEUED) for effect in clockwork.handle(Prefetch(reference=f"i{n}"))]
    assert effects == [Pull(reference="i0")]
    pulled = []
    while pulls := [effect for effect in effects if isinstance(effect, Pull)]:
        pulled += [pull.reference for pull in pulls]
        effects = clockwork.handle(Pulled(reference=pulls[0].reference, problem="no such image"))
    assert pulled == [f"i{n}" for n in range(MOST_QUEUED + 1)]
    assert effects == []  # a failure is no news of what is here


def test_an_image_that_made_room_for_a_launch_has_another_turn() -> None:
    """After a while, before those behind it."""
    clockwork = Clockwork().subscribe()
    clockwork.handle(Prefetch(reference="a"))
    clockwork.handle(Prefetch(reference="b"))
    assert clockwork.handle(Pulled(reference="a", postponed=True)) == []
    assert clockwork.handle(Prefetch(reference="c")) == []
    assert clockwork.after(AGAIN_S - 1) == []
    assert clockwork.after(1) == [Pull(reference="a")]
    assert clockwork.handle(Pulled(reference="a")) == [Look(), Pull(reference="b")]


def test_what_is_pulled_ahead_keeps_no_idle_executor() -> None:
    """It holds its resources: it ends when it has had no task for long."""
    clockwork = Clockwork(idle_s=600).subscribe()
    clockwork.handle(Prefetch(reference="a"))
    clockwork.clock_s += 600
    assert any(isinstance(effect, Exit) for effect in clockwork.core.on_tick(clockwork.now))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"\xff", b'{"kind": "prefetch", "reference": 7}', b'{"kind": "greeting"}', EMPTY.to_json().encode()],
)
def test_a_message_that_means_nothing_here_is_passed_by(data: bytes) -> None:
    """Nonsense, what a newer scheduler says, and what only executors say."""
    assert to_event({"type": "MESSAGE", "message": {"data": base64.b64encode(data).decode()}}) is None
    assert to_event({"type": "MESSAGE", "message": {}}) is None


def test_the_schedulers_message_is_an_event() -> None:
    """With the image's reference."""
    data = PrefetchOrder(reference="registry/a@sha256:1").to_json().encode()
    message = {"type": "MESSAGE", "message": {"data": base64.b64encode(data).decode()}}
    assert to_event(message) == Prefetch(reference="registry/a@sha256:1")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"Labels": {LABEL: "{}"}, "RepoTags": ["a:1"], "RepoDigests": None}, True),
        ({"Labels": None, "RepoTags": None, "RepoDigests": ["r/a@sha256:1"]}, True),
        ({"Labels": {}, "RepoTags": ["<none>:<none>"], "RepoDigests": ["r/a@sha256:1"]}, True),
        ({"Labels": {}, "RepoTags": ["a:1"], "RepoDigests": ["r/a@sha256:1"]}, False),
        ({"Labels": {"other": "x"}, "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}, False),
        ({}, False),
    ],
)
def test_images_of_ours_are_told_from_others(entry: dict[str, Any], expected: bool) -> None:
    """By their Seed manifest, or as pulled by a digest alone; the engine's words for nothing are many."""
    assert concerns_us(entry) is expected


def test_layers_have_the_sizes_that_the_history_tells() -> None:
    """Oldest first, as the layers are; where it does not tell of each, they share the image's size."""
    image = {"Size": 40, "RootFS": {"Layers": ["sha256:" + "a" * 64, "sha256:" + "b" * 64]}}
    steps = [{"Size": 10}, {"Size": 0}, {"Size": 30}]
    assert to_layers(image, steps) == {"a" * 16: 30, "b" * 16: 10}
    assert to_layers(image, steps[:1]) == {"a" * 16: 20, "b" * 16: 20}
    assert to_layers({"Size": 0, "RootFS": {}}, []) == {}


@pytest.mark.parametrize("prefix", ["/bin/sh -c #(nop) ", ""])
def test_an_empty_layer_is_told_from_a_step_that_leaves_none(prefix: str) -> None:
    """WORKDIR makes a directory; USER, LABEL and the like change the configuration."""
    image = {"Size": 40, "RootFS": {"Layers": ["sha256:" + "a" * 64, "sha256:" + "b" * 64, "sha256:" + "c" * 64]}}
    words = ["LABEL a=b", "COPY dir in /app", "USER 10001", "WORKDIR /app", "ENV A=B"]
    steps = [{"Size": 0, "CreatedBy": prefix + text} for text in words] + [{"Size": 30, "CreatedBy": ""}]
    steps[1]["Size"] = 10
    assert to_layers(image, steps) == {"a" * 16: 30, "b" * 16: 0, "c" * 16: 10}
