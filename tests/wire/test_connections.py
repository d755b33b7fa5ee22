"""What surrounds the drivers: TLS, back-off, many open files, and an import of pymesos that leaves no trace."""

import os
import resource
import shutil
import ssl
import subprocess
import sys

import pytest

from swath.wire.backoff import Backoff
from swath.wire.calls import make_framework_info, make_revive
from swath.wire.endpoints import TlsOptions
from swath.wire.scheduler import SchedulerDriver
from tests.fixtures.machine import skip_or_fail
from tests.wire.standin import SUBSCRIBED, Recorder, StandIn, hold

INFO = make_framework_info(user="eo", name="swath", role="swath")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate, key) files of a server on 127.0.0.1 that is its own authority."""
    if not shutil.which("openssl"):
        skip_or_fail("openssl is absent: apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(["openssl", "req", "-x509", *options, *names], check=True, capture_output=True)
    return files


@pytest.fixture
def tls_standin(certificate):
    """A stand-in that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    standin = StandIn(hold(SUBSCRIBED), tls=context)
    yield standin
    standin.close()


def test_stream_and_calls_go_over_tls_with_a_known_authority(tls_standin, certificate):
    """M13: the chain is verified against the given file, and the reader can still be stopped."""
    recorder = Recorder()
    tls = TlsOptions(ca_file=str(certificate[0]))
    driver = SchedulerDriver(on_event=recorder, framework_info=INFO, masters=tls_standin.address, tls=tls)
    driver.start()
    recorder.until("SUBSCRIBED")
    assert [result.is_sent for result in driver.calls([make_revive()] * 3)] == [True] * 3
    assert len({connection for _, _, connection in tls_standin.calls}) == 1
    driver.stop()
    driver.join(5)
    assert not driver._subscriber.is_alive


def test_an_unknown_authority_is_refused(tls_standin):
    """No SUBSCRIBE, hence no credential, reaches a master that cannot prove who it is."""
    driver = SchedulerDriver(on_event=print, framework_info=INFO, masters=tls_standin.address, tls=TlsOptions())
    loss = driver._subscriber._attempt()
    assert "CERTIFICATE_VERIFY_FAILED" in loss.reason
    assert tls_standin.subscribes == []


def test_back_off_doubles_with_jitter_up_to_its_bound():
    """From 50 to 100 ms, never beyond 15 s, and anew after a reset (M10)."""
    least, most = Backoff(random=lambda: 0.0), Backoff(random=lambda: 1.0)
    assert [least.draw_s() for _ in range(3)] == [0.05, 0.1, 0.2]
    assert [most.draw_s() for _ in range(9)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0]
    most.reset()
    assert most.draw_s() == 0.1
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
