"""Programs that block, each on a thread of its own, of which one runs at any time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Killed(BaseException):
    """kill -9: no `except Exception` sees it."""


class Fibers:
    """Whoever blocks carries the time on, on its own thread, until somebody is to go on: threads change hands only then."""

    def __init__(self, step: Callable[[], bool]) -> None:
        """`step` lets the next thing happen; False when that is enough, and the main program is to go on."""
        self._step = step
        self._ready: deque[Fiber | None] = deque()  # None: the main program
        self._main = threading.Lock()
        self._main.acquire()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """On the main thread: let things happen until `step` says that it is enough. Raises what any of them raised."""
        if (fiber := self._next()) is not None:
            fiber.go()
            self._main.acquire()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def end(self) -> None:
        """Let those go on that are to, and nothing else happen any more."""
        self._step = lambda: False
        self.run()

    def make_ready(self, fiber: Fiber) -> None:
        """It is to go on once the present thing has happened."""
        self._ready.append(fiber)

    def carry_on(self, me: Fiber) -> None:
        """On a fiber's thread: until it is to go on itself."""
        if (fiber := self._next()) is not me:
            self._hand_over(fiber)
            if not me.ended:
                me.wait()

    def fail(self, error: BaseException) -> None:
        """Have the main program raise it."""
        self._failure = error
        self._ready.appendleft(None)

    def _hand_over(self, fiber: Fiber | None) -> None:
        if fiber is None:
            self._main.release()
        else:
            fiber.go()

    def _next(self) -> Fiber | None:
        while not self._ready:
            try:
                if not self._step():
                    return None
            except BaseException as error:
                self._failure = error
                return None
        return self._ready.popleft()


class Fiber:
    """One program."""

    def __init__(self, fibers: Fibers, run: Callable[[], None], name: str) -> None:
        self._fibers = fibers
        self._run = run
        self._turn = threading.Lock()
        self._turn.acquire()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self.ended = False

    def resume(self, error: BaseException | None = None) -> None:
        """Let it go on, or begin; `error` is raised where it had blocked."""
        if not self.ended:
            self._error = error
            self._fibers.make_ready(self)

    def block(self) -> None:
        """On its own thread: until it is resumed."""
        self._fibers.carry_on(self)
        self._check()

    def go(self) -> None:
        """Hand the turn over to it."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._turn.release()

    def wait(self) -> None:
        """On its own thread: for its turn."""
        self._turn.acquire()

    def _check(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _main(self) -> None:
        try:
            self._check()
            self._run()
        except Killed:
            pass
        except BaseException as error:
            self._fibers.fail(error)
        self.ended = True
        self._fibers.carry_on(self)
