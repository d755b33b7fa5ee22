"""`python -m scheduler`: settings from the environment, one process until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from prometheus_client import start_http_server
from pydantic import ValidationError

from scheduler import logs
from scheduler.metrics import Metrics
from scheduler.program import Scheduler
from scheduler.settings import Settings

EXIT_USAGE = 2


def main() -> int:
    """Run until told to stop; returns the exit code."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # the environment gives the arguments
    except ValidationError as error:
        sys.stderr.write(f"scheduler: {error}\n")
        return EXIT_USAGE
    logs.configure(settings.log_format)
    metrics = Metrics()
    scheduler = Scheduler(settings, metrics)

    def on_signal(number: int, frame: FrameType | None) -> None:
        scheduler.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if settings.http_port:
        start_http_server(settings.http_port, addr="127.0.0.1", registry=metrics.registry)
    return scheduler.run()


if __name__ == "__main__":
    sys.exit(main())
