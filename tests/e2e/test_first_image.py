"""What docs/images.md promises of a first image in ten minutes: its files and its commands, as they stand on the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.jobs import bolzano
from tests.executor.programs import docker
from tests.fixtures.laptop import ROOT, Laptop, running
from tests.fixtures.registry import free_port, serve_registry

pytestmark = [pytest.mark.docker, pytest.mark.data, pytest.mark.timeout(600)]

PAGE = (ROOT / "docs" / "images.md").read_text()
TEN_MINUTES = PAGE[PAGE.index("## A first image in ten minutes") : PAGE.index("## The catalogue")]
FILES = dict(re.findall(r"`bright/([\w.]+)`[^\n]*\n\n((?:(?:    [^\n]*)?\n)+)", TEN_MINUTES))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEN_MINUTES, re.DOTALL) for line in block.splitlines()]
MADE_BY_THE_TEST = ("images/build.sh", "docker run --detach", "echo", "SWATH_IMAGE_PROMOTION", "mkdir")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """In place of the page's at port 5000."""
    with serve_registry(tmp_path_factory.mktemp("registry"), port=free_port()) as address:
        yield address
    for image in docker("images", "--quiet", "--no-trunc", f"{address}/eo/*").split():
        docker("rmi", "--force", image)
    docker("rmi", "--force", "bright:test")


@pytest.fixture(scope="module")
def cautious(registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """The page's cluster."""
    known = tmp_path_factory.mktemp("site") / "registries.toml"
    known.write_text(f'["{registry}"]\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWATH_REGISTRIES", str(known))
        patch.setenv("SWATH_IMAGE_PROMOTION", "approver")
        yield from running(tmp_path_factory.mktemp("cautious") / "var")


def test_the_page_works_line_by_line(
    ndvi_image: str, cautious: Laptop, registry: str, data_folder: Path, tmp_path: Path
) -> None:
    """Each command ends with 0, from the directory with the files to the task's output."""
    (tmp_path / "bright").mkdir()
    for name, text in FILES.items():
        (tmp_path / "bright" / name).write_text(re.sub(r"^    ", "", text, flags=re.MULTILINE).strip() + "\n")
    assert set(FILES) == {"bright.py", "seed.manifest.json", "swath.manifest.json", "Dockerfile"}
    (tmp_path / "scene.tif").symlink_to(bolzano(data_folder))
    shim = tmp_path / "bin" / "swath"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m swath.cli.main "$@"\n')
    shim.chmod(0o755)
    path = {"PATH": f"{shim.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SWATH_VAR": str(cautious.var)}

    said = {}
    for line in (line for line in COMMANDS if not line.startswith(MADE_BY_THE_TEST)):
        command = line.replace("127.0.0.1:5000", registry).replace("scene.tif", str((tmp_path / "scene.tif").resolve()))
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, **path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        said[line] = done.stdout + done.stderr

    assert len(said) == 7
    assert "brightness 2.0" in next(text for line, text in said.items() if line.startswith("docker run --rm"))
    assert cautious.client.image("bright")["state"] == "ACTIVE"
    (job,) = [job for job in cautious.client.jobs() if job["name"] == "bright"]
    assert job["image_digest"] == cautious.client.image("bright")["digest"]
    assert "brightness" in cautious.client.log(job["id"])
