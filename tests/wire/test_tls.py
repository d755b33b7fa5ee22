"""TLS with a real server that demands a client's certificate: stream, calls and queries, and every refusal (M13)."""

import json
import re

import pytest

from swath.wire.calls import make_accept, make_framework_info, make_revive
from swath.wire.endpoints import Credential
from swath.wire.scheduler import SchedulerDriver
from tests.wire.certificates import Authority
from tests.wire.standin import SUBSCRIBED, Recorder, StandIn, hold

INFO = make_framework_info(user="eo", name="swath", role="swath")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Who signs the master and the scheduler."""
    return Authority(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture(scope="module")
def server(authority):
    """The master's certificate, for 127.0.0.1."""
    return authority.sign("master")


@pytest.fixture
def master(authority, server):
    """start(context) -> a stand-in that speaks TLS, or plain where it is None; by default a demanding one."""
    opened, demanding = [], authority.serve(server, demands_certificate=True)

    def start(context=demanding):
        opened.append(StandIn(hold(SUBSCRIBED), tls=context))
        return opened[-1]

    yield start
    for standin in opened:
        standin.close()


@pytest.fixture
def drive():
    """drive(standin, tls) -> (driver, recorder, reasons of losses), ended with the test."""
    opened = []

    def start(standin, tls, **options):
        recorder, losses = Recorder(), Losses()
        driver = SchedulerDriver(
            on_event=recorder,
            framework_info=INFO,
            masters=standin.address,
            tls=tls,
            observer=losses,
            first_backoff_s=0.002,
            **options,
        )
        opened.append(driver)
        driver.start()
        return driver, recorder, losses

    yield start
    for driver in opened:
        driver.stop()
        driver.join(5)
        assert not driver._subscriber.is_alive


class Losses(Recorder):
    """An observer that keeps the reasons of losses."""

    def on_call(self, kind, outcome, seconds):
        """Not of interest here."""

    def on_subscribed(self):
        """Not of interest here."""

    def on_lost(self, reason):
        self(reason)


def test_m13_stream_calls_and_queries_show_a_certificate_to_a_master_that_demands_one(authority, master, drive):
    """SUBSCRIBED, calls one after the other over one connection, an operator's query; and the credential with all of them."""
    standin = master()
    standin.answer = lambda message: (200, json.dumps({"type": message["type"]}))
    tls = authority.options(authority.sign("scheduler"))
    driver, recorder, _ = drive(standin, tls, credential=Credential(principal="eo", secret="s"))
    recorder.until("SUBSCRIBED")
    calls = [make_revive(), make_accept(["o"], []), make_revive()]
    assert all(driver.call(call).is_sent for call in calls)
    assert len({connection for _, _, connection in standin.calls}) == 1
    assert driver.query({"type": "GET_AGENTS"})[1] == {"type": "GET_AGENTS"}
    headers = [standin.subscribes[0][0], *(headers for headers, _, _ in standin.calls)]
    assert {header["authorization"] for header in headers} == {"Basic ZW86cw=="}


def test_m13_a_server_without_demands_is_enough_with_its_authority(authority, server, master, drive):
    """The chain is verified against the given file alone, and no certificate of ours is needed."""
    driver, recorder, _ = drive(master(authority.serve(server)), authority.options())
    recorder.until("SUBSCRIBED")
    assert driver.call(make_revive()).is_sent


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("no certificate", "(?i)certificate"),
        ("expired certificate", "(?i)certificate"),
        ("a stranger's certificate", "certificate|unknown ca"),
        ("wrong authority", "CERTIFICATE_VERIFY_FAILED"),
        ("system's authorities", "CERTIFICATE_VERIFY_FAILED"),
        ("wrong host name", "certificate is not valid for '127.0.0.1'"),
        ("expired master", "certificate has expired"),
        ("plain master", "SSL"),
    ],
)
def test_m13_a_refusal_of_either_side_is_a_loss_with_its_reason_and_tried_again(
    case, reason, authority, server, master, drive, tmp_path
):
    """No SUBSCRIBE, hence no credential, reaches the wrong one; the reader lives, and says why again and again."""
    demanding = authority.serve(server, demands_certificate=True)
    context, tls = {
        "no certificate": lambda: (demanding, authority.options()),
        "expired certificate": lambda: (demanding, authority.options(authority.sign("late", days=-1))),
        "a stranger's certificate": lambda: (
            demanding,
            authority.options(Authority(tmp_path / "theirs").sign("stranger")),
        ),
        "wrong authority": lambda: (demanding, Authority(tmp_path / "theirs").options()),
        "system's authorities": lambda: (demanding, type(authority.options())()),
        "wrong host name": lambda: (
            authority.serve(authority.sign("elsewhere", alternative="DNS:elsewhere.example")),
            authority.options(),
        ),
        "expired master": lambda: (authority.serve(authority.sign("old", days=-1)), authority.options()),
        "plain master": lambda: (None, authority.options()),
    }[case]()
    standin = master(context)
    driver, _, losses = drive(standin, tls, credential=Credential(principal="eo", secret="s"))
    for _ in range(3):
        assert re.search(reason, losses.next())
    assert driver._subscriber.is_alive
    assert standin.subscribes == []
    assert not driver.connected


def test_m13_a_certificate_without_addresses_is_taken_where_names_are_not_verified(authority, master, drive):
    """`verify_hostname` off: the chain is verified all the same."""
    pair = authority.sign("nameless", alternative="DNS:elsewhere.example")
    _, recorder, _ = drive(master(authority.serve(pair)), authority.options(verify_hostname=False))
    recorder.until("SUBSCRIBED")


def test_m13_a_certificate_that_expires_while_we_run_ends_nothing_but_the_stream(authority, server, master, drive):
    """The master comes back with a bad certificate, then with a good one: two losses, then SUBSCRIBED again."""
    first = master(authority.serve(server))
    driver, recorder, losses = drive(first, authority.options())
    recorder.until("SUBSCRIBED")
    port = first.port
    first.close()
    losses.next()
    bad = StandIn(hold(SUBSCRIBED), port=port, tls=authority.serve(authority.sign("expired", days=-1)))
    while "expired" not in losses.next():
        pass
    bad.close()
    good = StandIn(hold(SUBSCRIBED), port=port, tls=authority.serve(server))
    try:
        recorder.until("SUBSCRIBED")
        assert driver.call(make_revive()).is_sent
    finally:
        driver.stop()
        good.close()


def test_m13_a_certificate_that_was_renewed_on_disk_serves_without_a_restart(authority, master, drive, tmp_path):
    """Refused while it has run out or is being written; the next attempt after that shows the new one."""
    standin, pair = master(), authority.sign("renewed", days=-1)
    driver, recorder, losses = drive(standin, authority.options(pair))
    losses.next()
    pair.certificate.write_text("half of a certificate")
    losses.next()
    authority.sign("renewed")
    recorder.until("SUBSCRIBED")
    assert driver.call(make_revive()).is_sent
