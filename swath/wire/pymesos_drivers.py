"""The only door to pymesos: its import without its side effects.

At import pymesos installs a SIGINT handler, which raises ValueError off the main thread, and a log handler on stderr.
Swath wants neither: the first is refused while the import runs, the second is taken off again.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_importing = threading.Lock()


@contextmanager
def _without_signal_handlers_of_pymesos() -> Iterator[None]:
    """Other code's calls of `signal.signal` go through meanwhile; pymesos is answered as if its handler stood."""
    install = signal.signal

    def refuse_pymesos(number: int, handler: Any) -> Any:
        if getattr(handler, "__module__", None) == "pymesos.process":
            return signal.getsignal(number)
        return install(number, handler)

    signal.signal = refuse_pymesos  # type: ignore[assignment]  # only while the import below runs
    try:
        yield
    finally:
        signal.signal = install


with _importing, _without_signal_handlers_of_pymesos():
    from pymesos import MesosExecutorDriver, MesosSchedulerDriver
    from pymesos.process import Process
    from pymesos.utils import parse_duration

for _handler in list(logging.getLogger("pymesos").handlers):
    logging.getLogger("pymesos").removeHandler(_handler)

__all__ = ["MesosExecutorDriver", "MesosSchedulerDriver", "Process", "parse_duration"]
