"""`swath demo`: real scenes become NDVI maps, from an empty directory, in one command."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from swath.cli import up
from swath.cli.blueprint import Wishes, find_checkout
from swath.cli.console import duration, print_json, print_table, say
from swath.cli.contact_sheet import write_contact_sheet
from swath.cli.options import AsJson, open_client
from swath.cli.results import Result, collect
from swath.cli.scenes import ATTRIBUTION, find_scenes, scene_names
from swath.cli.var import Var
from swath.cli.waiting import finish, wait
from swath.client import Client

IMAGE = "ndvi"


def add_commands(app: typer.Typer) -> None:
    """Add `demo`."""
    app.command(rich_help_panel="The laptop cluster")(demo)


def demo(
    inputs: Annotated[
        list[Path] | None, typer.Option("--input", help="A scene: a GeoTIFF, COG or JP2, or a directory; repeatable.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave a cluster that was started for the demo running.")
    ] = False,
    docker: Annotated[bool, typer.Option(help="Use the Docker engine where one answers.")] = True,
    as_json: AsJson = False,
) -> None:
    """Turn real Sentinel-2 scenes into NDVI maps, on a cluster that is started for it where none runs.

    Maps and pictures are left in ./var/demo.

    \b
      swath demo
      swath demo --input my-scene.tif --keep
    """
    began = time.monotonic()
    var = Var.from_environment(os.environ)
    target = var.root / "demo"
    scenes = find_scenes(inputs or (), os.environ, find_checkout(), target)
    names = scene_names(scenes.paths)
    with _cluster(var, Wishes(docker=docker), keep):
        say(f"{len(names)} scene{'s' if len(names) > 1 else ''} from {scenes.source}")
        results, code = _run(scenes.paths, names, target)
    sheet = write_contact_sheet([(r.scene, r.quicklook) for r in results if r.quicklook], target / "overview.png")
    if as_json:
        print_json({"results": [result.to_document() for result in results], "attribution": ATTRIBUTION})
    else:
        _print_results(results)
    say(f"{ATTRIBUTION}.")
    say(f"pictures side by side: {_shortest(sheet)}" if sheet else f"results in {_shortest(target)}")
    say(f"done in {duration(time.monotonic() - began)}")
    raise typer.Exit(code)


@contextmanager
def _cluster(var: Var, wishes: Wishes, keep: bool) -> Iterator[None]:
    """The cluster that runs here; else one that is started now, and ended afterwards unless it is to be kept."""
    if os.environ.get("SWATH_URL") or var.find_supervisor() is not None:
        up.await_ready(var)
        yield
        return
    began = time.monotonic()
    up.start_detached(var, up.prepare(var, wishes))
    say(f"a cluster is up at {var.read_cluster()['api_url']} after {duration(time.monotonic() - began)}")
    try:
        yield
    finally:
        if keep:
            say("the cluster runs on: `swath jobs`, `swath outputs last`; `swath down` ends it")
        else:
            up.stop(var)


def _run(paths: tuple[Path, ...], names: list[str], target: Path) -> tuple[list[Result], int]:
    """Submit one job over the scenes, wait for it and gather what it made."""
    with open_client() as client:
        job = client.submit(
            {
                "name": "demo",
                "image": IMAGE,
                "array": {"over": "SCENE", "items": [{"href": path.as_uri()} for path in paths]},
                "inputs": {"SCENE": {"item": True}},
                "labels": {"demo": "ndvi"},
            }
        )
        job = wait(client, job["id"])
        say(_describe_runtime(client, job["id"]))
        return collect(client, job["id"], names, target), finish(client, job, quiet=job["state"] == "SUCCEEDED")


def _describe_runtime(client: Client, job_id: str) -> str:
    """Where the tasks ran: the first one speaks for all."""
    attempts = client.attempts(job_id, 0)
    runtime = attempts[-1]["runtime"] if attempts else None
    if runtime == "docker":
        return "each scene was processed in a container of its own, without a network"
    return "each scene was processed by a plain process (`images/build.sh ndvi` makes a container image for a Docker engine)"


def _print_results(results: list[Result]) -> None:
    rows = (
        (
            result.scene,
            result.agent,
            f"{result.seconds:.1f}" if result.seconds is not None else None,
            f"{result.mean:.4f}" if result.mean is not None else result.problem,
            result.map and _shortest(result.map),
        )
        for result in results
    )
    print_table(("scene", "agent", ">seconds", ">mean NDVI", "map"), rows, empty="no results", fold=False)


def _shortest(path: Path) -> str:
    """A path as one would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
