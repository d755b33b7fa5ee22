"""`python -m executor`: started by a Mesos agent."""

from __future__ import annotations

import logging
import os
import sys

from executor.guardian import Charge, start_guardian
from executor.settings import Settings


def main() -> int:
    """Run the executor with the agent's environment; its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings.from_environ(os.environ)
    except ValueError as error:
        print(f"executor: {error}", file=sys.stderr)  # noqa: T201 - before anything else works
        return 2
    settings.sandbox.mkdir(parents=True, exist_ok=True)
    guard = start_guardian(Charge.of(settings))
    # Imported only now: the guardian is a copy of this process and is to stay small.
    from executor.program import run
    from swath.wire.executor import ExecutorDriver

    return run(settings, lambda on_event: ExecutorDriver(on_event=on_event, environ=os.environ), guard)


if __name__ == "__main__":
    sys.exit(main())
