"""Pulls that attempts wait for, without an engine: who pulls, who waits, what is told."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest

from executor.runtimes.pulls import Pulls, describe
from executor.runtimes.refusals import FullError, PassingError, to_error
from executor.staging import StartError
from swath.domain.retries import Cause
from tests.executor.agent import PATIENCE_S, wait_until


class Quay:
    """Images that arrive when the test says so."""

    def __init__(self) -> None:
        self.pulls = Pulls(self._pull, most=2)
        self.begun: list[str] = []
        self.stopped: list[str] = []
        self._arrived: dict[str, threading.Event] = {}
        self._errors: dict[str, Exception] = {}

    def arrive(self, reference: str, error: Exception | None = None) -> None:
        if error is not None:
            self._errors[reference] = error
        self._arrived.setdefault(reference, threading.Event()).set()

    def _pull(self, reference: str) -> Generator[str, None, None]:
        self.begun.append(reference)
        try:
            while not self._arrived.setdefault(reference, threading.Event()).wait(0.01):
                yield f"{reference} is on its way"
            if reference in self._errors:
                raise self._errors[reference]
        except GeneratorExit:
            self.stopped.append(reference)
            raise


class Waiter:
    """An attempt that waits for an image."""

    def __init__(self, quay: Quay, reference: str) -> None:
        self.said: list[str] = []
        self.gives_up = False
        self.outcome: object = None
        self._quay, self._reference = quay, reference
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        wait_until(lambda: self.said, "it waits")

    def end(self) -> object:
        self._thread.join(PATIENCE_S)
        return self.outcome

    def _wait(self) -> None:
        try:
            self._quay.pulls.wait_for(self._reference, self._hear)
            self.outcome = "here"
        except Exception as error:
            self.outcome = error

    def _hear(self, text: str) -> None:
        if text:
            self.said.append(text)
        if self.gives_up:
            raise InterruptedError


@pytest.fixture
def quay() -> Quay:
    """A quay at which nothing has arrived."""
    return Quay()


def test_an_image_is_pulled_once_however_many_wait(quay: Quay) -> None:
    """All are told of it, and all hear why it failed."""
    waiters = [Waiter(quay, "a") for _ in range(5)]
    assert all(waiter.said[0].startswith("pulling a") or "on its way" in waiter.said[0] for waiter in waiters)
    quay.arrive("a")
    assert [waiter.end() for waiter in waiters] == ["here"] * 5
    assert quay.begun == ["a"]
    first, second = Waiter(quay, "b"), Waiter(quay, "b")
    quay.arrive("b", StartError(Cause.IMAGE, "no"))
    assert [str(waiter.end()) for waiter in (first, second)] == ["no", "no"]


def test_few_images_are_pulled_at_a_time(quay: Quay) -> None:
    """The third waits, and says for what; it has its turn when another one is through."""
    first, second = Waiter(quay, "a"), Waiter(quay, "b")
    wait_until(lambda: quay.begun == ["a", "b"], "two are under way")
    third = Waiter(quay, "c")
    wait_until(lambda: "waiting to pull c: 2 other images are being pulled" in third.said, "it says so")
    assert quay.begun == ["a", "b"]
    quay.arrive("b")
    assert second.end() == "here"
    wait_until(lambda: quay.begun == ["a", "b", "c"], "it has its turn")
    quay.arrive("a")
    quay.arrive("c")
    assert (first.end(), third.end()) == ("here", "here")


def test_a_pull_goes_on_without_who_began_it_and_ends_with_the_last(quay: Quay) -> None:
    """A cancelled attempt takes nothing from those that wait beside it; once none is left the engine is told to stop."""
    first, second = Waiter(quay, "a"), Waiter(quay, "a")
    first.gives_up = True
    assert isinstance(first.end(), InterruptedError)
    assert quay.stopped == []
    second.gives_up = True
    assert isinstance(second.end(), InterruptedError)
    wait_until(lambda: quay.stopped == ["a"], "it is stopped")
    again = Waiter(quay, "a")
    quay.arrive("a")
    assert again.end() == "here"


def test_what_is_pulled_ahead_is_in_the_way_of_other_images_only(quay: Quay) -> None:
    """While a launch waits for one; a launch of the same image is helped by it."""
    waiter = Waiter(quay, "a")
    assert (quay.pulls.is_in_the_way("a"), quay.pulls.is_in_the_way("b")) == (False, True)
    quay.arrive("a")
    waiter.end()
    assert not quay.pulls.is_in_the_way("b")


def step(layer: str, status: str, *progress: int) -> dict[str, Any]:
    """A line of the engine's."""
    detail = dict(zip(("current", "total"), progress, strict=False))
    return {"id": layer, "status": status, "progressDetail": detail}


def test_progress_is_told_in_layers_and_bytes() -> None:
    """Those that are here already count as layers, and were not downloaded."""
    mib = 2**20
    steps = [
        *(step("1", "Pulling from ndvi"), step("a", "Already exists"), step("b", "Pulling fs layer")),
        *(step("b", "Downloading", 10 * mib, 40 * mib), step("b", "Retrying in 5 seconds")),
        *(step("b", "Download complete"), step("b", "Pull complete")),
        {"status": "Digest: sha256:0"},
    ]
    assert list(describe("r", steps)) == [
        "pulling r",
        "pulling r: 1 of 1 layers",
        "pulling r: 1 of 2 layers",
        "pulling r: 1 of 2 layers, 10 of 40 MiB",
        "pulling r: 1 of 2 layers, 10 of 40 MiB, 1 cut off and tried again",
        "pulling r: 1 of 2 layers, 40 of 40 MiB",
        "pulling r: 2 of 2 layers, 40 of 40 MiB",
        "pulling r: 2 of 2 layers, 40 of 40 MiB",
    ]


@pytest.mark.parametrize(
    ("said", "kind", "cause", "words"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", FullError, Cause.AGENT, "engine is full"),
        ("unauthorized: authentication required", StartError, Cause.IMAGE, "SWATH_REGISTRY_CONFIG"),
        ("pull access denied for x, repository does not exist", StartError, Cause.IMAGE, "SWATH_REGISTRY_CONFIG"),
        ("manifest for x@sha256:0 not found: manifest unknown", StartError, Cause.IMAGE, "does not have it"),
        ("no matching manifest for linux/amd64 in the manifest list entries", StartError, Cause.IMAGE, "platform"),
        (
            "filesystem layer verification failed for digest sha256:0",
            StartError,
            Cause.IMAGE,
            "not what its digest says",
        ),
        ("expected HTTP 206 from byte range request", StartError, Cause.IMAGE, "cut off"),
        ("unexpected EOF", StartError, Cause.IMAGE, "cut off"),
        ("toomanyrequests: slow down", PassingError, Cause.IMAGE, "less requests"),
        ('Get "http://r/v2/": dial tcp: connect: connection refused', PassingError, Cause.IMAGE, "does not answer"),
        ("received unexpected HTTP status: 503 Service Unavailable", PassingError, Cause.IMAGE, "is in trouble"),
        ("something new", StartError, Cause.IMAGE, "something new"),
    ],
)
def test_the_engines_words_have_a_cause(said: str, kind: type[StartError], cause: Cause, words: str) -> None:
    """Whose trouble it is, whether it passes, and what there is to do; the engine's own words stay."""
    error = to_error("r", said)
    assert (type(error), error.cause) == (kind, cause)
    assert words in str(error)
    assert said in str(error)
