"""What the demo's job has made: figures for the table, files beside each other in one directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from swath.cli.console import between
from swath.client import Client
from swath.documents import Output, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One scene's row."""

    scene: str
    agent: str | None  # hostname
    seconds: float | None  # wall time of the last attempt
    mean: float | None  # NDVI over the valid pixels
    map: Path | None  # the COG
    quicklook: Path | None
    problem: str | None  # why there is no result

    def to_document(self) -> dict[str, Any]:
        """The row as JSON."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


def collect(client: Client, job_id: str, names: Sequence[str], target: Path) -> list[Result]:
    """The rows of a job's tasks; their files are copied into `target` as <scene>-<file>."""
    target.mkdir(parents=True, exist_ok=True)
    outputs: dict[int, list[Output]] = {}
    for output in client.outputs(job_id):
        outputs.setdefault(output["task"], []).append(output)
    return [
        _result(client, task, names[task["index"]], outputs.get(task["index"], []), target)
        for task in client.tasks(job_id)
    ]


def _result(client: Client, task: Task, name: str, outputs: Sequence[Output], target: Path) -> Result:
    files = {output["path"]: _fetch(client, output, target / f"{name}{_ending(output)}") for output in outputs}
    by_suffix = {path.suffix: path for path in files.values()}
    return Result(
        scene=name,
        agent=task["agent"]["hostname"] if task["agent"] else None,
        seconds=between(task["started_at"], task["ended_at"]),
        mean=find_mean(by_suffix.get(".json")),
        map=by_suffix.get(".tif"),
        quicklook=by_suffix.get(".png"),
        problem=None if files else task["message"] or task["state"],
    )


def _ending(output: Output) -> str:
    """The rest of an output's name below the scene's: "-ndvi.tif"."""
    return "-" + output["path"].replace("/", "-")


def _fetch(client: Client, output: Output, target: Path) -> Path:
    """An output as a file of our own: a link would let whoever edits it here change the official one."""
    source = Path(output["file"])
    target.unlink(missing_ok=True)
    if not source.is_file():
        return client.download(output, target)
    shutil.copyfile(source, target)
    return target


def find_mean(path: Path | None) -> float | None:
    """The mean out of the statistics that the image writes."""
    if path is None:
        return None
    statistics = json.loads(path.read_text())
    mean = statistics.get("mean") if isinstance(statistics, Mapping) else None
    return float(mean) if isinstance(mean, int | float) else None
