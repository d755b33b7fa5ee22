"""Pulls of images that attempts wait for: each image once, however many wait for it, and few images at a time.

The engine downloads few layers at a time, all pulls together: what is pulled ahead and waited for by nobody makes room. A pull
runs on a thread of its own: it goes on when the attempt that came first is cancelled, and ends with the last that waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

MOST = 3  # images that are pulled at the same time
LOOK_S = 0.5  # between two looks of an attempt that waits, whether it still wants to
FIRST_TOLD_S, LONGEST_TOLD_S = 2.0, 60.0  # between two words of progress to the scheduler: the longer, the rarer

Pull = Callable[[str], Generator[str, None, None]]  # of a reference: words of progress, until the image is here


@dataclass(slots=True)
class _Pull:
    """One image on its way."""

    reference: str
    text: str  # how far it is
    waiters: int = 0
    done: bool = False
    error: Exception | None = None


class Pulls:
    """The pulls of launches; any thread."""

    def __init__(self, pull: Pull, most: int = MOST) -> None:
        self._pull = pull
        self._most = most
        self._changed = threading.Condition()
        self._pulls: dict[str, _Pull] = {}  # by reference, in the order in which they came

    def wait_for(self, reference: str, on_wait: Callable[[str], None]) -> None:
        """Return when the image is here. Raises what its pull has failed with.

        `on_wait` is called all the while, with news of the progress or with nothing, and may raise.
        """
        with self._changed:
            pull = self._pulls.get(reference)
            if pull is None:
                pull = self._pulls[reference] = _Pull(reference=reference, text=f"pulling {reference}")
                threading.Thread(target=self._run, args=[pull], name="pull", daemon=True).start()
            pull.waiters += 1
        try:
            self._watch(pull, on_wait)
        finally:
            with self._changed:
                pull.waiters -= 1
                if not pull.waiters:
                    self._forget(pull)

    def is_in_the_way(self, reference: str) -> bool:
        """True while a launch waits for another image: this one can wait."""
        with self._changed:
            return any(other != reference for other in self._pulls)

    def _watch(self, pull: _Pull, on_wait: Callable[[str], None]) -> None:
        told, pause_s, tell_at_s = "", FIRST_TOLD_S, 0.0
        while True:
            text, now = pull.text, time.monotonic()
            if text != told and now >= tell_at_s:
                on_wait(text)
                told, tell_at_s, pause_s = text, now + pause_s, min(2 * pause_s, LONGEST_TOLD_S)
            else:
                on_wait("")
            with self._changed:
                if self._changed.wait_for(lambda: pull.done, LOOK_S):
                    break
        if pull.error is not None:
            raise pull.error.with_traceback(None)

    def _run(self, pull: _Pull) -> None:
        try:
            self._await_turn(pull)
            with closing(self._pull(pull.reference)) as progress:
                while pull.waiters and (text := next(progress, None)) is not None:
                    pull.text = text
        except Exception as error:  # raised by everybody who waits
            pull.error = error
        finally:
            with self._changed:
                pull.done = True
                self._forget(pull)

    def _await_turn(self, pull: _Pull) -> None:
        with self._changed:
            if not self._is_its_turn(pull):
                pull.text = f"waiting to pull {pull.reference}: {self._most} other images are being pulled"
            self._changed.wait_for(lambda: self._is_its_turn(pull) or not pull.waiters)

    def _is_its_turn(self, pull: _Pull) -> bool:
        return pull in list(self._pulls.values())[: self._most]

    def _forget(self, pull: _Pull) -> None:
        """It is over, or nobody waits for it: whoever asks for the image next begins anew."""
        if self._pulls.get(pull.reference) is pull:
            del self._pulls[pull.reference]
        self._changed.notify_all()


def describe(reference: str, steps: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What the engine says step by step, in words: how many layers are here, and how many bytes of those under way."""
    progress = _Progress()
    for step in steps:
        progress.take(step)
        yield f"pulling {reference}{progress.text}"


@dataclass(slots=True)
class _Progress:
    layers: dict[str, bool] = field(default_factory=dict)  # id -> is it here?
    bytes: dict[str, tuple[int, int]] = field(default_factory=dict)  # id -> downloaded, of so many
    broken: set[str] = field(default_factory=set)  # ids of those that the engine will try again

    def take(self, step: Mapping[str, Any]) -> None:
        layer, status = str(step.get("id", "")), str(step.get("status", ""))
        if not layer or status.startswith("Pulling from"):
            return
        self.layers[layer] = self.layers.get(layer, False) or status in ("Pull complete", "Already exists")
        if status.startswith("Retrying"):
            self.broken.add(layer)
        else:
            self.broken.discard(layer)
        detail = step.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self.bytes[layer] = (int(detail.get("current", 0)), int(detail["total"]))
        elif status == "Download complete" and layer in self.bytes:
            self.bytes[layer] = (self.bytes[layer][1],) * 2

    @property
    def text(self) -> str:
        if not self.layers:
            return ""
        current, total = (sum(pair[n] for pair in self.bytes.values()) / 2**20 for n in (0, 1))
        downloaded = f", {current:.0f} of {total:.0f} MiB" if total else ""
        broken = f", {len(self.broken)} cut off and tried again" if self.broken else ""
        return f": {sum(self.layers.values())} of {len(self.layers)} layers{downloaded}{broken}"
