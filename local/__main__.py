"""`python -m local`: serve a master and agents on loopback, or end the executors that an earlier one left running."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from local.ending import end_executors
from local.server import WorkDirBusyError, run
from local.settings import Settings, check

# New objects between two looks for cycles, of which there are hardly any: tens of thousands of tasks are many to look through.
COLLECT_AFTER = 50_000


def make_parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m local", description="A single-node Mesos on loopback.")
    add = parser.add_argument
    add("--port", type=int, default=defaults.port, help="of the master; 0 = any free one (default %(default)s)")
    add("--agents", type=int, default=defaults.agents, help="how many agents (default %(default)s)")
    add("--agent-port", type=int, default=defaults.agent_port, help="of the first agent; 0 = any (default %(default)s)")
    add("--work-dir", type=Path, default=defaults.work_dir, help="sandboxes and checkpoints (default %(default)s)")
    add("--cpus", type=float, help="of each agent (default: of the machine)")
    add("--mem", type=float, help="of each agent, in MiB (default: of the machine minus 1 GiB)")
    add("--disk", type=float, help="of each agent, in MiB (default: what is free)")
    add("--resources", default="", help='of each agent, beside or instead of these: "ports:[31000-31999];licences:4"')
    add("--hostname", action="append", default=[], help="of an agent, said again for the next (default: 127.0.0.1)")
    add(
        "--attributes", action="append", default=[], help='as in "region:ispra;rack:3"; once for all, or for each agent'
    )
    add("--credential-file", type=Path, help='ask for it: {"principal": .., "secret": ..}, readable by its owner only')
    interval = defaults.allocation_interval_s
    add(
        "--simulated-agents",
        type=int,
        default=defaults.simulated_agents,
        help="how many more, whose tasks only pretend",
    )
    add("--task-seconds", type=float, default=defaults.task_s, help="of a pretended task (default %(default)s)")
    add("--allocation-interval", type=float, default=interval, help="seconds between offers (default %(default)s)")
    timeout = defaults.ping_timeout_s
    add("--agent-ping-timeout", type=float, default=timeout, help="seconds until a lost agent's tasks are unreachable")
    add("--offer-timeout", type=float, help="seconds until an unanswered offer is rescinded (default: never)")
    add(
        "--heartbeat-interval",
        type=float,
        default=defaults.heartbeat_s,
        help="seconds (default %(default)s, as in Mesos)",
    )
    add("--faults", type=Path, help="inject the faults of this plan, a JSON file (see local/README.md)")
    add("--fault-seed", type=int, help="inject faults drawn from this number; the plan is written to faults.json")
    add("--executor-registration-timeout", type=float, default=defaults.registration_timeout_s, help="seconds")
    add("--executor-reregistration-timeout", type=float, default=defaults.reregistration_timeout_s, help="seconds")
    add("--executor-shutdown-grace-period", type=float, default=defaults.shutdown_grace_s, help="seconds")
    add("--gc-delay", type=float, default=defaults.gc_delay_s, help="seconds until a sandbox is removed")
    add("--end-executors", action="store_true", help="end all executors of the work directory, and return")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = make_parser()
    given = parser.parse_args(arguments)
    settings = Settings(
        port=given.port,
        agents=given.agents,
        agent_port=given.agent_port,
        work_dir=given.work_dir,
        cpus=given.cpus,
        mem=given.mem,
        disk=given.disk,
        resources=given.resources,
        credential_file=given.credential_file,
        hostnames=given.hostname,
        attributes=given.attributes,
        simulated_agents=given.simulated_agents,
        task_s=given.task_seconds,
        allocation_interval_s=given.allocation_interval,
        ping_timeout_s=given.agent_ping_timeout,
        offer_timeout_s=given.offer_timeout,
        heartbeat_s=given.heartbeat_interval,
        faults_file=given.faults,
        fault_seed=given.fault_seed,
        registration_timeout_s=given.executor_registration_timeout,
        reregistration_timeout_s=given.executor_reregistration_timeout,
        gc_delay_s=given.gc_delay,
        shutdown_grace_s=given.executor_shutdown_grace_period,
    )
    problems = check(settings)
    if problems:
        parser.error("; ".join(problems))
    try:
        if given.end_executors:
            end_executors(settings.work_dir, grace_s=settings.shutdown_grace_s)
        else:
            gc.set_threshold(COLLECT_AFTER)
            run(settings)
    except (WorkDirBusyError, OSError, ValueError) as error:
        sys.stderr.write(f"local: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
