"""The executor's driver against a real HTTP server: updates are delivered once and in order, whatever the agent does."""

import json
import threading

import pytest

from swath.domain.errors import InvalidInputError
from swath.wire.channel import CALL_TIMEOUT_S
from swath.wire.environment import parse_environment
from swath.wire.executor import ExecutorDriver
from tests.wire.certificates import Authority
from tests.wire.standin import Recorder, StandIn, answer, end, hold, replay

SUBSCRIBED = {"type": "SUBSCRIBED", "subscribed": {}}
ENVIRON = {
    "MESOS_FRAMEWORK_ID": "f-1",
    "MESOS_EXECUTOR_ID": "e-1",
    "MESOS_CHECKPOINT": "1",
    "MESOS_RECOVERY_TIMEOUT": "15mins",
    "MESOS_SUBSCRIPTION_BACKOFF_MAX": "20ms",
}


def launch(task_id):
    return {"type": "LAUNCH", "launch": {"task": {"task_id": {"value": task_id}, "name": task_id}}}


def acknowledged(status):
    return {"type": "ACKNOWLEDGED", "acknowledged": {"task_id": status["task_id"], "uuid": status["uuid"]}}


class Agent:
    """A stand-in that acknowledges updates on the open stream, if told to."""

    def __init__(self, *behaviours, acknowledges=True):
        self.exchange = None
        self.acknowledges = acknowledges
        self.standin = StandIn(*(behaviours or [self.serve(SUBSCRIBED)]))
        self.standin.answer = self.answer

    def serve(self, *events):
        def behave(exchange):
            exchange.open_stream()
            self.exchange = exchange
            for event in events:
                exchange.write_event(event)
            self.standin.released.wait()

        return behave

    def answer(self, message):
        if self.acknowledges and message["type"] == "UPDATE":
            self.exchange.write_event(acknowledged(message["update"]["status"]))
        return (202, "")

    def updates(self):
        """(task id, state) of every UPDATE call so far."""
        statuses = [message["update"]["status"] for message in self.standin.messages() if message["type"] == "UPDATE"]
        return [(status["task_id"]["value"], status["state"]) for status in statuses]

    def wait_for_updates(self, count):
        self.standin.wait_until(lambda: len(self.updates()) >= count)
        return self.updates()

    def subscribed_with(self, number):
        """(task ids, [(task id, state)]) of the SUBSCRIBE of that number."""
        self.standin.wait_until(lambda: len(self.standin.subscribes) > number)
        body = self.standin.subscribes[number][1]["subscribe"]
        tasks = [task["task_id"]["value"] for task in body["unacknowledged_tasks"]]
        statuses = [update["status"] for update in body["unacknowledged_updates"]]
        return tasks, [(status["task_id"]["value"], status["state"]) for status in statuses]


@pytest.fixture
def start():
    """start(agent, **environ) -> (driver, recorder), ended with the test."""
    opened = []

    def start(agent, on_event=None, timeout_s=CALL_TIMEOUT_S, **environ):
        recorder = Recorder()
        environ = {"MESOS_AGENT_ENDPOINT": agent.standin.address} | ENVIRON | environ
        driver = ExecutorDriver(
            on_event=on_event or recorder, environ=environ, first_backoff_s=0.002, timeout_s=timeout_s
        )
        opened.append((agent, driver))
        driver.start()
        return driver, recorder

    yield start
    for agent, driver in opened:
        driver.stop()
        agent.standin.close()
        driver.join(5)


def test_a_recorded_stream_arrives_event_by_event(start, transcripts_folder):
    """Real bytes of a real agent give its events, in order."""
    scenario = transcripts_folder / "01-custom-executor-basics"
    lines = [json.loads(line) for line in (scenario / "exec-stream.jsonl").read_text().splitlines()]
    events = [line["event"] for line in lines if line.get("stream") == 1 and "event" in line]
    _, recorder = start(Agent(replay((scenario / "exec-stream-1.raw").read_bytes())))
    assert [recorder.next() for _ in events] == events


def test_updates_of_a_task_arrive_in_order(start):
    """STARTING, RUNNING, FINISHED of many tasks: each task's own order is kept, nothing comes twice."""
    agent = Agent()
    driver, recorder = start(agent)
    recorder.until("SUBSCRIBED")
    states = ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    for state in states:
        for number in range(40):
            driver.send_update(f"t{number}", state)
    updates = agent.wait_for_updates(120)
    assert driver.flush(5)
    assert len(updates) == 120
    for number in range(40):
        assert [state for task, state in updates if task == f"t{number}"] == states


def test_an_update_carries_what_mesos_asks_for(start):
    """uuid, source, timestamp, and the optional fields where given."""
    agent = Agent()
    driver, recorder = start(agent)
    recorder.until("SUBSCRIBED")
    uuid = driver.send_update("t1", "TASK_FAILED", data=b"\x00{}", message="exit code 3", healthy=False)
    agent.wait_for_updates(1)
    status = agent.standin.messages()[0]["update"]["status"]
    assert status.pop("timestamp") > 1e9
    assert status == {
        "task_id": {"value": "t1"},
        "executor_id": {"value": "e-1"},
        "source": "SOURCE_EXECUTOR",
        "state": "TASK_FAILED",
        "uuid": uuid,
        "data": "AHt9",
        "message": "exit code 3",
        "healthy": False,
    }


def test_an_update_sent_while_disconnected_goes_with_the_next_subscribe(start):
    """It is in unacknowledged_updates, and not sent a second time as a call (surprise 7)."""
    agent = Agent(answer(503, "Agent has not finished recovery"))
    driver, recorder = start(agent)
    driver.send_update("t1", "TASK_FINISHED")
    agent.standin.behaviours.append(agent.serve(SUBSCRIBED))
    recorder.until("SUBSCRIBED")
    assert agent.subscribed_with(len(agent.standin.subscribes) - 1)[1] == [("t1", "TASK_FINISHED")]
    driver.send_update("t2", "TASK_RUNNING")
    assert agent.wait_for_updates(1) == [("t2", "TASK_RUNNING")]


def test_what_is_not_acknowledged_is_said_again_to_a_restarted_agent(start):
    """Silent tasks and unacknowledged updates stand in the SUBSCRIBE after a loss; acknowledged ones do not."""
    agent = Agent(acknowledges=False)
    agent.standin.behaviours.clear()
    agent.standin.behaviours.append(agent.serve(SUBSCRIBED, launch("silent"), launch("running"), launch("ended")))
    driver, recorder = start(agent)
    recorder.until("LAUNCH"), recorder.until("LAUNCH"), recorder.until("LAUNCH")
    driver.send_update("running", "TASK_RUNNING")
    driver.send_update("ended", "TASK_RUNNING")
    driver.send_update("ended", "TASK_FINISHED")
    agent.wait_for_updates(3)
    first = next(m["update"]["status"] for m in agent.standin.messages())
    agent.exchange.write_event(acknowledged(first))
    recorder.until("ACKNOWLEDGED")
    agent.standin.break_connections()
    recorder.until("DISCONNECTED")
    tasks, updates = agent.subscribed_with(1)
    assert tasks == ["silent", "ended"]
    assert updates == [("ended", "TASK_RUNNING"), ("ended", "TASK_FINISHED")]


def test_a_second_launch_of_a_task_is_ignored(start):
    """Also after its first acknowledgement (MESOS.md part 2, item 11)."""
    agent = Agent()
    driver, recorder = start(agent)
    recorder.until("SUBSCRIBED")
    agent.exchange.write_event(launch("t1"))
    recorder.until("LAUNCH")
    driver.send_update("t1", "TASK_RUNNING")
    recorder.until("ACKNOWLEDGED")
    agent.exchange.write_event(launch("t1"))
    agent.exchange.write_event(launch("t2"))
    assert recorder.until("LAUNCH") == launch("t2")


@pytest.mark.parametrize("status", [500, 503])
def test_a_failed_update_is_sent_again(start, status):
    """503 and 5xx are waited out, without losing the order."""
    agent = Agent()
    refusals = iter([(status, "not now")] * 2)
    agent.standin.answer = lambda message: next(refusals, None) or agent.answer(message)
    driver, recorder = start(agent)
    recorder.until("SUBSCRIBED")
    driver.send_update("t1", "TASK_RUNNING")
    driver.send_update("t1", "TASK_FINISHED")
    assert driver.flush(5)
    assert agent.updates()[-2:] == [("t1", "TASK_RUNNING"), ("t1", "TASK_FINISHED")]


def test_an_update_that_can_never_be_taken_does_not_block_the_others(start):
    """400: loud, and the next update goes out."""
    agent = Agent()
    agent.standin.answer = lambda m: (400, "Not a valid UUID") if "bad" in str(m) else agent.answer(m)
    driver, recorder = start(agent)
    recorder.until("SUBSCRIBED")
    driver.send_update("bad", "TASK_RUNNING")
    driver.send_update("good", "TASK_RUNNING")
    assert agent.wait_for_updates(2) == [("bad", "TASK_RUNNING"), ("good", "TASK_RUNNING")]


def test_without_checkpoint_a_lost_agent_means_shutdown(start):
    """At once (surprise 8; transcript 04i): "0" is false."""
    agent = Agent(end(SUBSCRIBED))
    _, recorder = start(agent, MESOS_CHECKPOINT="0", MESOS_RECOVERY_TIMEOUT="")
    assert [recorder.next()["type"] for _ in range(3)] == ["SUBSCRIBED", "DISCONNECTED", "SHUTDOWN"]


def test_an_agent_that_stays_away_too_long_means_shutdown(start):
    """After the recovery time-out; before it, the driver tries on."""
    agent = Agent(end(SUBSCRIBED), answer(503))
    _, recorder = start(agent, MESOS_RECOVERY_TIMEOUT="100ms")
    recorder.until("DISCONNECTED")
    assert recorder.next() == {"type": "SHUTDOWN"}
    assert len(agent.standin.subscribes) > 2


def test_an_agent_that_comes_back_in_time_is_taken_up_again(start):
    """DISCONNECTED, SUBSCRIBED, and no SHUTDOWN."""
    agent = Agent()
    _, recorder = start(agent)
    recorder.until("SUBSCRIBED")
    agent.standin.break_connections()
    assert [recorder.next()["type"] for _ in range(2)] == ["DISCONNECTED", "SUBSCRIBED"]


def test_shutdown_can_be_the_first_event(start):
    """Surprise 5: all tasks were killed while the executor started; updates can be sent all the same."""
    agent = Agent()
    agent.standin.behaviours.clear()
    agent.standin.behaviours.append(agent.serve({"type": "SHUTDOWN"}))
    driver, recorder = start(agent)
    assert recorder.next() == {"type": "SHUTDOWN"}
    driver.send_update("t1", "TASK_KILLED")
    assert driver.flush(5)


def test_the_token_of_the_agent_is_shown(start):
    """On SUBSCRIBE and on calls."""
    agent = Agent()
    driver, recorder = start(agent, MESOS_EXECUTOR_AUTHENTICATION_TOKEN="abc")
    recorder.until("SUBSCRIBED")
    assert driver.send_message(b"hi").is_sent
    headers = [agent.standin.subscribes[0][0], agent.standin.calls[0][0]]
    assert [header["authorization"] for header in headers] == ["Bearer abc"] * 2
    assert agent.standin.messages()[0]["message"] == {"data": "aGk="}


def test_a_callback_that_raises_costs_its_event_only(start):
    """The next events arrive."""
    recorder = Recorder()

    def on_event(event):
        recorder(event)
        raise RuntimeError("a bug in the consumer")

    agent = Agent(hold(SUBSCRIBED, launch("t1"), launch("t2")))
    start(agent, on_event=on_event)
    assert [recorder.next()["type"] for _ in range(3)] == ["SUBSCRIBED", "LAUNCH", "LAUNCH"]


def test_events_that_make_no_sense_cost_themselves_only(start):
    """No task, no uuid, no object: the next LAUNCH arrives, on the same stream (MESOS.md part 2, items 1 and 11)."""
    bad = [
        {"type": "LAUNCH"},
        {"type": "ACKNOWLEDGED", "acknowledged": []},
        {"type": "LAUNCH_GROUP"},
        [1],
        {"type": {}},
    ]
    agent = Agent(hold(SUBSCRIBED, *bad, launch("t1")))
    driver, recorder = start(agent)
    assert recorder.until("LAUNCH") == launch("t1")
    assert driver.connected
    assert len(agent.standin.subscribes) == 1


def test_m13_an_executor_shows_the_certificate_that_its_agent_gave_it(start, tmp_path):
    """libprocess' own variables: SUBSCRIBE and updates go over TLS to an agent that demands one."""
    authority = Authority(tmp_path)
    pair = authority.sign("executor")
    agent = Agent()
    agent.standin.close()
    agent.standin = StandIn(
        agent.serve(SUBSCRIBED), tls=authority.serve(authority.sign("agent"), demands_certificate=True)
    )
    agent.standin.answer = agent.answer
    driver, recorder = start(
        agent,
        LIBPROCESS_SSL_ENABLED="1",
        LIBPROCESS_SSL_CA_FILE=str(authority.pair.certificate),
        LIBPROCESS_SSL_CERT_FILE=str(pair.certificate),
        LIBPROCESS_SSL_KEY_FILE=str(pair.key),
    )
    recorder.until("SUBSCRIBED")
    driver.send_update("t1", "TASK_RUNNING")
    assert driver.flush(5)


def test_pymesos_methods_go_the_same_way(start):
    """`sendStatusUpdate` is kept until acknowledged as well."""
    agent = Agent()
    driver, recorder = start(agent)
    recorder.until("SUBSCRIBED")
    driver.sendStatusUpdate({"task_id": {"value": "t1"}, "state": "TASK_RUNNING", "message": "m"})
    assert driver.sendFrameworkMessage("aGk=").is_sent
    assert driver.flush(5)
    assert agent.updates() == [("t1", "TASK_RUNNING")]


def test_an_agent_that_hangs_for_a_while_costs_no_subscription(start):
    """Its end would begin the recovery time-out, and without checkpointing end all tasks; the update is sent again."""
    agent = Agent()
    driver, recorder = start(agent, timeout_s=0.1)
    recorder.until("SUBSCRIBED")

    def hang_once(message):
        agent.standin.answer = agent.answer
        agent.standin.released.wait()
        return (202, "")

    agent.standin.answer = hang_once
    driver.send_update("t1", "TASK_RUNNING")
    assert driver.flush(5)
    assert [agent.updates(), len(agent.standin.subscribes)] == [[("t1", "TASK_RUNNING")] * 2, 1]


def test_stopping_while_an_update_waits_ends_both_threads():
    """Nothing hangs: no agent was ever there."""
    driver = ExecutorDriver(on_event=print, environ=ENVIRON | {"MESOS_AGENT_ENDPOINT": "127.0.0.1:1"})
    driver.start()
    driver.send_update("t1", "TASK_RUNNING")
    driver.stop()
    driver.join(5)
    assert not {thread.name for thread in threading.enumerate()} & {"swath update sender", "swath executor stream"}


def test_the_recorded_environment_is_understood(transcripts_folder):
    """Durations are strings with units, "1" and "0" are booleans (surprise 8)."""
    folder = transcripts_folder
    with_checkpoint = json.loads((folder / "01-custom-executor-basics" / "env.json").read_text())["MESOS_*"]
    without = json.loads((folder / "04i-agent-restart-no-checkpoint" / "env.json").read_text())["MESOS_*"]
    first, second = parse_environment(with_checkpoint), parse_environment(without)
    assert (first.checkpoint, first.recovery_timeout_s, first.backoff_max_s, first.shutdown_grace_s) == (
        True,
        900,
        2,
        3,
    )
    assert (second.checkpoint, second.recovery_timeout_s) == (False, 0)
    assert (str(first.agent), first.executor_id) == ("127.0.0.1:15101", "ex-1")


def test_a_missing_variable_is_named():
    """Whoever starts an executor by hand is told what is missing."""
    with pytest.raises(InvalidInputError, match="MESOS_AGENT_ENDPOINT"):
        parse_environment({})
    with pytest.raises(InvalidInputError, match="soon"):
        parse_environment(ENVIRON | {"MESOS_AGENT_ENDPOINT": "a:1", "MESOS_RECOVERY_TIMEOUT": "soon"})
