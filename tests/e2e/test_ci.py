"""CI pushes an image for real: the pipelines' own commands, a real engine and registry, and a cluster that tries it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.pipelines import GITHUB, GITLAB, ROOT, run
from tests.executor.build import a_manifest, an_output
from tests.executor.programs import docker, files_of
from tests.fixtures.laptop import Laptop, running
from tests.fixtures.registry import free_port, serve_registry

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@dataclass
class Site:
    """A laptop cluster and its registry."""

    laptop: Laptop
    registry: str
    folder: Path

    def token(self, name: str, *images: str) -> str:
        """A token for CI."""
        words = [word for image in images for word in ("--image", image)]
        return self.laptop.swath("tokens", "create", name, "--scope", "push", *words).stdout.strip()

    def variables(self, token: str) -> dict[str, str]:
        """What a forge gives to the pipeline."""
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        shim = programs / "swath"
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m swath.cli.main "$@"\n')
        shim.chmod(0o755)
        return {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "DOCKER_CONFIG": str(self.folder / "docker"),
            "IMAGE_DIR": "image",
            "SWATH_URL": self.laptop.facts["api_url"],
            "SWATH_TOKEN": token,
            "SWATH_REGISTRY": f"{self.registry}/eo",
            "REGISTRY_USER": "ci",
            "REGISTRY_PASSWORD": "secret",
            "GITHUB_ACTIONS": "true",
            "GITHUB_SHA": "0123abc",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "eo/trial",
            "GITHUB_RUN_ID": "7",
        }

    def write(self, version: str, smoke_test: str, *, name: str = "trial") -> None:
        """The directory of an image, as it stands in a repository: a shell, and a test of it."""
        context = self.folder / "image"
        for place, source in files_of(("sh", "cat", "head")).items():
            (context / place).parent.mkdir(parents=True, exist_ok=True)
            (context / place).write_bytes(source.read_bytes())
            (context / place).chmod(0o755)
        outputs = [an_output(), an_output("map.txt", name="MAP")]
        manifest = a_manifest("sh -c 'for each in result map; do echo > $OUTPUT_DIR/$each.txt; done'", outputs=outputs)
        manifest["job"] |= {"jobVersion": version, "name": name}
        manifest["job"]["resources"] = {"scalar": [{"name": "cpus", "value": 0.2}, {"name": "mem", "value": 64.0}]}
        (context / "seed.manifest.json").write_text(json.dumps(manifest))
        (context / "swath.manifest.json").write_text(json.dumps({"smoke_test": ["sh", "-c", smoke_test]}))
        folders = sorted({path.name for path in context.iterdir() if path.is_dir()})
        copies = "".join(f"COPY {folder} /{folder}\n" for folder in folders)
        (context / "Dockerfile").write_text(f"FROM scratch\n{copies}USER 10001\n")

    def image(self, reference: str) -> dict[str, Any]:
        """What the catalogue says of it."""
        return dict(self.laptop.client.image(reference))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with containers that knows a registry of its own."""
    folder = tmp_path_factory.mktemp("ci")
    address = f"127.0.0.1:{(port := free_port())}"
    (folder / "registries.toml").write_text(f'["{address}"]\n')
    with serve_registry(folder / "registry", port=port), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWATH_REGISTRIES", str(folder / "registries.toml"))
        clusters = running(folder / "var")
        yield Site(next(clusters), address, folder)
        next(clusters, None)
    for image in docker("images", "--quiet", "--no-trunc", f"{address}/eo/*").split():
        docker("rmi", "--force", image)


@pytest.mark.parametrize(("pipeline", "version"), [(GITHUB, "1.0.0"), (GITLAB, "1.1.0")])
def test_a_pipeline_pushes_an_image_that_everybody_may_run_then(site: Site, pipeline: str, version: str) -> None:
    """Its commands end with 0; the version is active, profiled, traceable, and runs by its digest."""
    site.write(version, "echo > $OUTPUT_DIR/result.txt; echo > $OUTPUT_DIR/map.txt")
    code, said = run(pipeline, site.variables(site.token(f"ci-{version}", "trial")), site.folder)
    assert code == 0, said
    assert "its smoke test passed" in said
    image = site.image(f"trial:{version}")
    assert (image["state"], image["tag"]) == ("ACTIVE", f"{site.registry}/eo/trial:{version}")
    assert image["reference"] == f"{site.registry}/eo/trial@{image['digest']}"
    assert image["provenance"]["pipeline"] == "https://github.example/eo/trial/actions/runs/7"
    assert (image["profile"]["verdict"], image["profile"]["runtime"]) == ("passed", "docker")
    assert image["profile"]["outputs"] == ["MAP", "RESULT"]
    assert image["profile"]["run_s"] >= 0
    job = site.laptop.client.submit({"image": f"trial:{version}"})
    assert site.laptop.client.wait(job["id"], timeout_s=120)["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("version", "smoke_test", "why"),
    [
        ("2.0.0", "echo no module numpy >&2; exit 3", "APP (exit code 3)"),
        ("2.1.0", "echo > $OUTPUT_DIR/result.txt", "left RESULT, and not what the manifest requires: MAP"),
    ],
)
def test_an_image_that_does_not_pass_fails_the_pipeline(site: Site, version: str, smoke_test: str, why: str) -> None:
    """Exit code 10 with the cause; nobody can run the version, and it is no profile's fault."""
    site.write(version, smoke_test)
    code, said = run(GITLAB, site.variables(site.token(f"ci-{version}", "trial")), site.folder)
    assert code == 10, said
    assert why in said
    if version == "2.0.0":
        assert "no module numpy" in said
    assert site.image(f"trial:{version}")["state"] == "REJECTED"
    refused = site.laptop.swath("submit", f"trial:{version}", check=False)
    assert "is REJECTED and does not run" in refused.stderr


def test_a_pipeline_cannot_push_another_image(site: Site) -> None:
    """Exit code 4: its token is for `trial`, and the label says `secret`; nothing is registered."""
    site.write("1.0.0", "true", name="secret")
    code, said = run(GITLAB, site.variables(site.token("ci-other", "trial")), site.folder)
    assert (code, "is for trial, not for secret" in said) == (4, True), said
    assert not [image for image in site.laptop.client.images() if image["name"] == "secret"]
