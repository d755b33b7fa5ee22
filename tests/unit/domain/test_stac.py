"""STAC items completed with checksums and lineage."""

import copy

import pytest

from swath.domain.attempts import OutputFile
from swath.domain.stac import FILE, PROCESSING, Lineage, complete_item, is_item
from tests.fixtures.stac import check_item

SHA = "ab" * 32
ITEM = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "stac_extensions": [],
    "id": "x",
    "geometry": None,
    "properties": {"datetime": "2026-01-01T00:00:00Z", "title": "mine"},
    "links": [{"rel": "license", "href": "https://example.org"}],
    "assets": {
        "data": {"href": "./a%20b.tif", "roles": ["data"]},
        "above": {"href": "../c.tif"},
        "elsewhere": {"href": "https://example.org/a b.tif"},
    },
}
LINEAGE = Lineage(
    job="01JD0000000000000000000000",
    task=3,
    attempt="01JE0000000000000000000000",
    software="ndvi",
    version="1.0.0-1.0.0",
    image="registry/ndvi@sha256:0",
    inputs=[("SCENE", "https://example.org/scene.tif"), ("SCENE", "s3://eo/x/")],
    checksums={"https://example.org/scene.tif": f"sha256:{SHA}"},
    parameters={"WINDOW": 64},
)
FILES = (
    OutputFile(name="a", path="d/a b.tif", size=5, sha256=SHA),
    OutputFile(name="c", path="c.tif", size=6, sha256=None),
    OutputFile(name="item", path="d/item.json", size=7, sha256=SHA),
)


def test_assets_get_their_checksums_and_sizes():
    """Those that are files beside the item, by whatever relative way; of others nothing is said."""
    item = complete_item(ITEM, "d/item.json", FILES, LINEAGE)
    check_item(item)
    assert item["assets"]["data"] == {
        "href": "./a%20b.tif",
        "roles": ["data"],
        "file:size": 5,
        "file:checksum": "1220" + SHA,
    }
    assert item["assets"]["above"] == ITEM["assets"]["above"]
    assert item["assets"]["elsewhere"] == ITEM["assets"]["elsewhere"]
    assert item["stac_extensions"] == [FILE, PROCESSING]


def test_it_says_where_it_came_from():
    """Inputs as links, with the checksums that were declared; image, job and parameters; what the image said stays."""
    item = complete_item(ITEM, "d/item.json", FILES, LINEAGE)
    assert item["links"][0] == ITEM["links"][0]
    assert item["links"][1:] == [
        {
            "rel": "derived_from",
            "href": "https://example.org/scene.tif",
            "title": "SCENE",
            "file:checksum": "1220" + SHA,
        },
        {"rel": "derived_from", "href": "s3://eo/x/", "title": "SCENE"},
    ]
    assert item["properties"]["title"] == "mine"
    assert item["properties"]["processing:software"] == {"ndvi": "1.0.0-1.0.0"}
    assert item["properties"]["swath:image"] == "registry/ndvi@sha256:0"
    assert item["properties"]["swath:parameters"] == {"WINDOW": 64}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "FeatureCollection"},
        {"stac_version": 1},
        {"assets": [{"href": "x"}]},
        {"assets": {"x": "y"}},
        {"properties": None},
        {"links": None},
        {"stac_extensions": "x"},
    ],
)
def test_what_is_no_item_is_left_alone(change):
    """GeoJSON of other kinds, and nonsense."""
    assert is_item(copy.deepcopy(ITEM))
    assert not is_item({**ITEM, **change})


@pytest.mark.parametrize("document", [None, [], "x", {}])
def test_other_json_is_no_item(document):
    """Whatever it is."""
    assert not is_item(document)
