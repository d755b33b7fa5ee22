"""The scheduler's subscription against a real HTTP server that breaks in every way a master can."""

import json
import socket
import threading

import pytest

from swath.wire import calls
from swath.wire.channel import Outcome
from swath.wire.endpoints import Credential
from tests.wire.driving import INFO, KILL
from tests.wire.standin import HEARTBEAT, SUBSCRIBED, Recorder, StandIn, answer, cut, end, hold, replay, write


def test_a_recorded_stream_arrives_event_by_event(cluster, transcripts_folder):
    """Real bytes of a real master give its events, in order; calls then carry its ids."""
    scenario = transcripts_folder / "01-custom-executor-basics"
    lines = [json.loads(line) for line in (scenario / "sched-stream.jsonl").read_text().splitlines()]
    events = [line["event"] for line in lines if "event" in line]
    standin, driver, recorder = cluster(replay((scenario / "sched-stream-1.raw").read_bytes()))
    assert [recorder.next() for _ in events] == events
    # The recorded stream ends with TEARDOWN's 0-chunk, so the driver is about to subscribe again, with the recorded id.
    standin.wait_until(lambda: len(standin.subscribes) > 1)
    framework_id = events[0]["subscribed"]["framework_id"]
    again = standin.subscribes[1][1]
    assert again["framework_id"] == again["subscribe"]["framework_info"]["id"] == framework_id
    assert driver.framework_id == framework_id["value"]


def test_m08_a_subscribe_has_no_stream_id_and_the_headers_that_mesos_wants(cluster):
    """JSON both ways without a charset, credentials, and no stream id."""
    standin, _, recorder = cluster(hold(SUBSCRIBED), credential=Credential(principal="eo", secret="s:ecret"))
    recorder.until("SUBSCRIBED")
    headers, message = standin.subscribes[0]
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["authorization"] == "Basic ZW86czplY3JldA=="
    assert "mesos-stream-id" not in headers
    assert message == calls.make_subscribe(INFO)


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (end(SUBSCRIBED, HEARTBEAT), "ended by the other side"),
        (cut(SUBSCRIBED, HEARTBEAT), "broke off"),
        (replay(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "broke off"),
    ],
    ids=["0-chunk", "cut", "no chunk"],
)
def test_m10_after_a_lost_stream_comes_the_next(cluster, loss, reason):
    """DISCONNECTED with a reason, then a new SUBSCRIBED."""
    _, driver, recorder = cluster(loss, hold(SUBSCRIBED))
    assert reason in recorder.until("DISCONNECTED")["reason"]
    recorder.until("SUBSCRIBED")
    assert driver.call(KILL).is_sent


@pytest.mark.parametrize(
    "failure",
    [
        answer(503, "Master has not finished recovery"),
        answer(500, "failed to decode body"),
        write(b""),
        write(b"\x00\xff garbage\r\n\r\n"),
        answer(307, Location="//127.0.0.1:1/api/v1/scheduler"),
        answer(307, Location="nonsense"),
        answer(307),
    ],
    ids=["503", "500", "EOF", "garbage", "redirect into nothing", "bad Location", "no Location"],
)
def test_m10_no_answer_to_subscribe_ends_the_driver(cluster, failure):
    """Whatever the master says the first times, the driver asks again."""
    _, driver, recorder = cluster(failure, failure, failure, hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    assert driver.call(KILL).is_sent


def test_m10_a_master_that_is_not_there_yet_is_found_when_it_comes(cluster):
    """Refused connections are waited out."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    _, driver, recorder = cluster(answer(503), masters=f"127.0.0.1:{port}")
    late = StandIn(hold(SUBSCRIBED), port=port)
    try:
        recorder.until("SUBSCRIBED")
    finally:
        driver.stop()
        late.close()


@pytest.mark.parametrize("masters", ["no-such-host.invalid:5050", "127.0.0.1:1", "[::1]:1", "a..b:1"])
def test_m10_a_name_that_leads_nowhere_does_not_end_the_reader(cluster, masters):
    """DNS errors, refusals and IPv6 addresses: the reader lives and tries on."""
    _, driver, _ = cluster(hold(), masters=masters)
    assert driver._subscriber.is_alive
    driver.resubscribe()
    assert driver._subscriber.is_alive


def test_m11_a_redirect_is_followed_with_a_location_without_scheme(cluster):
    """307 to `//host:port/path`: the leader gets the SUBSCRIBE and the calls (M11)."""
    leader = StandIn(hold(SUBSCRIBED))
    try:
        standin, driver, recorder = cluster(answer(307, Location=f"//{leader.address}/api/v1/scheduler"))
        recorder.until("SUBSCRIBED")
        assert driver.call(KILL).is_sent
        assert (len(standin.subscribes), len(leader.calls)) == (1, 1)
    finally:
        leader.close()


def test_m10_a_redirect_loop_is_left_with_a_pause(cluster):
    """Two masters that point at each other get few SUBSCRIBEs, and the driver comes out when one of them leads."""
    standin = StandIn()
    loop = answer(307, Location=f"//{standin.address}/")
    standin.behaviours.extend([loop] * 8 + [hold(SUBSCRIBED)])
    _, _, recorder = cluster(standin=standin)
    recorder.until("SUBSCRIBED")
    assert len(standin.subscribes) == 9


def test_m11_the_next_of_a_list_is_tried_when_one_is_dead(cluster):
    """A comma list of masters."""
    standin = StandIn(hold(SUBSCRIBED))
    _, _, recorder = cluster(standin=standin, masters=f"127.0.0.1:1, {standin.address}")
    recorder.until("SUBSCRIBED")


def test_m09_five_silent_heartbeat_intervals_end_the_stream(cluster):
    """A half-open connection is noticed by the interval that SUBSCRIBED announced (M9)."""
    quick = {"type": "SUBSCRIBED", "subscribed": {"framework_id": {"value": "f-1"}, "heartbeat_interval_seconds": 0.02}}
    _, _, recorder = cluster(hold(quick), hold(SUBSCRIBED))
    assert "too long" in recorder.until("DISCONNECTED")["reason"]
    recorder.until("SUBSCRIBED")


@pytest.mark.parametrize("status", [401, 403])
def test_m12_a_lack_of_rights_is_loud_and_slow(cluster, status):
    """DISCONNECTED with the status, then the longest pause instead of a hail of SUBSCRIBEs (M12)."""
    standin, driver, recorder = cluster(answer(status, "no entry"), hold(SUBSCRIBED))
    assert f"{status}" in recorder.until("DISCONNECTED")["reason"]
    assert driver._subscriber._wakeup.wait(0.1) is False
    assert len(standin.subscribes) == 1
    driver.resubscribe()
    recorder.until("SUBSCRIBED")


def test_m12_a_bad_subscribe_is_surfaced(cluster):
    """400: Mesos' text reaches the consumer."""
    _, _, recorder = cluster(answer(400, "'framework_id' differs"))
    assert "'framework_id' differs" in recorder.until("DISCONNECTED")["reason"]


def test_m05_an_error_event_is_passed_on_and_not_fought(cluster):
    """After "Framework failed over" the driver waits; the consumer steps down meanwhile (M5)."""
    error = {"type": "ERROR", "error": {"message": "Framework failed over"}}
    standin, driver, recorder = cluster(end(SUBSCRIBED, error), hold(SUBSCRIBED))
    assert recorder.until("ERROR") == error
    recorder.until("DISCONNECTED")
    assert driver._subscriber._wakeup.wait(0.1) is False
    assert len(standin.subscribes) == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug in the consumer"), SystemExit(1), RecursionError()])
def test_a_callback_that_raises_costs_its_event_only(cluster, error):
    """The next events arrive, on the same stream (MESOS.md part 2, item 1)."""
    recorder = Recorder()

    def on_event(event):
        recorder(event)
        raise error

    standin, driver, _ = cluster(hold(SUBSCRIBED, HEARTBEAT, HEARTBEAT), on_event=on_event)
    assert [recorder.next()["type"] for _ in range(3)] == ["SUBSCRIBED", "HEARTBEAT", "HEARTBEAT"]
    assert driver.call(KILL).is_sent
    assert len(standin.subscribes) == 1


def test_an_event_that_makes_no_sense_is_skipped(cluster):
    """Not an object, no type, no JSON: the stream goes on."""

    def behave(exchange):
        exchange.open_stream()
        exchange.write_event(SUBSCRIBED)
        exchange.write_event([1])
        exchange.write_chunk(b"3\n{]}")
        exchange.write_event({"type": "NOVELTY"})
        exchange.server.standin.released.wait()

    _, _, recorder = cluster(behave)
    assert [recorder.next()["type"] for _ in range(2)] == ["SUBSCRIBED", "NOVELTY"]


def test_m39_a_master_whose_capacity_is_exceeded_is_left_alone_for_a_while(cluster):
    """Rate limits end the subscription with an ERROR (framework-rate-limiting.md): the driver waits long."""
    error = {"type": "ERROR", "error": {"message": "Message scheduler::Call dropped: capacity(10) exceeded"}}
    standin, driver, recorder = cluster(end(SUBSCRIBED, error), hold(SUBSCRIBED))
    assert recorder.until("ERROR") == error
    recorder.until("DISCONNECTED")
    assert driver._subscriber._wakeup.wait(0.1) is False
    assert len(standin.subscribes) == 1


def test_m04_stopping_says_nothing_to_mesos(cluster):
    """The stream ends and the framework stays: no TEARDOWN, whatever `failover` says (M4)."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    driver.stop(failover=False)
    driver.join(5)
    assert not driver._subscriber.is_alive
    assert standin.calls == []
    assert driver.call(KILL).outcome is Outcome.NOT_CONNECTED


def test_m01_a_known_id_and_suppressed_roles_go_into_the_next_subscribe(cluster):
    """What the consumer sets, also None to register anew."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    driver.set_framework_id("f-2")
    driver.suppressed = ("swath",)
    driver.resubscribe()
    standin.wait_until(lambda: len(standin.subscribes) == 2)
    second = standin.subscribes[1][1]
    assert second["framework_id"] == {"value": "f-2"}
    assert second["subscribe"]["suppressed_roles"] == ["swath"]
    driver.set_framework_id(None)
    assert "framework_id" not in driver.make_subscribe()


def test_two_drivers_of_a_process_share_nothing(cluster):
    """Credentials and stream ids stay where they belong (MESOS.md part 2, item 5)."""
    _, _, first = cluster(hold(SUBSCRIBED), credential=Credential(principal="a", secret="b"))
    plain, driver, second = cluster(hold(SUBSCRIBED))
    first.until("SUBSCRIBED")
    second.until("SUBSCRIBED")
    driver.call(KILL)
    assert "authorization" not in plain.calls[0][0]
    assert "authorization" not in plain.subscribes[0][0]


def test_m06_a_driver_that_may_not_subscribe_stays_away(cluster):
    """The newest SUBSCRIBE wins, so a former leader whose stream is gone sends none; as a leader again it does."""
    answers = iter([True, False, False])
    denied, leads = threading.Semaphore(0), threading.Event()

    def may_subscribe():
        may = next(answers, leads.is_set())
        if not may:
            denied.release()
        return may

    standin, driver, recorder = cluster(end(SUBSCRIBED), hold(SUBSCRIBED), may_subscribe=may_subscribe)
    recorder.until("DISCONNECTED")
    for _ in range(3):
        assert denied.acquire(timeout=5)
    assert len(standin.subscribes) == 1
    assert driver.call(KILL).outcome is Outcome.NOT_CONNECTED
    leads.set()
    recorder.until("SUBSCRIBED")
    assert len(standin.subscribes) == 2
