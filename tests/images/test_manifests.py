"""The images' manifests are valid Seed 1.0.0 and true: what they promise is what the programs do."""

import json
import math
import re
from functools import cache

import pytest
from swath_eo.errors import ALL_ERRORS
from swath_eo.program import WINDOW, largest_window

from swath.domain.manifest import Manifest, SwathManifest
from tests.images.scenes import NDVI, ROOT

IMAGES = sorted(path.parent for path in (ROOT / "images").glob("*/seed.manifest.json"))
PROCESSING = [path for path in IMAGES if (path / "Dockerfile").exists()]
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


@cache
def read(path):
    return json.loads(path.read_text())


def problems(value, schema, where=""):
    """What is wrong with a value by the part of JSON Schema (draft 4) that Seed's schema uses."""
    expected = TYPES.get(schema.get("type"), object)
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool and expected is not object):
        yield f"{where}: {value!r} is no {schema['type']}"
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value)
        if schema.get("additionalProperties") is False:
            yield from (f"{where}: {name} is unknown" for name in value if name not in known)
        for name in value.keys() & known.keys():
            yield from problems(value[name], known[name], f"{where}/{name}")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from problems(entry, schema.get("items", {}), f"{where}/{index}")
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is none of {schema['enum']}"
    elif "pattern" in schema and not re.search(schema["pattern"].replace("SEED_VERSION", r"1\.0\.0"), value):
        yield f"{where}: {value!r} does not match {schema['pattern']}"


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_a_manifest_is_valid_by_the_published_schema(seed_folder, image):
    """And by our own reading of it."""
    manifest = read(image / "seed.manifest.json")
    assert list(problems(manifest, read(seed_folder / "seed.manifest.schema.json"))) == []
    assert Manifest.from_json(manifest).job.name == image.name


def test_the_check_itself_finds_what_is_wrong(seed_folder):
    """An unknown property, a wrong type, a missing name, a bad version."""
    manifest = json.loads((NDVI / "seed.manifest.json").read_text())
    manifest["job"]["interface"]["inputs"]["json"][0]["description"] = "x"
    manifest["job"]["timeout"] = "long"
    manifest["job"]["jobVersion"] = "1"
    del manifest["job"]["title"]
    assert len(list(problems(manifest, read(seed_folder / "seed.manifest.schema.json")))) == 4


@pytest.mark.parametrize("image", PROCESSING, ids=lambda path: path.name)
def test_an_image_has_its_second_label(image):
    """Network none, unless it has a reason."""
    assert SwathManifest.from_json((image / "swath.manifest.json").read_text()).network == "none"


@pytest.mark.parametrize("image", PROCESSING, ids=lambda path: path.name)
def test_the_errors_in_a_manifest_are_those_of_the_library(image):
    """Code, name and category; those that any program on the library can end with are all there."""
    declared = {(e["code"], e["name"], e["category"]) for e in read(image / "seed.manifest.json")["job"]["errors"]}
    known = {(error.exit_code, error.name, error.category) for error in ALL_ERRORS}
    assert declared <= known
    assert {entry for entry in known if entry[0] <= 21 or entry[0] >= 30} <= declared


@pytest.mark.parametrize("image", PROCESSING, ids=lambda path: path.name)
def test_every_input_of_a_manifest_reaches_the_program(image):
    """Each is named in the command."""
    interface = read(image / "seed.manifest.json")["job"]["interface"]
    names = [entry["name"] for group in interface["inputs"].values() for entry in group]
    assert [name for name in names if f"${{{name}" not in interface["command"]] == []


def told_needs():
    """Image -> MiB of memory measured and at most, and times its input on the disk, by the table in docs/processing.md."""
    text = (ROOT / "docs" / "processing.md").read_text().partition("## What a run needs")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \|[^|]*\| (\d+) \| (\d+) \| \d+ \| \d+ \| ([\d.]+) \|", text, re.MULTILINE)
    return {name: tuple(map(float, figures)) for name, *figures in rows}


@pytest.mark.parametrize("image", PROCESSING, ids=lambda path: path.name)
def test_an_image_asks_for_what_was_measured_and_a_margin(image):
    """A quarter more memory or what twelve bands take, in steps of 64 MiB; half as much disk again, beside 256 MiB."""
    memory, most, ratio = told_needs()[image.name]
    asked = {entry["name"]: entry for entry in read(image / "seed.manifest.json")["job"]["resources"]["scalar"]}
    assert asked["mem"]["value"] == math.ceil(max(1.25 * memory, most) / 64) * 64
    assert asked["disk"] == {"name": "disk", "value": 256.0, "inputMultiplier": float(math.ceil(1.5 * ratio))}


@pytest.mark.parametrize(("name", "bytes_a_pixel"), [("ndvi", 40), ("bands", 260), ("subset", 296), ("atmcor", 280)])
def test_windows_are_not_made_smaller_by_what_a_manifest_asks_for(name, bytes_a_pixel):
    """With twelve bands, by the programs' own reckoning: a smaller window would decode blocks of JPEG2000 twice."""
    manifest = Manifest.from_json((ROOT / "images" / name / "seed.manifest.json").read_text())
    assert largest_window(manifest.resources().mem, bytes_per_pixel=bytes_a_pixel) >= WINDOW


def test_the_built_in_image_asks_for_next_to_nothing():
    """0.02 cpus and 8 MiB, so that a laptop runs hundreds a second."""
    resources = Manifest.from_json((ROOT / "images" / "true" / "seed.manifest.json").read_text()).resources()
    assert (resources.cpus, resources.mem, resources.disk) == (0.02, 8, 0)
