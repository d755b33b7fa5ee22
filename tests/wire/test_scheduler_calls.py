"""The scheduler's calls against a real HTTP server: each has its outcome, whatever the master does with it."""

import json
import socket

import pytest

from scheduler.inbox import Inbox
from swath.wire import calls
from swath.wire.channel import Outcome
from swath.wire.scheduler import SchedulerDriver
from tests.wire.driving import INFO, KILL, Watcher
from tests.wire.standin import HEARTBEAT, SUBSCRIBED, Recorder, StandIn, end, hold


def test_m08_calls_carry_stream_id_and_framework_id_over_one_kept_connection(cluster):
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


def test_a_silent_master_costs_a_call_its_timeout_and_the_subscription_is_made_anew(cluster):
    """FAILED after the time-out; a stream beside which no call gets through is worth nothing (MESOS.md part 2, item 2)."""
    standin, driver, recorder = cluster(hold(SUBSCRIBED), timeout_s=0.1)
    standin.answer = lambda message: (standin.released.wait(), (202, ""))[1]
    recorder.until("SUBSCRIBED")
    result = driver.call(KILL)
    assert (result.outcome, result.status) == (Outcome.FAILED, None)
    assert "Timeout" in result.message
    assert "no call gets through" in recorder.until("DISCONNECTED")["reason"]
    recorder.until("SUBSCRIBED")


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
