"""What a simulation leaves: every attempt as a row of arrays, from which all figures and pictures are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from swath.simulation.model import Cluster, Trace

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class End(IntEnum):
    """How an attempt ended."""

    FINISHED = 0
    PREEMPTED = 1
    CUT = 2  # it still ran when the simulation ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempts:
    """A row an attempt, in the order of their launches; times in seconds since the trace began."""

    job: Ints  # index in the trace
    task: Ints  # index in the job
    agent: Ints  # index in the cluster
    launched: Floats
    started: Floats  # when the task's own program began; after `ended` where it never did
    ended: Floats
    end: Ints  # an `End`

    def __len__(self) -> int:
        return len(self.job)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """One workload under one policy."""

    policy: str  # its name
    trace: Trace
    cluster: Cluster
    attempts: Attempts
    ended_s: float  # when the last attempt ended, or the simulation was cut
    plans: int  # how often the matcher was asked
    waiting: Mapping[str, str]  # job -> why tasks of it had not run in the end

    @property
    def projects(self) -> list[str]:
        """Of the trace, by name."""
        return sorted({job.project for job in self.trace.jobs})

    @property
    def job_projects(self) -> Ints:
        """The index in `projects` of each job."""
        index = {name: number for number, name in enumerate(self.projects)}
        return np.array([index[job.project] for job in self.trace.jobs], dtype=np.int64)

    @property
    def submitted(self) -> Floats:
        """When each job was submitted."""
        return np.array([job.submitted_s for job in self.trace.jobs], dtype=np.float64)

    @property
    def sizes(self) -> Ints:
        """How many tasks each job has."""
        return np.array([len(job.runs_s) for job in self.trace.jobs], dtype=np.int64)

    def needs(self, resources: Sequence[str]) -> Floats:
        """What one task of each job asks for: a row a job, a column a resource, fixed-point."""
        amounts = [job.resources.amounts() for job in self.trace.jobs]
        rows = [[amount.get(name, 0) for name in resources] for amount in amounts]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(resources))
