"""`python -m scheduler`: settings from the environment, one process until SIGTERM or SIGINT."""

from __future__ import annotations

import signal
import sys
from contextlib import closing
from types import FrameType

from pydantic import ValidationError

from scheduler import collector, logs
from scheduler.http import make_app, serve
from scheduler.metrics import Metrics
from scheduler.program import Scheduler
from scheduler.settings import Settings
from swath.domain.complaints import to_settings

EXIT_USAGE = 2


def main() -> int:
    """Run until told to stop; returns the exit code."""
    try:
        settings = Settings()  # type: ignore[call-arg]  # the environment gives the arguments
    except ValidationError as error:
        sys.stderr.write("\n".join(to_settings(error.errors(), "scheduler")) + "\n")
        return EXIT_USAGE
    logs.configure(settings.log_format)
    collector.relax()
    metrics = Metrics()
    scheduler = Scheduler(settings, metrics)

    def on_signal(number: int, frame: FrameType | None) -> None:
        scheduler.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    if not settings.http_port:
        return scheduler.run()
    try:
        server = serve(settings.http_port, make_app(metrics.registry, metrics.readiness.check))
    except OSError as error:
        sys.stderr.write(f"scheduler: port {settings.http_port}: {error}\n")
        return EXIT_USAGE
    with closing(server.socket):
        return scheduler.run()


if __name__ == "__main__":
    sys.exit(main())
