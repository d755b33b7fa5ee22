"""Whatever bytes or events a stream brings, the reader lives, and the next stream is read (MESOS.md part 2, items 1 and 6)."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scheduler.core.from_mesos import to_event
from tests.fixtures.nonsense import json_values
from tests.wire.driving import Drivers, Watcher
from tests.wire.standin import HEARTBEAT, SUBSCRIBED, StandIn, end, hold

HEAD = b"HTTP/1.1 200 OK\r\nMesos-Stream-Id: s\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "the last"}}}
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

KINDS = [
    "SUBSCRIBED",
    "OFFERS",
    "RESCIND",
    "UPDATE",
    "MESSAGE",
    "FAILURE",
    "ERROR",
    "HEARTBEAT",
    "INVERSE_OFFERS",
    "NEW",
]
events = json_values | st.builds(
    lambda kind, body: {"type": kind, kind.lower(): body}, st.sampled_from(KINDS), json_values
)


class Impatient(Watcher):
    """Lets the driver never wait between two streams."""

    def __init__(self):
        super().__init__()
        self.driver = None

    def on_lost(self, reason):
        self.driver._subscriber.hurry()


class Rig:
    """One stand-in and one driver, whose next stream is whatever an example says."""

    def __init__(self, drivers: Drivers) -> None:
        self.standin = StandIn(hold(LAST))
        impatient = Impatient()
        self.driver, self.recorder, _ = drivers.start(self.standin, observer=impatient)
        impatient.driver = self.driver
        self.recorder.until("SUBSCRIBED")

    def stream(self, behaviour):
        """Let that be the next stream, and wait until the one behind it is subscribed; returns what was heard meanwhile."""
        self.standin.behaviours.clear()
        self.standin.behaviours.extend([behaviour, hold(LAST)])
        self.driver.resubscribe()
        heard = []
        while (event := self.recorder.next()) != LAST:
            heard.append(event)
        return heard


@pytest.fixture
def rig(drivers):
    return Rig(drivers)


def respond_with(data):
    def behave(exchange):
        exchange.wfile.write(data)

    return behave


@SOME
@given(data=st.binary(max_size=300), cut=st.integers(0, len(HEAD)))
@example(data=b"HTTP/1.1 100 Continue\r\n\r\n" * 3, cut=0)
@example(data=b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", cut=0)
@example(data=b'HTTP/1.1 200 OK\r\n\r\n17\n{"type": "ERROR"}\n', cut=0)
@example(data=b"HTTP/1.1 999 \xff\r\n\r\n", cut=0)
@example(data=b"fffffffffffffffffffff\r\n", cut=len(HEAD))
@example(data=b"5\r\n3\n{}}\r\n", cut=len(HEAD))
def test_m10_any_bytes_in_place_of_a_response_or_in_a_stream_end_that_stream_alone(rig, data, cut):
    """Anything behind any part of a good head."""
    rig.stream(respond_with(HEAD[:cut] + data))
    assert rig.driver.connected


@SOME
@given(body=st.binary(max_size=300))
def test_m10_any_bytes_where_records_should_be_end_that_stream_alone(rig, body):
    """In good chunks, after a good SUBSCRIBED."""

    def behave(exchange):
        exchange.open_stream()
        exchange.write_event(SUBSCRIBED)
        exchange.write_chunk(body) if body else None

    assert SUBSCRIBED in rig.stream(behave)
    assert rig.driver.connected


@SOME
@given(records=st.lists(events, max_size=4))
@example(records=[{"type": "SUBSCRIBED"}])
@example(
    records=[{"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "f"}, "heartbeat_interval_seconds": []}}]
)
@example(records=[{"type": "ERROR", "error": "text"}, {"type": ["ERROR"]}, {"type": "FAILURE", "failure": {}}])
@example(records=[{"type": "FAILURE", "failure": {"agent_id": {"value": "a"}}}])
def test_any_record_costs_itself_and_no_other(rig, records):
    """What is an object arrives as it was; behind it comes the next one. Only a SUBSCRIBED of no use ends the stream."""
    heard = rig.stream(end(SUBSCRIBED, *records, HEARTBEAT))
    ours = heard[heard.index(SUBSCRIBED) :]
    useless = [record for record in records if isinstance(record, dict) and record.get("type") == "SUBSCRIBED"]
    if not useless:
        expected = [record for record in records if isinstance(record, dict)]
        assert json.dumps(ours[1 : 2 + len(expected)]) == json.dumps([*expected, HEARTBEAT])
    assert rig.driver.connected


@pytest.mark.parametrize("record", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b'"\xff"', b"\x00" * 9])
def test_a_record_that_no_parser_takes_costs_itself_and_no_other(rig, record):
    """Too deep, too long a number, no UTF-8, no JSON."""

    def behave(exchange):
        exchange.open_stream()
        exchange.write_event(SUBSCRIBED)
        exchange.write_chunk(b"%d\n%b" % (len(record), record))
        exchange.write_event(HEARTBEAT)

    assert rig.stream(behave)[-2:][0] == HEARTBEAT


def test_a_failure_without_a_status_and_any_version_are_taken(drivers):
    """An agent that is lost has none (surprise 10); `1.11.0-rc1` is no number (MESOS.md part 2, item 6)."""
    info = {"id": "m", "ip": 1, "port": 5050, "hostname": "m", "version": "1.11.0-rc1"}
    subscribed = {"type": "SUBSCRIBED", "subscribed": {**SUBSCRIBED["subscribed"], "master_info": info}}
    failure = {"type": "FAILURE", "failure": {"agent_id": {"value": "a"}}}
    driver, recorder, _ = drivers.start(StandIn(hold(subscribed, failure)))
    assert [recorder.next(), recorder.next()] == [subscribed, failure]
    assert to_event(failure).status is None
    assert driver.call({"type": "REVIVE"}).is_sent
