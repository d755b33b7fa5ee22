"""The scheduler's driver against a real HTTP server that breaks in every way a master can."""

import json
import socket
import threading

import pytest

from scheduler.inbox import Inbox
from swath.wire import calls
from swath.wire.channel import Outcome
from swath.wire.endpoints import Credential
from swath.wire.scheduler import SchedulerDriver
from tests.wire.driving import Watcher
from tests.wire.standin import HEARTBEAT, SUBSCRIBED, Recorder, StandIn, answer, cut, end, hold, replay, write

INFO = calls.make_framework_info(user="eo", name="swath", role="swath")
KILL = calls.make_kill("t1", "a1")


@pytest.fixture
def cluster():
    """start(*behaviours, **options) -> (stand-in, driver, recorder), all ended with the test."""
    opened = []

    def start(*behaviours, on_event=None, masters=None, standin=None, **options):
        standin = standin or StandIn(*behaviours)
        recorder = Recorder()
        options = {"first_backoff_s": 0.002, "framework_info": INFO} | options
        driver = SchedulerDriver(on_event=on_event or recorder, masters=masters or standin.address, **options)
        opened.append((standin, driver))
        driver.start()
        return standin, driver, recorder

    yield start
    for standin, driver in opened:
        driver.stop()
        standin.close()
        driver.join(5)


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


def test_m8_a_subscribe_has_no_stream_id_and_the_headers_that_mesos_wants(cluster):
    """JSON both ways without a charset, credentials, and no stream id."""
    standin, _, recorder = cluster(hold(SUBSCRIBED), credential=Credential(principal="eo", secret="s:ecret"))
    recorder.until("SUBSCRIBED")
    headers, message = standin.subscribes[0]
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["authorization"] == "Basic ZW86czplY3JldA=="
    assert "mesos-stream-id" not in headers
    assert message == calls.make_subscribe(INFO)


def test_m8_calls_carry_stream_id_and_framework_id_over_one_kept_connection(cluster):
    """Three calls, one connection, none of it the stream's (M8)."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    results = [driver.call(KILL), *driver.calls([calls.make_revive(), calls.make_reconcile()])]
    assert [(result.outcome, result.status) for result in results] == [(Outcome.SENT, 202)] * 3
    assert {headers["mesos-stream-id"] for headers, _, _ in standin.calls} == {"s-1"}
    assert len({connection for _, _, connection in standin.calls}) == 1
    assert standin.messages()[0] == calls.with_framework_id(KILL, "f-1")
    assert [message["type"] for message in standin.messages()] == ["KILL", "REVIVE", "RECONCILE"]


def test_m39_a_hundred_calls_are_pipelined_and_answered_in_order(cluster):
    """Pipelining mixes nothing up."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    standin.answer = lambda message: (202, "") if int(message["kill"]["task_id"]["value"]) % 3 else (409, "no")
    recorder.until("SUBSCRIBED")
    results = driver.calls([calls.make_kill(str(number)) for number in range(100)])
    assert [result.is_sent for result in results] == [number % 3 != 0 for number in range(100)]
    assert [int(message["kill"]["task_id"]["value"]) for message in standin.messages()] == list(range(100))


def test_a_call_without_a_subscription_says_so():
    """NOT_CONNECTED at once, instead of None in silence; pymesos' own methods say it as well."""
    driver = SchedulerDriver(on_event=print, framework_info=INFO, masters="127.0.0.1:1")
    assert driver.call(KILL).outcome is Outcome.NOT_CONNECTED
    assert driver.killTask({"value": "t1"}).outcome is Outcome.NOT_CONNECTED


def test_m12_a_refused_call_brings_mesos_own_words(cluster):
    """400 is FAILED with status and text (M12), and the subscription lives on."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    standin.answer = lambda message: (400, "Failed to validate scheduler::Call: Not a valid UUID")
    recorder.until("SUBSCRIBED")
    result = driver.call(calls.make_acknowledge("a", "t", "x"))
    assert (result.outcome, result.status) == (Outcome.FAILED, 400)
    assert "Not a valid UUID" in result.message
    assert driver.connected


def test_a_stale_stream_id_makes_the_driver_subscribe_again(cluster):
    """A call's 400 about the stream id is the first to know of another master (transcript 06)."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    standin.answer = lambda message: (400, "The stream ID 's-1' included in this request didn't match")
    recorder.until("SUBSCRIBED")
    driver.call(KILL)
    assert "stream ID" in recorder.until("DISCONNECTED")["reason"]
    recorder.until("SUBSCRIBED")


def test_a_silent_master_costs_a_call_its_timeout_and_no_more(cluster):
    """FAILED after the time-out; the stream is not held up by it (MESOS.md part 2, item 2)."""
    answered = threading.Event()
    standin, driver, recorder = cluster(hold(SUBSCRIBED), timeout_s=0.1)
    standin.answer = lambda message: (answered.wait(5), (202, ""))[1]
    recorder.until("SUBSCRIBED")
    result = driver.call(KILL)
    answered.set()
    assert (result.outcome, result.status) == (Outcome.FAILED, None)
    assert "Timeout" in result.message
    assert driver.connected


def test_a_kept_connection_that_died_is_replaced_without_a_word(cluster):
    """The next call goes over a new one, also an ACCEPT, for nothing of it had been sent."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    assert driver.call(KILL).is_sent
    for connection in standin.server.connections[1:]:  # the first is the stream's
        connection.shutdown(socket.SHUT_RDWR)
    assert driver.call(calls.make_accept(["o1"], [])).is_sent
    assert len({connection for _, _, connection in standin.calls}) == 2


def test_m11_a_call_that_is_redirected_makes_the_driver_look_for_the_leader(cluster):
    """307 for a call: another master leads, and the stream of this one is worth nothing."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    standin.answer = lambda message: (307, "")
    assert (driver.call(KILL).outcome, driver.call(KILL).is_sent) == (Outcome.FAILED, False)
    assert "another master leads" in recorder.until("DISCONNECTED")["reason"]


@pytest.mark.parametrize(("call", "times"), [(KILL, 2), (calls.make_accept(["o"], []), 1)], ids=["KILL", "ACCEPT"])
def test_a_call_that_got_lost_on_a_kept_connection_is_repeated_where_twice_is_as_good_as_once(cluster, call, times):
    """Nobody knows whether it had arrived: a KILL is sent once more, an ACCEPT has FAILED, and none is dropped in silence."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    assert driver.call(calls.make_revive()).is_sent

    def hang_up(message):
        standin.answer = lambda message: (202, "")
        standin.server.connections[-1].shutdown(socket.SHUT_RDWR)
        return (202, "")

    standin.answer = hang_up
    assert driver.call(call).outcome is (Outcome.SENT if times == 2 else Outcome.FAILED)
    assert [message["type"] for message in standin.messages()] == ["REVIVE", *[call["type"]] * times]


def test_an_ipv6_endpoint_serves_for_stream_calls_and_queries(drivers):
    """With its brackets in the setting and in the Host header (MESOS.md part 2, item 6)."""
    standin = StandIn(hold(SUBSCRIBED), host="::1")
    standin.answer = lambda message: (200, json.dumps({"type": message["type"]}))
    driver, recorder, _ = drivers.start(standin)
    recorder.until("SUBSCRIBED")
    assert driver.call(KILL).is_sent
    assert driver.query({"type": "GET_AGENTS"})[0].is_sent
    assert {headers["host"] for headers, _, _ in standin.calls} == {f"[::1]:{standin.port}"}


def test_an_observer_hears_of_every_call_and_its_outcome(drivers):
    """Sent with its time, refused with its time, and not connected; what it raises is its own affair."""
    standin = StandIn(hold(SUBSCRIBED))
    driver, recorder, watcher = drivers.start(standin)
    recorder.until("SUBSCRIBED")
    driver.call(KILL)
    standin.answer = lambda message: (400, "no")
    driver.calls([KILL, calls.make_revive()])
    driver.stop()
    driver.call(KILL)
    told = [("KILL", "SENT"), ("KILL", "FAILED"), ("REVIVE", "FAILED"), ("KILL", "NOT_CONNECTED")]
    assert [(kind, outcome) for kind, outcome, _ in watcher.calls] == told
    assert [seconds > 0 for _, _, seconds in watcher.calls] == [True, True, True, False]


def test_an_observer_that_raises_costs_nothing(drivers):
    """Neither the call nor the reader."""

    class Broken(Watcher):
        def on_call(self, kind, outcome, seconds):
            raise RuntimeError("a bug in the observer")

        on_subscribed = on_lost = lambda self, *facts: self.on_call(*facts, 0, 0)

    driver, recorder, _ = drivers.start(StandIn(end(SUBSCRIBED), hold(SUBSCRIBED)), observer=Broken())
    recorder.until("DISCONNECTED")
    recorder.until("SUBSCRIBED")
    assert driver.call(KILL).is_sent


def test_m14_a_loop_that_does_nothing_holds_up_neither_the_stream_nor_a_call(drivers):
    """The inbox takes all there is; a call is answered meanwhile, over its own connection."""
    inbox = Inbox()
    updates = [{"type": "UPDATE", "update": {"status": {"uuid": str(number)}}} for number in range(500)]
    heard = Recorder()

    def receive(event):
        inbox.put(event)
        heard(event)

    driver, _, _ = drivers.start(StandIn(hold(SUBSCRIBED, *updates, HEARTBEAT)), on_event=receive)
    heard.until("HEARTBEAT")
    assert driver.call(KILL).is_sent
    assert inbox.take(0) == [SUBSCRIBED, *updates, HEARTBEAT]


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


def test_m9_five_silent_heartbeat_intervals_end_the_stream(cluster):
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


def test_m5_an_error_event_is_passed_on_and_not_fought(cluster):
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


def test_m4_stopping_says_nothing_to_mesos(cluster):
    """The stream ends and the framework stays: no TEARDOWN, whatever `failover` says (M4)."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    driver.stop(failover=False)
    driver.join(5)
    assert not driver._subscriber.is_alive
    assert standin.calls == []
    assert driver.call(KILL).outcome is Outcome.NOT_CONNECTED


def test_a_new_id_and_suppressed_roles_go_into_the_next_subscribe(cluster):
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


def test_the_operator_api_is_asked_where_we_are_subscribed(cluster):
    """GET_AGENTS' answer as a dict; a refusal as FAILED."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    standin.answer = lambda message: (200, json.dumps({"type": message["type"]}))
    assert driver.query({"type": "GET_AGENTS"})[1] == {"type": "GET_AGENTS"}
    standin.answer = lambda message: (403, "no")
    result, body = driver.query({"type": "GET_AGENTS"})
    assert (result.status, body) == (403, {})


@pytest.mark.parametrize(
    "body", ["[]", "7", "null", "[1, 2]", '["ab"]', '{"type": ', "<html>", "[" * 100_000, '{"a": NaN}']
)
def test_an_answer_that_is_none_is_a_failure(cluster, body):
    """Whatever a proxy says in the master's name is FAILED with {}, and raises nothing in the thread that asked."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    standin.answer = lambda message: (200, body)
    result, answer = driver.query({"type": "GET_AGENTS"})
    assert (result.outcome, answer) == (Outcome.FAILED, {})
    assert driver.connected


def test_pymesos_methods_build_the_same_calls(cluster):
    """The interface of pymesos goes the same way: agent ids included, results returned."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    offer, task, agent = {"value": "o"}, {"value": "t"}, {"value": "a"}
    results = [
        driver.launchTasks(offer, [{"name": "t"}], {"refuse_seconds": 1}),
        driver.launchTasks([offer], []),
        driver.killTask(task, agent),
        driver.reconcileTasks([{"task_id": task, "agent_id": agent}]),
        driver.acknowledgeStatusUpdate({"agent_id": agent, "task_id": task, "uuid": "dQ=="}),
        driver.suppressOffers(),
        driver.reviveOffers(["swath"]),
        driver.sendFrameworkMessage({"value": "e"}, agent, "aGk="),
        driver.declineInverseOffer([offer]),
    ]
    assert all(result.is_sent for result in results)
    expected = [
        calls.make_accept(["o"], [{"name": "t"}], 1),
        calls.make_decline(["o"]),
        calls.make_kill("t", "a"),
        calls.make_reconcile([("t", "a")]),
        calls.make_acknowledge("a", "t", "dQ=="),
        calls.make_suppress(),
        calls.make_revive(["swath"]),
        calls.make_message("a", "e", b"hi"),
        calls.make_decline_inverse_offers(["o"]),
    ]
    assert standin.messages() == [calls.with_framework_id(message, "f-1") for message in expected]


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
