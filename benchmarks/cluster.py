"""A laptop cluster of its own for one benchmark, and a client of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swath.cli.blueprint import Wishes
from swath.cli.up import prepare, start_detached, stop
from swath.cli.var import Var
from swath.client import Client

ROOT = Path(__file__).parents[1]


def swath(var: Path, *arguments: str, **environment: str) -> str:
    """Run the `swath` command on the cluster under `var`."""
    done = subprocess.run(
        [sys.executable, "-m", "swath.cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, "SWATH_VAR": str(var), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"swath {' '.join(arguments)} ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


@contextmanager
def laptop_cluster(*options: str, **environment: str) -> Iterator[tuple[Client, Path]]:
    """A running cluster (options of `swath up`) and its directory; stopped, and its executors with it, at the end."""
    with tempfile.TemporaryDirectory(prefix="swath-bench-") as scratch:
        var = Path(scratch) / "var"
        swath(var, "up", "--detach", *options, **environment)
        try:
            facts = json.loads((var / "cluster.json").read_text())
            with Client(facts["api_url"], Path(facts["token_file"]).read_text().strip()) as client:
                yield client, var
        finally:
            swath(var, "down")


@contextmanager
def cluster_on(database_url: str, *, cpus: float) -> Iterator[Client]:
    """The programs of `swath up` on another database than its own, without Docker; stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="swath-bench-") as scratch:
        var = Var(root=Path(scratch) / "var")
        locks = prepare(var, Wishes(cpus=cpus, docker=False))
        plan = json.loads(var.plan_file.read_text())
        for program in (*plan["programs"], *plan["before"], *plan["after"]):
            program["environment"]["SWATH_DATABASE_URL"] = database_url
        var.plan_file.write_text(json.dumps(plan))
        start_detached(var, locks)
        try:
            with Client(var.read_cluster()["api_url"], var.token_file.read_text().strip()) as client:
                yield client
        finally:
            stop(var)
