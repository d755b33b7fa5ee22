"""Logs of ended attempts: the newest stay."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from executor.kept import KeptLogs
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec
from tests.executor.scripts import a_run


@given(sizes=st.lists(st.integers(0, 300), max_size=400), most=st.integers(0, 60))
def test_what_is_kept_is_bounded_and_newest(sizes: list[int], most: int) -> None:
    """Never more than the number and some, nor more than half of the bytes but for the newest; the oldest go, in order."""
    kept = KeptLogs(most=most, most_bytes=2000)
    there: list[int] = []
    for number, size in enumerate(sizes):
        there.append(number)
        gone = [int(path.name) for path in kept.add(Path(str(number)), size, succeeded=True)]
        assert gone == there[: len(gone)]
        there = there[len(gone) :]
        assert there[-1] == number
        assert len(there) <= max(most, 1) + 50
        assert len(there) == 1 or sum(sizes[index] for index in there) <= 1000


def test_successes_push_no_failure_out() -> None:
    """The logs of a failure stay, however many attempts succeed after it."""
    kept = KeptLogs(most=10, most_bytes=1000)
    assert kept.add(Path("failure"), 500, succeeded=False) == []
    gone = [path for number in range(1000) for path in kept.add(Path(str(number)), 1, succeeded=True)]
    assert len(gone) >= 900
    assert Path("failure") not in gone


def test_an_executor_keeps_the_newest_logs(tmp_path: Path) -> None:
    """With room for one: of sixty attempts most are gone from the sandbox, the newest and the failed one are there."""
    agent = Agent(tmp_path, SWATH_KEPT_ATTEMPTS="1").start()
    try:
        failed = a_run(agent, "failure", "raise SystemExit(1)")
        agent.run(failed)
        specs = [a_spec(a_manifest("true"), agent.outputs) for _ in range(60)]
        for spec in specs:
            agent.run(spec)
        attempts = agent.sandbox / "attempts"
        wait_until(lambda: len(list(attempts.iterdir())) < 15, "the oldest are gone")
        assert (attempts / failed.attempt / "stderr").exists()
        assert (attempts / specs[-1].attempt / "stdout").exists()
        assert not (attempts / specs[0].attempt).exists()
    finally:
        agent.stop()
