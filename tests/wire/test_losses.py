"""Every way to lose a master, or never to get one: a back-off with jitter, and the driver comes back (M9, M10)."""

import socket
import struct
import threading

import pytest

from swath.wire.endpoints import Endpoint
from tests.wire.certificates import Authority
from tests.wire.standin import HEARTBEAT, SUBSCRIBED, Recorder, StandIn, answer, cut, end, hold, replay, write

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nMesos-Stream-Id: s\r\n\r\n"
ERROR = {"type": "ERROR", "error": {"message": "Framework failed over"}}
QUICK = {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "f-1"}, "heartbeat_interval_seconds": 0.004}}


def reset(exchange):
    """What a crashed host's kernel says."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.connection.close()


def say_nothing(exchange):
    exchange.server.standin.released.wait()


class Jitter(Recorder):
    """A source of chance that always says the least, and keeps count of who asks."""

    def __call__(self):
        super().__call__("asked")
        return 0.0


LOSSES = {
    "reset": reset,
    "EOF": write(b""),
    "500": answer(500),
    "502 of a proxy": answer(502, "<html>"),
    "503": answer(503, "Master has not finished recovery"),
    "400": answer(400, "no"),
    "no answer": say_nothing,
    "garbage for HTTP": write(b"\x00\xff garbage\r\n\r\n"),
    "garbage for a chunk": replay(HEAD + b"zz\r\n"),
    "garbage for a record": replay(HEAD + b"5\r\nhello\r\n"),
    "cut": cut(SUBSCRIBED),
    "ended": end(SUBSCRIBED, HEARTBEAT),
    "no heartbeat": hold(QUICK),
    "no SUBSCRIBED": hold(HEARTBEAT, SUBSCRIBED),
    "no framework id": hold({"type": "SUBSCRIBED", "subscribed": {}}),
    "redirect into nothing": answer(307, Location="//127.0.0.1:1/api/v1/scheduler"),
    "redirect to nowhere": answer(307),
}


@pytest.mark.parametrize("behaviour", LOSSES.values(), ids=LOSSES)
def test_m10_each_loss_is_followed_by_a_wait_with_jitter_and_another_subscribe(drivers, behaviour):
    """Three times the same loss, a draw of chance for each, then a master that serves."""
    jitter = Jitter()
    last = {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "the last"}}}
    standin = StandIn(behaviour, behaviour, behaviour, hold(last))
    driver, recorder, watcher = drivers.start(standin, random=jitter, timeout_s=0.1)
    for _ in range(3):
        assert watcher.losses.next()
        assert jitter.next()
    while recorder.until("SUBSCRIBED") != last:
        pass
    assert driver.connected


@pytest.mark.parametrize("masters", ["127.0.0.1:1", "no-such-host.invalid", "a..b", "[::1]:1"])
def test_m10_where_nobody_listens_each_attempt_waits_with_jitter(drivers, masters):
    """Refused, unknown to the DNS, no name at all, IPv6."""
    jitter = Jitter()
    _, _, watcher = drivers.start(masters=masters, random=jitter)
    assert all(watcher.losses.next() and jitter.next() for _ in range(3))


def test_m10_a_refused_certificate_waits_with_jitter(drivers, tmp_path):
    """TLS failures are losses like others."""
    ours, theirs, jitter = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs"), Jitter()
    standin = StandIn(hold(SUBSCRIBED), tls=theirs.serve(theirs.sign("master")))
    _, _, watcher = drivers.start(standin, tls=ours.options(), random=jitter)
    assert all(watcher.losses.next() and jitter.next() for _ in range(3))


def test_m10_a_redirect_loop_waits_with_jitter(drivers):
    """Five redirects in a row are followed at once; the sixth is a loop."""
    standin, jitter = StandIn(), Jitter()
    standin.behaviours.append(answer(307, Location=f"//{standin.address}/"))
    drivers.start(standin, random=jitter)
    assert jitter.next()
    before = len(standin.subscribes)
    assert jitter.next()
    assert before >= 6
    assert len(standin.subscribes) >= 12


@pytest.mark.parametrize(
    "behaviour", [answer(401), answer(403, "no entry"), end(SUBSCRIBED, ERROR)], ids=["401", "403", "ERROR"]
)
def test_m12_what_trying_again_does_not_mend_waits_long_and_with_jitter(drivers, behaviour):
    """Between half of the longest wait and all of it: one SUBSCRIBE, one draw, and the driver waits."""
    jitter, standin = Jitter(), StandIn(behaviour)
    driver, _, _ = drivers.start(standin, random=jitter)
    assert jitter.next()
    assert driver._subscriber._wakeup.wait(0.1) is False
    assert len(standin.subscribes) == 1


def test_m05_who_hurried_before_an_error_does_not_cut_the_wait_behind_it(drivers):
    """A wish to subscribe at once that came while the stream was open is no answer to its ERROR."""

    def behave(exchange):
        exchange.open_stream()
        exchange.write_event(SUBSCRIBED)
        may_end.wait(5)
        exchange.write_event(ERROR)
        exchange.wfile.write(b"0\r\n\r\n")

    may_end, jitter, standin = threading.Event(), Jitter(), StandIn(behave)
    driver, recorder, _ = drivers.start(standin, random=jitter)
    recorder.until("SUBSCRIBED")
    driver._subscriber.hurry()
    may_end.set()
    assert jitter.next()
    assert driver._subscriber._wakeup.wait(0.1) is False
    assert len(standin.subscribes) == 1


def test_m05_who_hurries_after_an_error_is_heard(drivers):
    """As after the reset that registers anew: the long wait is over before it began."""
    standin = StandIn(end(SUBSCRIBED, ERROR), hold(SUBSCRIBED))

    def on_event(event):
        recorder(event)
        if event == ERROR:
            driver.resubscribe()

    recorder = Recorder()
    driver, _, _ = drivers.start(standin, on_event=on_event)
    assert [recorder.next()["type"] for _ in range(4)] == ["SUBSCRIBED", "ERROR", "DISCONNECTED", "SUBSCRIBED"]


def test_m10_a_wish_for_the_stream_that_was_opened_since_does_not_cut_the_wait_behind_its_loss(drivers):
    """Hurried while the SUBSCRIBE was under way, or told again of the leader that the stream comes from."""

    def behave(exchange):
        driver._subscriber.hurry()
        exchange.open_stream()
        exchange.write_event(SUBSCRIBED)
        may_end.wait(5)
        exchange.wfile.write(b"0\r\n\r\n")

    may_end, may_begin, standin = threading.Event(), threading.Event(), StandIn(behave)
    driver, recorder, watcher = drivers.start(standin, first_backoff_s=10.0, may_subscribe=may_begin.wait)
    may_begin.set()
    recorder.until("SUBSCRIBED")
    driver._subscriber._on_new_leader(Endpoint(standin.host, standin.port))
    may_end.set()
    watcher.losses.next()
    assert driver._subscriber._wakeup.wait(0.1) is False
    assert len(standin.subscribes) == 1


def test_m09_the_watchdog_counts_bytes_and_not_events(drivers):
    """A record that takes longer to arrive than five heartbeats keeps the stream: bytes come all the while."""
    half_a_second = {
        "type": "SUBSCRIBED",
        "subscribed": {"framework_id": {"value": "f"}, "heartbeat_interval_seconds": 0.1},
    }
    offers = b'{"type":"OFFERS","offers":{"offers":[' + b" " * 400 + b"]}}"

    def trickle(exchange):
        exchange.open_stream()
        exchange.write_event(half_a_second)
        record = b"%d\n%b" % (len(offers), offers)
        for start in range(0, len(record), 30):
            exchange.write_chunk(record[start : start + 30])
            exchange.server.standin.released.wait(0.06)
        exchange.write_event(SUBSCRIBED)  # with the usual interval: this stream stays
        exchange.server.standin.released.wait()

    standin = StandIn(trickle)
    _, recorder, _ = drivers.start(standin)
    kinds = [recorder.next()["type"] for _ in range(3)]
    assert kinds == ["SUBSCRIBED", "OFFERS", "SUBSCRIBED"]
    assert len(standin.subscribes) == 1


@pytest.mark.parametrize("interval", [None, 0, -1, "15", 1e300, float("nan"), [], True])
def test_m09_an_interval_that_no_clock_could_keep_is_read_as_mesos_own(drivers, interval):
    """The watchdog has 15 s, or what a number between 0 and an hour says."""
    event = {
        "type": "SUBSCRIBED",
        "subscribed": {"framework_id": {"value": "f"}, "heartbeat_interval_seconds": interval},
    }
    driver, recorder, _ = drivers.start(StandIn(hold(event)))
    recorder.until("SUBSCRIBED")
    assert driver.heartbeat_interval_s == (1.0 if interval is True else 15.0)
    assert driver.connected


def test_a_driver_says_when_it_heard_of_its_master(drivers):
    """None before and after; seconds by its own clock in between."""
    now = [100.0]
    standin = StandIn(hold(SUBSCRIBED))
    driver, recorder, watcher = drivers.start(standin, clock=lambda: now[0])
    recorder.until("SUBSCRIBED")
    assert driver.last_heard_s == 0.0
    now[0] = 107.5
    assert driver.last_heard_s == 7.5
    driver.stop()
    driver.join(5)
    assert driver.last_heard_s is None
    assert watcher.subscriptions == 1
