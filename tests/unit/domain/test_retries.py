"""Retries: who gets another attempt, when, and with how much memory and disk."""

import pytest

from swath.domain.backoff import back_off_s
from swath.domain.errors import InvalidInputError
from swath.domain.jobs import JobSpec
from swath.domain.resources import LARGEST, Resources
from swath.domain.retries import (
    EXIT_CODES,
    FREE,
    FREE_LIMIT,
    JITTER,
    OUR_DOING,
    Cause,
    End,
    GiveUp,
    Reaction,
    Retry,
    RetryPolicy,
    decide_retry,
    find_complaint,
    jitter_of,
)

POLICY = RetryPolicy(max_attempts=3, backoff_s=10)
ASKED = Resources(cpus_m=1000, mem=1000, disk=400)


def decided(cause, *, policy=POLICY, failures=1, free_retries=0, exit_code=None, error=None, most=None, **more):
    """What becomes of a task; `most` is what the largest agent has, by resource."""
    return decide_retry(
        policy,
        End(cause=cause, exit_code=exit_code, error=error),
        failures=failures,
        free_retries=free_retries,
        **{"asked": ASKED, **more},
        largest=lambda resource, asked: (most or {}).get(resource),
    )


def a_policy(**retry):
    """The policy of a job's document."""
    return JobSpec.from_document({"image": "ndvi", "retry": retry}).retry


def test_a_failing_command_is_tried_again_later_and_later():
    """10 s, 20 s, then no more, and it is said why."""
    assert decided(Cause.APP, failures=1).delay_s == 10
    assert decided(Cause.APP, failures=2).delay_s == 20
    assert decided(Cause.APP, failures=3) == GiveUp(why="it has had 3 of 3 attempts")


@pytest.mark.parametrize("cause", [Cause.DATA, Cause.OUTPUT, Cause.INPUT, Cause.SPEC, Cause.KILLED])
def test_what_would_come_again_is_not_tried_again(cause):
    """Another run would end the same way."""
    assert decided(cause) == GiveUp(why=f"{cause} would come again")


@pytest.mark.parametrize("cause", [Cause.APP, Cause.OOM, Cause.DISK, Cause.TIMEOUT, Cause.IMAGE])
def test_what_may_be_the_tasks_doing_costs_an_attempt(cause):
    """Tried again, after a wait, and not for ever."""
    assert decided(cause).free is False
    assert isinstance(decided(cause, failures=3), GiveUp)


@pytest.mark.parametrize("cause", sorted(FREE - OUR_DOING))
def test_what_the_platform_did_costs_nothing_up_to_a_limit(cause):
    """A dropped task comes back at once, and not for ever."""
    assert decided(cause, failures=0).free
    assert decided(cause, failures=0, free_retries=FREE_LIMIT - 1).free_retries == FREE_LIMIT
    assert isinstance(decided(cause, failures=0, free_retries=FREE_LIMIT), GiveUp)


@pytest.mark.parametrize("cause", sorted(OUR_DOING))
def test_what_we_did_to_a_task_costs_nothing_and_is_not_even_counted(cause):
    """Preempted or drained: again at once, any number of times, and beside what is counted."""
    again = decided(cause, failures=0, free_retries=FREE_LIMIT)
    assert (again.free, again.delay_s, again.free_retries) == (True, 0, FREE_LIMIT)


def test_what_the_platform_does_again_and_again_is_waited_for_longer_and_longer():
    """1 s, 2 s, 4 s, at most a minute."""
    waits = [decided(Cause.AGENT, failures=0, free_retries=number).delay_s for number in range(FREE_LIMIT)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_the_wait_grows_no_longer_than_the_job_says():
    """`max_backoff_s`, the jitter included."""
    policy = a_policy(max_attempts=100, backoff_s=10, max_backoff_s=30)
    waits = [decided(Cause.APP, policy=policy, failures=number, jitter=0.99).delay_s for number in (1, 2, 3, 50)]
    assert waits == [pytest.approx(10 * (1 + JITTER * 0.99)), pytest.approx(20 * (1 + JITTER * 0.99)), 30, 30]


def test_tasks_that_fail_together_come_back_one_after_the_other():
    """A tenth of them in each tenth of the spread, more or less, and each waits as long whoever works it out."""
    shares = [jitter_of("j1", index, 1) for index in range(1000)]
    assert shares == [jitter_of("j1", index, 1) for index in range(1000)]
    assert all(0 <= share < 1 for share in shares)
    assert all(sum(int(share * 10) == part for share in shares) in range(50, 150) for part in range(10))
    assert jitter_of("j1", 0, 1) != jitter_of("j1", 0, 2) != jitter_of("j2", 0, 1)


def test_memory_grows_after_oom_up_to_the_cap():
    """By one half, or as the job says; a cap alone leaves the half as it is."""
    assert decided(Cause.OOM).resources == Resources(cpus_m=1000, mem=1500, disk=400)
    capped = a_policy(on={"OOM": {"grow_mem": 4.0, "cap": 2000}})
    assert decided(Cause.OOM, policy=capped).resources.mem == 2000
    assert decided(Cause.OOM, policy=a_policy(on={"OOM": {"cap": 16384}})).resources.mem == 1500


def test_disk_grows_after_disk_up_to_its_cap():
    """The same, and the memory stays."""
    assert decided(Cause.DISK).resources == Resources(cpus_m=1000, mem=1000, disk=600)
    capped = a_policy(on={"DISK": {"grow_disk": 3, "cap_disk": 1000}})
    assert decided(Cause.DISK, policy=capped).resources.disk == 1000


def test_a_cap_below_what_was_asked_for_takes_nothing_away():
    """Never less than the attempt before had."""
    assert decided(Cause.OOM, policy=a_policy(on={"OOM": {"cap": 10}})).resources == ASKED


@pytest.mark.parametrize(("cause", "resource", "words"), [("OOM", "mem", "memory"), ("DISK", "disk", "disk")])
def test_what_grows_grows_no_further_than_the_largest_agent(cause, resource, words):
    """The next attempt gets all that there is; one that had it has failed; what does not grow is no matter."""
    had = getattr(ASKED, resource)
    assert getattr(decided(Cause(cause), most={resource: had + 1}).resources, resource) == had + 1
    given_up = decided(Cause(cause), most={resource: had})
    assert given_up == GiveUp(why=f"no agent has more {words} for a task than {had} MiB", lacking=True)
    assert decided(Cause.APP, most={resource: had}).resources == ASKED


def test_memory_stays_a_number_by_whatever_factor_it_grows():
    """1e308 times anything is infinite, and no integer."""
    policy = RetryPolicy(on={Cause.OOM: Reaction(grow_mem=1e308)})
    assert decided(Cause.OOM, policy=policy).resources.mem == LARGEST


def test_the_job_may_forbid_a_retry():
    """`"on": {"APP": "fail"}` ends the task at its first failure, and the history says by whose word."""
    given_up = decided(Cause.APP, policy=a_policy(on={"APP": "fail"}))
    assert given_up == GiveUp(why="its retry policy says so of APP")


def test_an_exit_code_goes_before_its_cause():
    """APP fails, APP:75 is tried again; the same code by another cause is another matter."""
    policy = a_policy(on={"APP": "fail", "APP:75": "retry"})
    assert isinstance(decided(Cause.APP, policy=policy, exit_code=75), Retry)
    assert isinstance(decided(Cause.APP, policy=policy, exit_code=2), GiveUp)
    assert isinstance(decided(Cause.APP, policy=policy), GiveUp)
    assert isinstance(decided(Cause.DATA, policy=policy, exit_code=75), GiveUp)


def test_the_name_of_an_error_goes_before_its_exit_code():
    """Of the image's own errors one is worth another try although bad data are not, and one is not although its code is."""
    policy = a_policy(on={"ERROR:tile-busy": "retry", "APP:9": "retry", "ERROR:no-licence": "fail"})
    assert isinstance(decided(Cause.DATA, policy=policy, exit_code=4, error="tile-busy"), Retry)
    assert isinstance(decided(Cause.DATA, policy=policy, exit_code=4, error="unable-to-parse"), GiveUp)
    assert decided(Cause.APP, policy=policy, exit_code=9, error="no-licence") == GiveUp(
        why="its retry policy says so of ERROR:no-licence"
    )


def test_an_exit_code_may_stand_for_too_little_memory():
    """A process of the command that the kernel killed: 137, without the engine's word for it."""
    policy = a_policy(on={"APP:137": {"grow_mem": 2, "cap": 4096}})
    assert decided(Cause.APP, policy=policy, exit_code=137).resources.mem == 2000
    assert decided(Cause.APP, policy=policy, exit_code=1).resources == ASKED


def test_retry_says_as_it_was():
    """`"OOM": "retry"` grows nothing."""
    assert decided(Cause.OOM, policy=a_policy(on={"OOM": "retry"})).resources == ASKED


def test_the_wait_is_a_number_however_often_a_task_has_failed():
    """Nothing overflows at a thousand doublings."""
    assert back_off_s(10, 5000, longest_s=3600) == 3600
    assert decided(Cause.APP, policy=RetryPolicy(max_attempts=10**6), failures=5000).delay_s == 3600


@pytest.mark.parametrize("selector", [*Cause, "APP:1", "DATA:255", "OOM:137", "ERROR:unable-to-parse"])
def test_a_policy_may_name_causes_exit_codes_and_errors(selector):
    """Every cause, with or without a code, and every name."""
    assert find_complaint(selector) is None
    assert a_policy(on={selector: "fail"}).on[selector].fail


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("BORED", "causes are APP"),
        ("app", "causes are APP"),
        ("", "causes are APP"),
        ("137", "causes are APP"),
        ("APP:", "exit code from 1 to 255"),
        ("APP:0", "exit code from 1 to 255"),
        ("APP:256", "exit code from 1 to 255"),
        ("APP:-9", "exit code from 1 to 255"),
        ("APP:007", "exit code from 1 to 255"),
        ("APP:²", "exit code from 1 to 255"),
        ("APP:1:2", "exit code from 1 to 255"),
        ("ERROR", "ERROR:NAME"),
        ("ERROR:", "ERROR:NAME"),
        ("EXIT:3", "causes are APP"),
    ],
)
def test_a_policy_that_means_nothing_is_refused_where_it_stands(selector, words):
    """The path names the selector, and the message what is taken."""
    with pytest.raises(InvalidInputError) as refused:
        a_policy(on={selector: "fail", "APP": "retry"})
    (problem,) = refused.value.problems
    assert (problem.path, words in problem.message) == (f"/retry/on/{selector}", True)


def test_exit_codes_are_those_that_a_process_can_end_with():
    """0 is none of a failure."""
    assert (min(EXIT_CODES), max(EXIT_CODES)) == (1, 255)
