"""The images' manifests are valid Seed 1.0.0 and true: what they promise is what the programs do."""

import json
import re
from functools import cache

import pytest
from swath_eo.errors import ALL_ERRORS

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


def test_the_built_in_image_asks_for_next_to_nothing():
    """0.02 cpus and 8 MiB, so that a laptop runs hundreds a second."""
    resources = Manifest.from_json((ROOT / "images" / "true" / "seed.manifest.json").read_text()).resources()
    assert (resources.cpus, resources.mem, resources.disk) == (0.02, 8, 0)
