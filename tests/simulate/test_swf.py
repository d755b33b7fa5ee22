"""The Standard Workload Format, well written and not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources
from swath.simulation.swf import SwfOptions, read_header, read_swf
from tests.simulate.build import DATA, refused_by_line

LOG = (DATA / "synthetic.swf").read_bytes().splitlines(keepends=True)
GOOD = "1 0 5 600 4 590 -1 4 900 -1 1 7 3 1 1 1 -1 -1"


def read(*lines: str | bytes, **options: object):
    return read_swf([line.encode() if isinstance(line, str) else line for line in lines], SwfOptions(**options))


def test_a_log_becomes_jobs_in_the_order_of_their_submission() -> None:
    """What never ran and what is part of another line is left out, and counted."""
    trace, cluster = read_swf(LOG, SwfOptions(most_cpus=4)), read_header(LOG)
    assert [job.submitted_s for job in trace.jobs] == [0, 30, 60, 90, 119, 120, 121, 600, 601, 602, 603]
    assert trace.name.startswith("Invented Cluster")
    assert trace.notes == (
        "1 jobs left out: they never ran, or nobody knows for how long or on how many processors",
        "2 jobs left out: parts of jobs that have a line of their own",
    )
    assert cluster is not None
    assert [agent.total for agent in cluster.agents] == [Resources(cpus_m=4000, mem=16384)] * 4


def test_processors_and_memory_become_tasks_and_their_needs() -> None:
    """A job on 16 processors is four tasks of four; memory is KB a processor, asked for before used."""
    jobs = {job.id.split("@")[0]: job for job in read_swf(LOG, SwfOptions(most_cpus=4)).jobs}
    assert (len(jobs["8"].runs_s), jobs["8"].resources.cpus_m, jobs["8"].runs_s[0]) == (4, 4000, 1800.0)
    assert jobs["2"].resources == Resources(cpus_m=1000, mem=2)
    assert jobs["6"].resources == Resources(cpus_m=3000, mem=3072)
    assert jobs["5"].resources.cpus_m == 2000  # as asked for, where nobody knows what was used
    assert jobs["1"].expected_s == 900


def test_memory_that_the_log_does_not_know_is_given_by_the_reader() -> None:
    """A processor."""
    assert read(GOOD, memory=2048, most_cpus=4).jobs[0].resources.mem == 8192


@pytest.mark.parametrize(
    ("project", "expected"), [("group", "group3"), ("user", "user7"), ("queue", "queue1"), ("partition", "partition1")]
)
def test_the_project_is_what_is_asked_for(project: str, expected: str) -> None:
    """One of four fields."""
    assert read(GOOD, project=project).jobs[0].project == expected


def test_an_unknown_group_is_its_user() -> None:
    """And an unknown user has a name too."""
    line = GOOD.split()
    line[12] = "-1"
    assert read(" ".join(line)).jobs[0].project == "user7"
    line[11] = "-1"
    assert read(" ".join(line)).jobs[0].project == "unknown"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("1 2 3", "has 3"),
        (GOOD + " 9", "has 19"),
        (GOOD.replace("600", "x" * 100), "field 4 must be a number"),
        (GOOD.replace("600", "nan"), "field 4 must be a number"),
        (GOOD.replace("600", "1e5"), "field 4 must be a number"),
        (GOOD.replace("600", "٣"), "field 4 must be a number"),
        (GOOD.replace("600", "9" * 15), "ten years"),
        (GOOD.replace("1 0 5", "1 -7 5"), "below 0"),
        (GOOD.replace("600 4", "600 9999999999"), "absurd number of processors"),
        ("0" * 20_000, "longer than"),
        (b"\x00\xff\x80", "has 1"),
    ],
)
def test_a_malformed_line_is_named(line: str | bytes, complaint: str) -> None:
    """By its number in the file, comments and empty lines counted."""
    with pytest.raises(InvalidInputError, match=rf"line 4: .*{complaint}"):
        read("; Computer: x", "", GOOD, line)


def test_absurd_memory_and_too_many_tasks_are_refused() -> None:
    """With the line."""
    line = GOOD.split()
    line[9] = "9" * 15
    with pytest.raises(InvalidInputError, match=r"line 1: .*GiB memory"):
        read(" ".join(line))
    with pytest.raises(InvalidInputError, match=r"line 7: .*more than 5,000,000 tasks"):
        read(*[GOOD.replace("600 4", "600 800000")] * 8)


def test_only_the_first_jobs_are_taken_on_demand() -> None:
    """And the rest is not even read."""
    assert len(read(GOOD, GOOD, "broken", most_jobs=2).jobs) == 2


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_whatever_stands_in_a_file_is_read_or_refused(lines: list[bytes]) -> None:
    """Never anything else."""
    with refused_by_line():
        read_swf(lines, SwfOptions())
