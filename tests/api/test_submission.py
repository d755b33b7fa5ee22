"""Jobs that can never run are refused at once, with every reason; the others are accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.domain.changes import PutSchedulerStatus
from swath.domain.resources import Resources
from tests.api.serving import MANIFEST, Api, make_settings, serving
from tests.store.build import Scene, an_agent


@pytest.fixture
def scene_file(tmp_path: Path) -> str:
    """The href of a file that is there."""
    path = tmp_path / "scene.tif"
    path.write_bytes(b"II*")
    return path.as_uri()


def test_an_unknown_image_is_refused_with_those_that_are_known(shared_api: Api) -> None:
    """By name and by version."""
    assert "registered are ndvi:1.0.0" in shared_api.refusal({"image": "mosaic"})["/image"]
    assert "did you mean ndvi?" in shared_api.refusal({"image": "nvdi"})["/image"]
    assert shared_api.get("/v1/images/ndvo").json()["detail"] == "there is no image 'ndvo'; did you mean ndvi?"
    assert "there is no image 'ndvi:9.0.0'" in shared_api.refusal({"image": "ndvi:9.0.0"})["/image"]


def test_everything_wrong_is_told_in_one_answer(shared_api: Api, scene_file: str) -> None:
    """Inputs, parameters, settings and time together."""
    problems = shared_api.refusal(
        {
            "image": "ndvi",
            "inputs": {"SCENES": {"href": scene_file}},
            "parameters": {"INDX": "NDVI", "STEP": "one"},
            "settings": {"KEY": "x"},
            "after": [{"job": "x", "elementwise": True}],
            "deadline": "2020-01-01T00:00:00Z",
        }
    )
    assert {path: message.split(":")[0].split(";")[0] for path, message in problems.items()} == {
        "/inputs/SCENES": "is unknown to the image",
        "/inputs/SCENE": "is required by the image and missing",
        "/parameters/INDX": "is unknown to the image",
        "/parameters/STEP": "must be of type integer",
        "/settings/KEY": "is unknown to the image, which takes none",
        "/after/0/job": "there is no job 'x'",
        "/deadline": "has passed",
    }


def test_a_missing_input_is_refused_where_it_stands(shared_api: Api, scene_file: str) -> None:
    """Of a thousand items the one that is not there is named."""
    items = [{"href": scene_file}] * 1000
    items[700] = {"href": "file:///no/such/scene.tif"}
    problems = shared_api.refusal({"image": "ndvi", "array": {"over": "SCENE", "items": items}})
    assert problems == {"/array/items/700": "file:///no/such/scene.tif: does not exist"}


@pytest.mark.parametrize(
    ("href", "words"),
    [
        ("ftp://example.org/scene.tif", "ftp:// is not known: give file:///path, https://host/path or s3://bucket/key"),
        ("http://example.org/scene.tif", "http:// is not allowed here: inputs may come by file, https, s3"),
        ("https://me:secret@example.org/scene.tif", "credentials belong into the site's settings"),
        ("https:///scene.tif", "must be https://host/path or s3://bucket/key"),
        ("s3://bucket", "must be https://host/path or s3://bucket/key"),
        ("s3://bucket/scene.tif?versionId=1", "without '?' and '#'"),
        ("/eos/scene.tif", "without a scheme"),
        ("scene.tif", "without a scheme"),
        ("file://host/eos/scene.tif", "without a host"),
        ("file:scene.tif", "absolute"),
        ("file:///eos/a%00b", "absolute"),
        ("file:///eos/scene.tif?x=1", "%3F"),
        ("file://[", "no URL"),
        ("file:///" + "a" * 300, "too long"),
        ("file:///no/such/scene.tif", "does not exist"),
    ],
)
def test_a_href_that_no_task_could_read_is_refused(shared_api: Api, href: str, words: str) -> None:
    """With what to do instead."""
    message = shared_api.refusal({"image": "ndvi", "inputs": {"SCENE": {"href": href}}})["/inputs/SCENE"]
    assert words in message


def test_inputs_lie_below_the_roots(scene: Scene, sqlite_database: str, tmp_path: Path) -> None:
    """`..` and symbolic links that lead out are refused; what leads back in is not."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    for directory in (inside, outside):
        directory.mkdir()
        (directory / "scene.tif").write_bytes(b"II*")
    (inside / "link.tif").symlink_to(outside / "scene.tif")
    (inside / "links").symlink_to(outside)
    (outside / "back.tif").symlink_to(inside / "scene.tif")
    allowed = {inside / "scene.tif": True, outside / "back.tif": True, inside: True}
    refused = {
        outside / "scene.tif": False,
        inside / "link.tif": False,
        inside / "links" / "scene.tif": False,
        tmp_path / "in" / ".." / "out" / "scene.tif": False,
        tmp_path / "inner": False,
        inside / "..": False,
    }
    with serving(make_settings(tmp_path, sqlite_database, input_roots=(inside,))) as api:
        for path, accepted in (allowed | refused).items():
            document = {"image": "ndvi", "inputs": {"SCENE": {"href": f"file://{path}"}}}
            response = api.post("/v1/jobs", json=document)
            assert (response.status_code == 201) is accepted, (path, response.text)
            if not accepted:
                assert "lies outside" in response.json()["errors"][0]["message"]


def test_inputs_may_be_left_unchecked(scene: Scene, sqlite_database: str, tmp_path: Path) -> None:
    """Where the service does not see the agents' file system."""
    with serving(make_settings(tmp_path, sqlite_database, check_inputs=False)) as api:
        api.submit(inputs={"SCENE": {"href": "file:///elsewhere/scene.tif"}})


def test_a_job_larger_than_every_agent_is_refused_with_numbers(api: Api, scene: Scene, scene_file: str) -> None:
    """Unless it may wait; without any agent nobody knows, and it waits."""
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}, "resources": {"mem": 64000}}
    api.submit(**document)
    scene.apply(an_agent("a", total=Resources(cpus_m=8000, mem=16384, disk=50000)))
    scene.apply(an_agent("b", total=Resources(cpus_m=2000, mem=48000, disk=50000)))
    message = api.refusal(document)["/resources"]
    assert "needs 64000 MiB memory, there is 48000" in message
    api.submit(**document, may_wait=True)
    assert "no single one" in api.refusal({**document, "resources": {"cpus": 4, "mem": 40000}})["/resources"]
    api.submit(**{**document, "resources": {"cpus": 8, "mem": 16384}})


def test_a_task_may_ask_for_terabytes(api: Api, scene: Scene, scene_file: str) -> None:
    """As much as the largest machine has, and learn how much that is."""
    scene.apply(an_agent("a", total=Resources(cpus_m=8000, mem=2_097_152, disk=50_000_000)))
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}, "resources": {"mem": 2_000_000}}
    assert api.submit(**document)["resources"]["mem"] == 2_000_000
    message = api.refusal({**document, "resources": {"mem": 3_145_728}})["/resources"]
    assert "needs 3145728 MiB memory, there is 2097152" in message


def test_what_the_executor_takes_is_not_there_for_tasks(api: Api, scene: Scene, scene_file: str) -> None:
    """A job exactly as large as an agent would wait for ever; the message names what a task can have."""
    scene.apply(an_agent("a", total=Resources(cpus_m=8000, mem=16384, disk=50000)))
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}}
    whole = {**document, "resources": {"cpus": 8, "mem": 16384}}
    api.submit(**whole)
    scene.apply(PutSchedulerStatus(connected=True, data={"executor": {"cpus": 0.1, "mem": 128, "disk": 0, "gpus": 0}}))
    message = api.refusal(whole)["/resources"]
    assert "needs 8 cpus, there is 7.9; needs 16384 MiB memory, there is 16256" in message
    api.submit(**document, resources={"cpus": 7.9, "mem": 16256})
    scene.apply(PutSchedulerStatus(connected=True, data={"executor": {"cpus": 9, "mem": 128}}))
    assert "there is 0" in api.refusal(whole)["/resources"]
    scene.apply(PutSchedulerStatus(connected=True, data={"executor": {"of": "a later version"}}))
    api.submit(**whole)


def test_ports_and_custom_scalars_are_held_against_the_agents(api: Api, scene: Scene, scene_file: str) -> None:
    """More than any agent has, and what none has at all, is refused by its name; what fits comes back as it was asked for."""
    scene.apply(an_agent("a", total=Resources(cpus_m=8000, mem=16384, disk=50000, ports=10, custom=(("tape", 1500),))))
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}}
    fitting = {"ports": 10, "custom": {"tape": 1.5}}
    job = api.submit(**document, resources=fitting)
    assert {name: job["resources"][name] for name in fitting} == fitting
    for wanted, words in (
        ({"ports": 11}, "needs 11 ports, there is 10"),
        ({"custom": {"tape": 2}}, "needs 2 tape, there is 1.5"),
        ({"custom": {"fpgas": 1}}, "needs 1 fpgas, there is 0; may_wait"),
        ({"custom": {"tapes": 1}}, "needs 1 tapes, there is 0 (did you mean tape?)"),
    ):
        assert words in api.refusal({**document, "resources": wanted})["/resources"]
        api.submit(**document, resources=wanted, may_wait=True)


def test_amounts_that_make_no_sense_are_refused_where_they_stand(shared_api: Api, scene_file: str) -> None:
    """A part of a port, a name that is none, more names than are taken."""
    for resources, path in (
        ({"ports": 0.5}, "/resources/ports"),
        ({"custom": {"tape": -1}}, "/resources/custom/tape"),
        ({"custom": {"9lives": 1}}, "/resources/custom/9lives"),
        ({"custom": {"cpus": 1}}, "/resources/custom/cpus"),
        ({"custom": {f"n{number}": 1 for number in range(30)}}, "/resources/custom"),
    ):
        document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}, "resources": resources}
        assert set(shared_api.refusal(document)) == {path}


def test_an_image_with_mounts_is_refused(api: Api, scene: Scene) -> None:
    """No executor would start it."""
    interface = {"command": "x", "mounts": [{"name": "DEM", "path": "/dem"}]}
    job = {**MANIFEST["job"], "name": "mounted", "interface": interface}
    scene.register(name="mounted", digest="sha256:4", manifest={**MANIFEST, "job": job})
    assert "declares mounts (DEM)" in api.refusal({"image": "mounted"})["/image"]


def test_a_policy_about_an_error_that_the_image_does_not_declare_is_refused(api: Api, scene: Scene) -> None:
    """With those that it declares; one of them is taken."""
    errors = [{"code": 3, "name": "tile-busy"}, {"code": 4, "name": "no-crs", "category": "data"}]
    manifest = {**MANIFEST, "job": {**MANIFEST["job"], "name": "strict", "errors": errors}}
    scene.register(name="strict", manifest=manifest, digest="sha256:7")
    assert api.refusal({"image": "strict", "retry": {"on": {"ERROR:tile-bsy": "retry", "ERROR:no-crs": "retry"}}})[
        "/retry/on/ERROR:tile-bsy"
    ] == ("is no error of the image; it declares ERROR:no-crs, ERROR:tile-busy")
    problems = api.refusal({"image": "strict", "retry": {"on": {"ERROR:no-crs": {"grow_mem": 2}}}})
    assert not any(path.startswith("/retry") for path in problems)


def test_settings_are_given_exactly(api: Api, scene: Scene) -> None:
    """One that the image asks for and nobody gives is told at once, as one that it does not know is."""
    interface = {"command": "x", "settings": [{"name": "KEY"}]}
    job = {**MANIFEST["job"], "name": "set", "interface": interface}
    scene.register(name="set", digest="sha256:5", manifest={**MANIFEST, "job": job})
    assert api.refusal({"image": "set"}) == {"/settings/KEY": "is missing"}
    assert set(api.refusal({"image": "set", "settings": {"KEY": "1", "KAY": "2"}})) == {"/settings/KAY"}
    api.submit(image="set", settings={"KEY": "1"})


def test_a_constraint_that_no_agent_meets_is_refused(api: Api, scene: Scene, scene_file: str) -> None:
    """And one that some agent meets is not."""
    scene.apply(an_agent("a", attributes={"rack": "1"}))
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}}
    here = [{"attribute": "rack", "operator": "in", "value": ["1", "2"]}]
    there = [{"attribute": "rack", "operator": "equals", "value": "2"}]
    api.submit(**document, constraints=here)
    assert "no agent" in api.refusal({**document, "constraints": there})["/constraints"]


def test_what_is_no_constraint_is_refused_where_it_stands(shared_api: Api) -> None:
    """An operator that nobody knows, a value that it does not take, a pattern that is none."""
    wrong = [("rack", "unlike", "x"), ("rack", "max_per", "x"), ("rack", "like", "(a"), ("rack", "unique", None)]
    rules = [{"attribute": name, "operator": operator, "value": value} for name, operator, value in wrong]
    problems = shared_api.refusal({"image": "ndvi", "constraints": rules})
    assert set(problems) == {"/constraints/0/operator", "/constraints/1/value", "/constraints/2/value"}


def test_an_agents_own_names_count_as_attributes(api: Api, scene: Scene, scene_file: str) -> None:
    """Its host name, region and zone; a soft constraint refuses nothing, and one that spreads asks for the attribute."""
    scene.apply(an_agent("a", region="eu-south", zone="a"))
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}}
    here = {"attribute": "region", "operator": "like", "value": "eu-.*"}
    hosts = {"attribute": "hostname", "operator": "unique"}
    there = {"attribute": "zone", "operator": "equals", "value": "b"}
    api.submit(**document, constraints=[here, hosts, {**there, "hard": False}])
    for rule in (there, {"attribute": "rack", "operator": "max_per", "value": 2}):
        assert "no agent" in api.refusal({**document, "constraints": [rule]})["/constraints"]


def test_a_job_says_its_class_and_where_it_would_rather_run(api: Api, scene_file: str) -> None:
    """What was said comes back, under the names under which it was said."""
    said = {
        "class": "interactive",
        "preemptible": True,
        "expected_s": 90,
        "prefer": [{"attribute": "region", "value": "eu-south", "weight": 2}],
    }
    job = api.submit(image="ndvi", inputs={"SCENE": {"href": scene_file}}, **said)
    assert {name: job["spec"][name] for name in said} == said
    wrong = {"class": "slow", "expected_s": 0, "prefer": [{"attribute": "a", "value": "b", "weight": -1}]}
    assert set(api.refusal({"image": "ndvi", **wrong})) == {"/class", "/expected_s", "/prefer/0/weight"}


def test_inputs_count_into_what_is_asked_for(api: Api, scene: Scene, tmp_path: Path) -> None:
    """With inputMultiplier the largest task's files, directories included, decide."""
    job = {**MANIFEST["job"], "name": "big"}
    job["resources"] = {"scalar": [{"name": "mem", "value": 100.0, "inputMultiplier": 2.0}]}
    scene.register(name="big", digest="sha256:3", manifest={**MANIFEST, "job": job})
    small, large = tmp_path / "small.tif", tmp_path / "large"
    small.write_bytes(b"x")
    large.mkdir()
    for name in "ab":
        (large / name).write_bytes(b"\0" * (3 * 1024 * 1024))
    items = [{"href": small.as_uri()}, {"href": large.as_uri()}]
    accepted = api.submit(image="big", array={"over": "SCENE", "items": items})
    assert accepted["resources"]["mem"] == 112


def test_an_array_over_something_unknown_is_refused(shared_api: Api, scene_file: str) -> None:
    """At the array, not at a task."""
    document = {"image": "ndvi", "inputs": {"SCENE": {"href": scene_file}}, "array": {"over": "TILE", "range": [0, 9]}}
    assert set(shared_api.refusal(document)) == {"/array/over"}


def test_an_item_of_the_wrong_form_is_named(shared_api: Api, scene_file: str) -> None:
    """Each with its index."""
    items = [{"href": scene_file}, "file:///x", 7, {"url": "x"}]
    problems = shared_api.refusal({"image": "ndvi", "array": {"over": "SCENE", "items": items}})
    assert set(problems) == {"/array/items/1", "/array/items/2", "/array/items/3"}
