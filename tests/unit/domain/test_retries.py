"""Retries: who gets another attempt, when, and with how much memory."""

from swath.domain.retries import FREE_LIMIT, LARGEST_MEM, Cause, Reaction, RetryPolicy, decide_retry

POLICY = RetryPolicy(max_attempts=3, backoff_s=10)


def decided(cause, *, policy=POLICY, failures=1, free_retries=0, mem=1000, **more):
    return decide_retry(policy, cause, failures=failures, free_retries=free_retries, mem=mem, **more)


def test_a_failing_command_is_tried_again_later_and_later():
    """10 s, 20 s, then no more."""
    assert decided(Cause.APP, failures=1).delay_s == 10
    assert decided(Cause.APP, failures=2).delay_s == 20
    assert decided(Cause.APP, failures=3) is None


def test_bad_data_is_not_tried_again():
    """Another run would end the same way."""
    assert decided(Cause.DATA) is None


def test_what_the_platform_did_costs_nothing_up_to_a_limit():
    """A dropped task comes back at once, and not for ever."""
    assert decided(Cause.DROPPED, failures=0).free
    assert decided(Cause.AGENT, failures=0, free_retries=FREE_LIMIT) is None


def test_what_the_platform_does_again_and_again_is_waited_for_longer_and_longer():
    """1 s, 2 s, 4 s, at most a minute."""
    waits = [decided(Cause.AGENT, failures=0, free_retries=number).delay_s for number in range(FREE_LIMIT)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_memory_grows_after_oom_up_to_the_cap():
    """By one half, or as the job says."""
    assert decided(Cause.OOM).mem == 1500
    capped = RetryPolicy(on={Cause.OOM: Reaction(grow_mem=4.0, cap=2000)})
    assert decided(Cause.OOM, policy=capped).mem == 2000


def test_memory_grows_no_further_than_the_largest_agent():
    """The next attempt gets all that there is; one that had it has failed."""
    assert decided(Cause.OOM, largest_mem=1200).mem == 1200
    assert decided(Cause.OOM, mem=1200, largest_mem=1200) is None
    assert decided(Cause.APP, mem=1200, largest_mem=1200).mem == 1200


def test_memory_stays_a_number_by_whatever_factor_it_grows():
    """1e308 times anything is infinite, and no integer."""
    assert decided(Cause.OOM, policy=RetryPolicy(on={Cause.OOM: Reaction(grow_mem=1e308)})).mem == LARGEST_MEM


def test_the_job_may_forbid_a_retry():
    """`"on": {"APP": "fail"}` ends the task at its first failure."""
    assert decided(Cause.APP, policy=RetryPolicy(on={Cause.APP: Reaction(fail=True)})) is None
