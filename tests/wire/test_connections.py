"""What surrounds the drivers: TLS, back-off, many open files, and an import of pymesos that leaves no trace."""

import os
import resource
import subprocess
import sys

import pytest

from swath.wire.backoff import Backoff
from swath.wire.calls import make_framework_info, make_revive
from swath.wire.scheduler import SchedulerDriver
from tests.fixtures.machine import skip_or_fail
from tests.wire.standin import SUBSCRIBED, Recorder, StandIn, hold

INFO = make_framework_info(user="eo", name="swath", role="swath")


def test_m10_back_off_doubles_with_jitter_up_to_its_bound():
    """From 50 to 100 ms, never beyond 15 s, and anew after a reset (M10)."""
    least, most = Backoff(random=lambda: 0.0), Backoff(random=lambda: 1.0)
    assert [least.draw_s() for _ in range(3)] == [0.05, 0.1, 0.2]
    assert [most.draw_s() for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0]
    most.reset()
    assert most.draw_s() == 0.1
    assert (least.draw_longest_s(), most.draw_longest_s()) == (7.5, 15.0)
    assert Backoff(longest_s=0.02, random=lambda: 1.0).draw_s() == 0.02


def test_more_than_1024_open_files_are_no_limit():
    """There is no select() in the way (MESOS.md part 2, item 7)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        skip_or_fail("this machine allows fewer than 2,048 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    standin, recorder = StandIn(hold(SUBSCRIBED)), Recorder()
    driver = SchedulerDriver(on_event=recorder, framework_info=INFO, masters=standin.address)
    try:
        driver.start()
        recorder.until("SUBSCRIBED")
        assert driver.call(make_revive()).is_sent
        assert driver.call(make_revive()).is_sent
    finally:
        driver.stop()
        standin.close()
        driver.join(5)
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


IMPORT = """
import logging, signal, sys, threading
before = signal.getsignal(signal.SIGINT)
failures = []
def load():
    try:
        import swath.wire.scheduler, swath.wire.executor
    except BaseException as error:
        failures.append(error)
if sys.argv[1] == "thread":
    thread = threading.Thread(target=load); thread.start(); thread.join()
else:
    load()
assert not failures, failures
assert signal.getsignal(signal.SIGINT) is before
assert signal.signal.__module__ == "signal"
assert logging.getLogger("pymesos").handlers == []
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_importing_the_wire_leaves_sigint_and_logging_alone(where):
    """On the main thread and off it (MESOS.md part 2, item 8)."""
    subprocess.run([sys.executable, "-W", "error", "-c", IMPORT, where], check=True)
