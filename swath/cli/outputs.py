"""`swath outputs`: list and download what a job has made."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from swath.cli.console import err, print_json, print_table, say, shown, size
from swath.cli.options import AsJson, JobId, open_client, resolve_job
from swath.client import Client
from swath.documents import Output
from swath.domain.errors import InternalError

_DIGITS = 12  # of a checksum: enough to tell two files apart; --json has all of them


def add_commands(app: typer.Typer) -> None:
    """Add `outputs`."""
    app.command(rich_help_panel="Jobs")(outputs)


def outputs(
    job_id: JobId,
    index: Annotated[int | None, typer.Argument(metavar="[INDEX]", help="Index of one task.", min=0)] = None,
    name: Annotated[str | None, typer.Option(help="Only the output of this name in the manifest.")] = None,
    download: Annotated[
        Path | None, typer.Option("--download", "-d", metavar="DIR", help="Fetch them into DIR.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the files that a job has made, or fetch them into DIR/<task>/.

    \b
      swath outputs last
      swath outputs last 3 --download results
    """
    with open_client() as client:
        job = resolve_job(client, job_id)
        found = [output for output in client.outputs(job, index) if name in (None, output["name"])]
        fetched = None if download is None else _download(client, found, download)
    if as_json:
        documents: list[Any] = list(found)
        if fetched is not None:
            documents = [{**output, "downloaded": str(path)} for output, path in zip(found, fetched, strict=True)]
        print_json(documents)
    elif fetched is None:
        rows = (
            (
                output["task"],
                output["name"],
                size(output["size"]),
                (output.get("sha256") or "")[:_DIGITS],
                output["file"],
            )
            for output in found
        )
        print_table((">task", "output", ">size", "sha256", "file"), rows, empty="nothing was published (yet)")
    else:
        say(f"{len(fetched)} files in {download}")


def _download(client: Client, found: list[Output], directory: Path) -> list[Path]:
    """Fetch every output into <directory>/<task>/<its path>."""
    paths = []
    with err().status("") as status:
        for number, output in enumerate(found, 1):
            status.update(f"{number} of {len(found)}: {shown(output['path'])}")
            target = local_path(directory, output)
            target.parent.mkdir(parents=True, exist_ok=True)
            paths.append(client.download(output, target))
    return paths


def local_path(directory: Path, output: Output) -> Path:
    """Where an output goes; raises InternalError for a path that would leave the directory."""
    path = PurePosixPath(output["path"])
    if path.is_absolute() or ".." in path.parts:
        raise InternalError(f"the cluster named an output {output['path']!r}, which leaves its directory")
    return directory / str(output["task"]) / path
