"""What attempts that run as processes leave: declared files, published whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from swath.domain.retries import Cause
from tests.executor.agent import Agent, wait_until
from tests.executor.build import an_output
from tests.executor.scripts import a_run


def test_outputs_are_published_whole(agent: Agent) -> None:
    """Declared files, side-cars and JSON outputs stand in the attempt's directory, and nothing else does."""
    text = """
import json, os, pathlib
out = pathlib.Path(os.environ["OUTPUT_DIR"])
(out / "result.txt").write_text("fine")
(out / "result.txt.metadata.json").write_text("{}")
(out / "undeclared.txt").write_text("not promised")
(out / "seed.outputs.json").write_text(json.dumps({"mean": 0.5}))
print("done", flush=True)
"""
    spec = a_run(agent, "good", text, outputs=[an_output()], json_outputs=[{"name": "mean", "type": "number"}])
    report = agent.run(spec).report
    target = agent.outputs / spec.job / "0" / spec.attempt
    assert report.output_dir == str(target)
    assert sorted(path.name for path in target.iterdir()) == [
        "result.txt",
        "result.txt.metadata.json",
        "seed.outputs.json",
    ]
    digest = hashlib.sha256(b"fine").hexdigest()
    assert [(file.name, file.path, file.size, file.media_type, file.sha256) for file in report.outputs] == [
        ("RESULT", "result.txt", 4, "text/plain", digest)
    ]
    assert report.json_outputs == {"mean": 0.5}
    wait_until(lambda: not list(target.parent.glob(".*")), "the scratch directory goes")


def test_a_stac_item_is_published_with_checksums_and_lineage(agent: Agent) -> None:
    """What the image wrote, and what only the executor knows; the item's own checksum is that of the completed one."""
    text = """
import json, os, pathlib
out = pathlib.Path(os.environ["OUTPUT_DIR"]) / "d"
out.mkdir()
(out / "map.tif").write_text("map")
item = {"type": "Feature", "stac_version": "1.1.0", "id": "x", "geometry": None, "links": [],
        "properties": {"datetime": "2026-01-01T00:00:00Z"}, "assets": {"map": {"href": "map.tif"}}}
(out / "item.json").write_text(json.dumps(item))
(out / "other.json").write_text('{"type": "FeatureCollection"}')
(out / "broken.json").write_text('{')
"""
    (agent.inputs / "scene.tif").write_text("x")
    files = {"SCENE": [(agent.inputs / "scene.tif").as_uri()]}
    outputs = [
        an_output("d/*.tif"),
        {"name": "ITEMS", "pattern": "d/*.json", "mediaType": "application/geo+json", "multiple": True},
    ]
    spec = a_run(agent, "stac", text, inputs=[{"name": "SCENE"}], outputs=outputs, fields={"files": files})
    report = agent.run(spec).report
    published = {file.path: file for file in report.outputs}
    directory = Path(str(report.output_dir))
    for path, file in published.items():
        data = (directory / path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256), path
    item = json.loads((directory / "d" / "item.json").read_text())
    assert item["assets"]["map"]["file:checksum"] == "1220" + hashlib.sha256(b"map").hexdigest()
    assert item["links"] == [{"rel": "derived_from", "href": files["SCENE"][0], "title": "SCENE"}]
    assert item["properties"]["swath:attempt"] == spec.attempt
    assert (directory / "d" / "other.json").read_text() == '{"type": "FeatureCollection"}'
    assert sorted(path.name for path in (directory / "d").iterdir()) == [
        "broken.json",
        "item.json",
        "map.tif",
        "other.json",
    ]


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("", "no file matches 'result.txt'"),
        ("(out / 'result.txt').symlink_to('/etc/passwd')", "result.txt is a symbolic link"),
        ("os.mkfifo(out / 'result.txt')", "result.txt is a special file"),
        ("(out / 'result.txt').mkdir()", "no file matches"),
        ("(out / 'd').symlink_to('/etc'); (out.parent / 'result.txt').write_text('x')", "no file matches"),
        (
            "(out / 'result.txt').write_text('x'); (out / 'seed.outputs.json').symlink_to('/etc/passwd')",
            "symbolic link",
        ),
    ],
)
def test_only_files_are_published(agent: Agent, script: str, complaint: str) -> None:
    """A missing output, a link out of the directory, a special file: cause OUTPUT, nothing published, and it says why."""
    text = f"import os, pathlib\nout = pathlib.Path(os.environ['OUTPUT_DIR'])\n{script}\n"
    spec = a_run(agent, f"output-{abs(hash(script))}", text, outputs=[an_output()])
    update = agent.run(spec)
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.OUTPUT)
    assert complaint in update.message
    assert not (agent.outputs / spec.job / "0" / spec.attempt).exists()


def test_a_name_that_is_no_text_is_no_output(agent: Agent) -> None:
    """Refused as OUTPUT, legibly; beside the outputs it does not matter."""
    text = "import os\nopen(os.fsencode(os.environ['OUTPUT_DIR']) + b'/a\\xff.txt', 'w')\n"
    update = agent.run(a_run(agent, "bytes", text, outputs=[an_output("*.txt")]))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.OUTPUT)
    assert update.message == "the name of a\\udcff.txt is not UTF-8"
    beside = agent.run(a_run(agent, "bytes", text, outputs=[an_output("*.tif", required=False)]))
    assert beside.state == "TASK_FINISHED"


def test_too_many_outputs_fail(agent: Agent) -> None:
    """Two files for an output that is not `multiple`."""
    text = "import os, pathlib\nfor n in 'ab': (pathlib.Path(os.environ['OUTPUT_DIR']) / (n + '.txt')).touch()"
    update = agent.run(a_run(agent, "many", text, outputs=[an_output("*.txt")]))
    assert update.report.cause is Cause.OUTPUT
    assert "2 files match '*.txt', one is allowed" in update.message


def test_a_hard_link_is_published_as_a_copy(agent: Agent) -> None:
    """A file with a second name elsewhere cannot be changed through that name once it is an output."""
    outside = agent.directory / "outside.txt"
    outside.write_text("before")
    text = f"import os; os.link({str(outside)!r}, os.environ['OUTPUT_DIR'] + '/result.txt')"
    report = agent.run(a_run(agent, "hard-link", text, outputs=[an_output()])).report
    outside.write_text("after")
    assert (Path(str(report.output_dir)) / "result.txt").read_text() == "before"


def test_a_full_disk_ends_the_attempt(agent: Agent) -> None:
    """More than resources.disk in the output directory: killed without grace, cause DISK, with both numbers."""
    text = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(os.environ["OUTPUT_DIR"] + "/big", "wb") as file:
    for _ in range(40):
        file.write(os.urandom(2**20)); file.flush()
time.sleep(60)
"""
    resources = {"cpus": 0.1, "mem": 64, "disk": 20, "gpus": 0}
    update = agent.run(a_run(agent, "disk", text, fields={"resources": resources}, outputs=[an_output()]))
    assert (update.state, update.report.cause) == ("TASK_FAILED", Cause.DISK)
    assert "where 20 MiB disk were asked for" in update.message
