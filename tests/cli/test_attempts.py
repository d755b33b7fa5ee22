"""What `swath show JOB TASK` says of attempts."""

from __future__ import annotations

from swath.cli.attempts import _used


def test_what_an_attempt_used_is_told_in_a_line() -> None:
    """What was measured and is more than nothing, small amounts to a digit; nothing where nobody has looked."""
    usage = {"wall_s": 9.0, "cpu_s": 7.25, "max_mem": 312.4, "mean_mem": 9.96, "read_mib": 0.0, "written_mib": 12.0}
    assert _used(usage) == "7.2 s cpu, 312 MiB peak, 10.0 MiB mean, 12 MiB written"
    assert _used({"wall_s": 0.3}) is None
