"""The catalogue beyond names: states and their history, owners and projects, details, search, usage by version."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swath.domain.catalogue import ImageState, Mover
from swath.domain.changes import AddUsage
from swath.domain.errors import ConflictError, ForbiddenError, NotFoundError
from swath.domain.usage import Amounts
from swath.store.rows import DetailsRow, ImageFilters, UsageFilters
from tests.store.build import NOW

DETAILS = DetailsRow(
    media_type="application/vnd.oci.image.manifest.v1+json",
    size=5_000_000_000,
    platform="linux/amd64",
    runs_as="10001",
    layers=[{"digest": "sha256:a", "size": 3}],
    labels={"team": "forest", 'a"b': "c"},
    provenance={"revision": "abc"},
    packages={"numpy": "2.0"},
    tag="registry/ndvi:1.0.0",
    pushed_by="ci",
)


def move(scene, after, mover=Mover.APPROVER, image=None, why="because"):
    """Bring the scene's image into another state."""
    row = image or scene.image
    return scene.api.move_image(row.id, after, mover=mover, user="ada", why=why, now=NOW + timedelta(hours=1))


def names(scene, **filters):
    """What a search finds."""
    return [str(row.image) for row in scene.api.list_images(ImageFilters(**filters)).items]


def test_details_are_kept_and_what_is_not_said_again_stays(scene):
    """What a registry said is found; a registration that says less forgets nothing."""
    image = scene.register(name="evi", digest="sha256:e", details=DETAILS, user="ci")
    scene.register(name="evi", digest="sha256:e", details=DetailsRow(provenance={"revision": "def"}))
    scene.api.set_image_details(image.id, tag_digest="sha256:f", profile={"mem": 300})

    row = scene.api.get_catalogued(image.id)

    assert row.owner == "ci"
    assert row.details.layers == DETAILS.layers
    assert (row.details.size, row.details.runs_as) == (5_000_000_000, "10001")
    assert (row.details.provenance, row.details.tag_digest) == ({"revision": "def"}, "sha256:f")
    assert row.details.profile == {"mem": 300}


def test_every_change_of_state_is_kept_with_who_when_and_why(scene):
    """The first line is the registration; each further one has both states."""
    move(scene, ImageState.DEPRECATED, why="1.1.0 is better")
    move(scene, ImageState.RETIRED, why="a hole")

    lines = scene.api.list_transitions(scene.image.id)

    assert [(line.before, line.after) for line in lines] == [
        (None, "ACTIVE"),
        ("ACTIVE", "DEPRECATED"),
        ("DEPRECATED", "RETIRED"),
    ]
    assert (lines[1].user, lines[1].why, lines[1].at) == ("ada", "1.1.0 is better", NOW + timedelta(hours=1))


def test_an_illegal_change_writes_nothing(scene):
    """ConflictError names both states, ForbiddenError who might; state and history stay."""
    with pytest.raises(ConflictError, match=r"ndvi:1\.0\.0 is ACTIVE and cannot become VERIFYING"):
        move(scene, ImageState.VERIFYING)
    with pytest.raises(ForbiddenError):
        move(scene, ImageState.DEPRECATED, mover=Mover.SERVICE)
    with pytest.raises(NotFoundError):
        scene.api.move_image(10**6, ImageState.RETIRED, mover=Mover.OWNER, user="ada", why="?", now=NOW)

    assert scene.api.find_image("ndvi").state is ImageState.ACTIVE
    assert len(scene.api.list_transitions(scene.image.id)) == 1


def test_what_is_deprecated_serves_only_where_nothing_active_does(scene):
    """Deprecating the newest version brings the one before back, for the bare name too; that is how one rolls back."""
    bad = scene.register(version="2.0.0", digest="sha256:2")
    move(scene, ImageState.DEPRECATED, image=bad)
    assert scene.api.find_image("ndvi") == scene.image
    assert scene.api.find_image("ndvi:2.0.0").state is ImageState.DEPRECATED

    move(scene, ImageState.RETIRED)

    assert scene.api.find_image("ndvi").version == "2.0.0"
    assert scene.api.find_image("ndvi:1.0.0").state is ImageState.RETIRED


def test_registering_again_brings_back_what_is_deprecated_and_never_what_is_retired(scene):
    """The digest is ACTIVE again, with a line of history; a retired one is a conflict and nothing is written."""
    move(scene, ImageState.DEPRECATED)
    assert scene.register().state is ImageState.ACTIVE
    move(scene, ImageState.RETIRED)

    with pytest.raises(ConflictError, match="RETIRED"):
        scene.register(now=NOW + timedelta(days=1))

    assert scene.api.get_image(scene.image.id).registered_at == NOW
    assert [line.after for line in scene.api.list_transitions(scene.image.id)][-2:] == ["ACTIVE", "RETIRED"]


def test_a_pushed_version_known_as_active_stays_so(scene):
    """A webhook that tells of a known digest again changes no state; a new one waits for its verification."""
    assert scene.register(state=ImageState.REGISTERED).state is ImageState.ACTIVE
    new = scene.register(digest="sha256:9", state=ImageState.REGISTERED)
    assert new.state is ImageState.REGISTERED
    assert scene.api.find_image("ndvi:1.0.0") == scene.api.get_image(scene.image.id)
    assert scene.register(digest="sha256:9").state is ImageState.ACTIVE


def test_a_manifest_that_runs_is_changed_only_by_who_may_let_it_run(scene):
    """A push of a known digest with another manifest is a conflict, and nothing is written; by hand it is taken."""
    other = {"seedVersion": "1.0.0", "job": {"title": "other"}}
    with pytest.raises(ConflictError, match="ACTIVE with another manifest"):
        scene.register(manifest=other, state=ImageState.REGISTERED)
    assert scene.api.get_image(scene.image.id) == scene.image

    assert scene.register(manifest=other).manifest == other


def test_owner_and_projects_are_changed_and_found(scene):
    """The first to register owns; projects are null for all, and a search by project finds what it may run."""
    scene.register(name="evi", digest="sha256:e", user="ada")
    scene.api.put_image("evi", owner="bob", projects=["forest", "sea"])

    assert names(scene, owner="bob") == ["evi:1.0.0"]
    assert names(scene, project="sea") == ["ndvi:1.0.0", "evi:1.0.0"]
    assert names(scene, project="land") == ["ndvi:1.0.0"]
    with pytest.raises(NotFoundError):
        scene.api.put_image("nothing", owner="bob", projects=None)


def test_versions_are_searched(scene):
    """By text wherever words stand, whatever signs it has; by labels, all of them; by state."""
    manifest = {"job": {"title": "Enhanced Index", "description": "100% green", "tags": ["Vegetation"]}}
    scene.register(name="evi", digest="sha256:e", manifest=manifest, details=DETAILS)

    for text in ("enhanced", "VEGETATION", "100%", "team=forest", "registry/ndvi"):
        assert names(scene, text=text) == ["evi:1.0.0"], text
    assert names(scene, text="100_") == []
    assert names(scene, text="ndvi") == ["ndvi:1.0.0", "evi:1.0.0"]
    assert names(scene, labels={"team": "forest", 'a"b': "c"}) == ["evi:1.0.0"]
    assert names(scene, labels={"team": "sea"}) == []
    move(scene, ImageState.RETIRED)
    assert names(scene, state=ImageState.RETIRED) == ["ndvi:1.0.0"]


def test_a_job_tells_the_digest_that_it_runs(scene):
    """Whatever the name means later."""
    job = scene.submit()
    scene.register(digest="sha256:2", now=NOW + timedelta(minutes=1))

    assert scene.api.get_job(job.id).image_digest == "sha256:1"


def test_usage_of_one_version(scene):
    """What ended and what runs of that name and version, and of no other."""
    said = {"day": NOW.date(), "project": "p", "user": "u"}
    for image, outcome in (("ndvi:1.0.0", "SUCCEEDED"), ("ndvi:1.0.0", "OOM"), ("evi:1.0.0", "APP")):
        scene.apply(AddUsage(**said, image=image, outcome=outcome, amounts=Amounts(attempts=1, held_s=5)))
    scene.launch(scene.submit())

    filters = UsageFilters(by=(), first=NOW.date(), last=NOW.date(), image="ndvi:1.0.0")
    (row,) = scene.api.read_usage(filters, now=NOW).items

    assert row.outcomes == {"SUCCEEDED": 1, "OOM": 1, "RUNNING": 1}
    assert row.amounts.held_s == 10
