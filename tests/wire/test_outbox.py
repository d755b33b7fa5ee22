"""What an executor owes its agent: nothing is lost, nothing overtakes, whatever is sent, refused and acknowledged when."""

from hypothesis import given
from hypothesis import strategies as st

from swath.wire.executor_calls import make_status
from swath.wire.outbox import Outbox


def a_status(task, number):
    uuid = bytes([task, number]).rjust(16, b"\0")
    return make_status(f"t{task}", "TASK_RUNNING", executor_id="e", uuid=uuid, timestamp=float(number))


def a_task(name):
    return {"task_id": {"value": name}}


@given(data=st.data())
def test_each_update_arrives_and_none_overtakes_another_of_its_task(data):
    """Calls that fail, resubscriptions and acknowledgements in any order: all are owed until acknowledged, and due in order."""
    outbox, arrived, owed = Outbox(), [], []
    count = 0

    def arrive(statuses):
        for status in statuses:
            if status["uuid"] not in [known["uuid"] for known in arrived]:
                arrived.append(status)

    for step in data.draw(st.lists(st.sampled_from(["add", "send", "fail", "subscribe", "acknowledge"]), max_size=40)):
        if step == "add":
            status = a_status(data.draw(st.integers(0, 2)), count)
            count += 1
            outbox.add(status)
            owed.append(status)
        elif step in ("send", "fail"):
            batch = outbox.find_batch(data.draw(st.integers(1, 4)))
            tasks = [status["task_id"]["value"] for status in batch]
            assert len(set(tasks)) == len(tasks)
            if step == "send":
                arrive(batch)
                outbox.settle(batch)
        elif step == "subscribe":
            _, updates = outbox.start_subscribe()
            assert updates == owed
            arrive(updates)
            outbox.finish_subscribe()
            assert not outbox.is_due
        elif arrived and (pending := [status for status in owed if status in arrived]):
            status = pending[0]
            outbox.on_acknowledged(status["task_id"]["value"], status["uuid"])
            owed.remove(status)
    while batch := outbox.find_batch(3):
        arrive(batch)
        outbox.settle(batch)
    assert len(arrived) == count
    for task in range(3):
        stamps = [status["timestamp"] for status in arrived if status["task_id"]["value"] == f"t{task}"]
        assert stamps == sorted(stamps)
    assert outbox.is_empty == (not owed)


def test_an_update_added_while_a_subscribe_is_under_way_is_still_due():
    """That SUBSCRIBE did not carry it."""
    outbox = Outbox()
    outbox.add(a_status(1, 1))
    outbox.start_subscribe()
    outbox.add(a_status(1, 2))
    outbox.finish_subscribe()
    assert outbox.find_batch(5) == [a_status(1, 2)]


def test_a_short_task_does_not_hold_up_the_others():
    """First and last update of many tasks in turn: a batch takes the first of each."""
    outbox = Outbox()
    for task in range(3):
        outbox.add(a_status(task, 1))
        outbox.add(a_status(task, 2))
    assert outbox.find_batch(3) == [a_status(task, 1) for task in range(3)]


def test_a_task_is_silent_until_its_first_acknowledgement_and_known_ever_after():
    """It stands in unacknowledged_tasks, then no longer; its second LAUNCH is refused before and after."""
    outbox = Outbox()
    assert outbox.on_launch(a_task("t1"))
    assert not outbox.on_launch(a_task("t1"))
    assert outbox.start_subscribe()[0] == [a_task("t1")]
    outbox.on_acknowledged("t1", "u")
    assert outbox.start_subscribe()[0] == []
    assert not outbox.on_launch(a_task("t1"))


def test_memory_is_bounded_while_tasks_come_and_go():
    """Of ended tasks the last 10,000 are known."""
    outbox = Outbox()
    for number in range(12_000):
        outbox.on_launch(a_task(f"t{number}"))
        outbox.on_acknowledged(f"t{number}", "u")
    assert not outbox.on_launch(a_task("t11999"))
    assert outbox.on_launch(a_task("t0"))
