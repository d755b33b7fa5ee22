"""Our own traces: what is written is read again, and what is malformed is refused with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources
from swath.simulation.recorded import read_recorded, to_lines
from tests.simulate.build import refused_by_line

HEAD = {"format": "swath-trace", "version": 1}
JOB = {
    "id": "01JD0000000000000000000001",
    "user": "eva",
    "project": "forest",
    "image": "ndvi:1.0.0",
    "priority": 70,
    "submitted_at": "2026-01-01T00:00:10Z",
    "resources": {"cpus": 2, "mem": 512, "disk": 0, "gpus": 0},
    "spec": {"image": "ndvi", "max_running": 3, "priority": 70, "inputs": {"SCENE": {"href": "file:///secret"}}},
}


def lines(*documents: Any) -> list[bytes]:
    return [json.dumps(document).encode() for document in documents]


def written(*jobs: tuple[dict[str, Any], list[tuple[int, float]]]) -> list[bytes]:
    return lines(*to_lines(jobs))


def test_what_is_written_is_read_again() -> None:
    """Times from the first submission on; nothing of the inputs is in the file."""
    late = {**JOB, "id": "01JD0000000000000000000002", "submitted_at": "2026-01-01T01:00:10+01:00"}
    early = {**JOB, "id": "01JD0000000000000000000003", "submitted_at": "2026-01-01T00:00:00Z"}
    text = written((JOB, [(0, 5.0), (2, 7.5)]), (late, [(0, 1.0)]), (early, [(0, 2.0)]))
    trace = read_recorded(text)
    assert [(job.id[-1], job.submitted_s) for job in trace.jobs] == [("3", 0.0), ("1", 10.0), ("2", 10.0)]
    job = trace.jobs[1]
    assert (job.project, job.user, job.image, job.priority, job.max_running) == ("forest", "eva", "ndvi:1.0.0", 70, 3)
    assert (job.runs_s, job.resources) == ((5.0, 7.5), Resources(cpus_m=2000, mem=512))
    assert b"secret" not in b"".join(text)


def test_jobs_of_which_nothing_has_ended_are_left_out() -> None:
    """And counted."""
    trace = read_recorded(written((JOB, [])))
    assert trace.jobs == ()
    assert trace.notes == ("1 jobs left out: none of their tasks has ended",)


A_JOB = {"job": "a", "submitted_at": "2026-01-01T00:00:00Z", "resources": {"cpus": 1}}
A_TASK = {"task": 0, "of": "a", "run_s": 1.0}


@pytest.mark.parametrize(
    ("documents", "complaint"),
    [
        ([{"format": "other"}], "line 1: a trace begins with"),
        ([{**HEAD, "version": 9}], "line 1: version 9"),
        ([HEAD, [1]], "line 2: it is no JSON object"),
        ([HEAD, A_TASK], "line 2: it is neither a job"),
        ([HEAD, A_JOB, A_JOB], "line 3: the job's id"),
        ([HEAD, {"job": 7}], "line 2: the job's id"),
        ([HEAD, A_JOB, A_TASK, A_TASK], "line 4: a task's index"),
        ([HEAD, A_JOB, {**A_TASK, "task": -1}], "line 3: a task's index"),
        ([HEAD, A_JOB, {**A_TASK, "run_s": -1}], "line 3: run_s"),
        ([HEAD, A_JOB, {**A_TASK, "run_s": "1"}], "line 3: run_s"),
        ([HEAD, {**A_JOB, "submitted_at": "soon"}, A_TASK], "line 2: submitted_at"),
        ([HEAD, {**A_JOB, "submitted_at": "2026-01-01"}, A_TASK], "line 2: submitted_at"),
        ([HEAD, {**A_JOB, "resources": {"cpus": "x"}}, A_TASK], "line 2: the job is malformed"),
        ([HEAD, {**A_JOB, "resources": 7}, A_TASK], "line 2: the job is malformed"),
        ([HEAD, {**A_JOB, "spec": {"constraints": [7]}}, A_TASK], "line 2: the job is malformed"),
        ([HEAD, {**A_JOB, "spec": [7]}, A_TASK], "line 2: the job is malformed"),
    ],
)
def test_a_malformed_line_is_named(documents: list[Any], complaint: str) -> None:
    """By its number."""
    with pytest.raises(InvalidInputError, match=complaint):
        read_recorded(lines(*documents))


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b"[" * 500, b"x" * 2_000_000])
def test_what_is_no_trace_is_refused(text: bytes) -> None:
    """With a line."""
    with pytest.raises(InvalidInputError, match="line 1"):
        read_recorded([text] if text else [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(
    job=st.dictionaries(st.sampled_from([*A_JOB, "spec", "project", "image"]), VALUES),
    task=st.dictionaries(st.sampled_from([*A_TASK]), VALUES),
)
def test_any_documents_are_read_or_refused(job: dict[str, Any], task: dict[str, Any]) -> None:
    """Never anything else."""
    with refused_by_line():
        read_recorded(lines(HEAD, {**A_JOB, **job}, {**A_TASK, **task}))
