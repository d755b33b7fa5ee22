"""Runs in an environment that has HyperQueue, and in no other: `python hyperqueue_client.py ORDER`.

ORDER is {"command": [...], "tasks": n, "slots": n}. Every second, and at the end, a line
{"ended": n, "seconds": s, "done": bool} tells how many tasks have ended since the submission.
"""

from __future__ import annotations

import json
import sys
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def make_job(command: list[str], tasks: int) -> Job:
    """A job whose tasks keep no output."""
    job = Job()
    for _ in range(tasks):
        job.program(command, stdout=None, stderr=None)
    return job


def main(order: dict) -> None:
    """Start, run, tell."""
    with LocalCluster(worker_config=WorkerConfig(cores=order["slots"])) as cluster:
        client = cluster.client()
        client.wait_for_jobs([client.submit(make_job(["true"], 1))])  # the worker is there
        job = make_job(order["command"], order["tasks"])
        began = time.perf_counter()

        def tell(jobs: dict) -> None:
            (state,) = jobs.values()
            said = {"ended": state["finished"], "seconds": time.perf_counter() - began, "done": state["completed"]}
            print(json.dumps(said), flush=True)

        submitted = client.submit(job)
        client.connection.wait_for_jobs((submitted.id,), tell)
        said = {"ended": order["tasks"], "seconds": time.perf_counter() - began, "done": True}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
