"""What reports say of moments and of exit codes. Pure."""

from __future__ import annotations

import signal

from executor.events import Moment


def to_rfc3339(now: Moment) -> str:
    """The time as JSON has it, to the millisecond."""
    return now.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_exit_message(exit_code: int) -> str:
    """What an exit code without a name in the manifest says."""
    if 128 < exit_code < 128 + signal.NSIG:
        try:
            return f"ended by {signal.Signals(exit_code - 128).name} (exit code {exit_code})"
        except ValueError:
            return f"ended by signal {exit_code - 128} (exit code {exit_code})"
    return f"ended with exit code {exit_code}"
