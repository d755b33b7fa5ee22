"""Inputs of other machines, for real: an executor's process or container reads what a web server or an S3 store has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.domain.attempts import ImageSource
from swath.domain.retries import Cause
from tests.executor.agent import Agent, wait_until
from tests.executor.build import a_manifest, a_spec
from tests.executor.scripts import a_run
from tests.executor.web_server import LETTERS, Site
from tests.fixtures.s3 import KEY, S3

TELL = """
import hashlib, os, pathlib
path = pathlib.Path(os.environ["SCENE"])
files = sorted(path.rglob("*")) if path.is_dir() else [path]
for file in files:
    if file.is_file():
        print(file.relative_to(path.parent), hashlib.sha256(file.read_bytes()).hexdigest())
print(dict(os.environ))
"""
SHA = hashlib.sha256(LETTERS).hexdigest()


@pytest.fixture
def remote_agent(tmp_path: Path, s3: S3) -> Iterator[Agent]:
    """An executor that may reach both servers."""
    agent = Agent(tmp_path, **settings(tmp_path, s3)).start()
    yield agent
    agent.stop()


def settings(directory: Path, s3: S3, **more: str) -> dict[str, str]:
    return {
        "SWATH_INPUT_SCHEMES": "file,http,s3",
        "SWATH_INPUT_PRIVATE": "127.0.0.0/8",
        "SWATH_INPUT_CACHE": str(directory / "cache"),
        "SWATH_S3_FILE": str(s3.write_stores(directory / "s3.toml")),
        **more,
    }


def a_reader(agent: Agent, href: str, **fields: Any) -> Any:
    return a_run(agent, "tell", TELL, inputs=[{"name": "SCENE"}], fields={"files": {"SCENE": [href]}, **fields})


def test_a_process_reads_what_a_web_server_has(remote_agent: Agent, site: Site) -> None:
    """Under its name, with the declared checksum; the second attempt asks the server for nothing."""
    href = site.url + "/a/scene.tif"
    for _ in range(2):
        update = remote_agent.run(a_reader(remote_agent, href, checksums={href: f"sha256:{SHA}"}))
        assert update.state == "TASK_FINISHED", update.message
        assert remote_agent.log(update).startswith(f"scene.tif {SHA}\n")
    assert len(site.asked("GET", "/a/scene.tif")) == 1


def test_a_process_reads_what_a_store_has_and_never_its_keys(remote_agent: Agent, s3: S3) -> None:
    """A directory of objects; the site's key is in no environment, no log, no message, and its file is no input."""
    bucket = s3.make_bucket("scenes")
    bucket.put("x/S2A.SAFE/GRANULE/B04.jp2", LETTERS)
    update = remote_agent.run(a_reader(remote_agent, "s3://scenes/x/S2A.SAFE/"))
    said = remote_agent.log(update)
    assert said.startswith(f"S2A.SAFE/GRANULE/B04.jp2 {SHA}\n"), (update.message, said)
    bad = remote_agent.run(a_reader(remote_agent, "s3://scenes/none"))
    stolen = remote_agent.run(a_reader(remote_agent, (remote_agent.directory / "s3.toml").as_uri()))
    assert (bad.report.cause, stolen.report.cause) == (Cause.INPUT, Cause.INPUT)
    texts = [said, *(u.message for u in remote_agent.updates), (remote_agent.sandbox / "stderr").read_text()]
    assert not any(KEY in text for text in texts)


def test_a_wrong_checksum_starts_nothing(remote_agent: Agent, site: Site) -> None:
    """Of a file of another machine or of this one: INPUT, and the command never runs."""
    href = site.url + "/a/scene.tif"
    local = remote_agent.inputs / "local.tif"
    local.write_bytes(LETTERS)
    for wanted in (href, local.as_uri()):
        update = remote_agent.run(a_reader(remote_agent, wanted, checksums={wanted: "sha256:" + "0" * 64}))
        assert (update.report.cause, f"has sha256:{SHA}" in update.message) == (Cause.INPUT, True), update.message
        assert "TASK_RUNNING" not in remote_agent.states(update.task)


def test_a_kill_ends_a_transfer(remote_agent: Agent, site: Site) -> None:
    """At once, however slow the server is; what has come stays for the next attempt."""
    site.pause_s = 0.2
    task = remote_agent.launch(a_reader(remote_agent, site.url + "/a/scene.tif"))
    wait_until(lambda: site.asked("GET", "/a/scene.tif"), "the transfer has begun")
    wait_until(lambda: any(p.stat().st_size for p in remote_agent.directory.glob("cache/*/partial/files/*")), "bytes")
    remote_agent.kill(task)
    assert remote_agent.wait(task).state == "TASK_KILLED"
    site.pause_s = 0.0
    update = remote_agent.run(a_reader(remote_agent, site.url + "/a/scene.tif"))
    assert remote_agent.log(update).startswith(f"scene.tif {SHA}\n")
    assert str(site.asked("GET", "/a/scene.tif")[-1]).startswith("bytes=")


def test_a_killed_executor_leaves_a_transfer_to_its_successor(tmp_path: Path, s3: S3, site: Site) -> None:
    """kill -9 in the middle: the next executor asks for the rest only, and nobody holds the copy's lock."""
    site.pause_s = 0.2
    agent = Agent(tmp_path, **settings(tmp_path, s3)).start()
    try:
        agent.launch(a_reader(agent, site.url + "/a/scene.tif"))
        wait_until(lambda: any(p.stat().st_size for p in tmp_path.glob("cache/*/partial/files/*")), "some bytes came")
        agent.kill_executor()
        site.pause_s = 0.0
        agent.start()
        update = agent.run(a_reader(agent, site.url + "/a/scene.tif"))
        assert agent.log(update).startswith(f"scene.tif {SHA}\n")
        assert str(site.asked("GET", "/a/scene.tif")[-1]).startswith("bytes=")
    finally:
        agent.stop()


@pytest.mark.docker
@pytest.mark.timeout(180)
def test_a_container_reads_and_cannot_write(tmp_path: Path, s3: S3, image: ImageSource) -> None:
    """The same directory for two containers, mounted read-only: what one tries to write the other never sees."""
    s3.make_bucket("scenes").put("x/S2A.SAFE/MTD.xml", b"<xml/>")
    agent = Agent(tmp_path, **settings(tmp_path, s3, SWATH_DOCKER="auto", SWATH_PROCESS_RUNTIME="0")).start()
    try:
        script = "cat $SCENE/MTD.xml; touch $SCENE/mine || echo closed; ls $SCENE; env"
        manifest = a_manifest(f"sh -c '{script}'", inputs=[{"name": "SCENE"}])
        for _ in range(2):
            spec = a_spec(manifest, agent.outputs, image=image, files={"SCENE": ["s3://scenes/x/S2A.SAFE/"]})
            update = agent.run(spec)
            said = agent.log(update)
            assert said.startswith("<xml/>closed\nMTD.xml\n"), (update.message, said)
            assert KEY not in said
    finally:
        agent.stop()
