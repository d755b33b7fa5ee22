"""The catalogue: what a name means, and what a new registration changes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swath.domain.errors import NotFoundError
from swath.store.images import version_key
from swath.store.rows import ImageFilters
from tests.store.build import NOW


def at(minutes: int):
    """A moment so many minutes later."""
    return NOW + timedelta(minutes=minutes)


def test_an_image_is_found_by_name_and_version(scene):
    """What was registered is what is found."""
    said = {"manifest": {"job": {"name": "evi"}}, "swath_manifest": {"network": "none"}, "context": "/images/evi"}
    image = scene.register(name="evi", version="2.0.0", digest="sha256:e", **said)

    assert scene.api.find_image("evi:2.0.0") == scene.api.get_image(image.id) == image
    assert (image.manifest, image.swath_manifest, image.context) == tuple(said.values())


@pytest.mark.parametrize("reference", ["evi", "ndvi:9.9.9", "ndvi@sha256:none", ""])
def test_an_unknown_image_is_none(scene, reference):
    """Neither another name nor another version nor another digest is found."""
    assert scene.api.find_image(reference) is None


def test_a_name_alone_is_the_largest_version(scene):
    """1.10.0 is later than 1.9.0, whichever was registered last; a release candidate comes before its release."""
    for minute, version in enumerate(["1.10.0", "2.0.0-rc1", "1.9.0"]):
        scene.register(version=version, digest=f"sha256:{version}", now=at(minute))
    assert scene.api.find_image("ndvi").version == "2.0.0-rc1"

    scene.register(version="2.0.0", digest="sha256:2", now=at(0))

    assert scene.api.find_image("ndvi").version == "2.0.0"


def test_of_several_digests_the_last_registered_serves(scene):
    """A rebuilt version replaces the one before; registering the old digest again brings that one back."""
    old = scene.image
    new = scene.register(digest="sha256:2", now=at(1))
    assert scene.api.find_image("ndvi:1.0.0") == new

    again = scene.register(digest=old.digest, now=at(2))

    assert again.id == old.id
    assert again.created_at == old.created_at
    assert scene.api.find_image("ndvi:1.0.0") == again
    assert scene.api.find_image("ndvi@sha256:2") == new


def test_a_known_digest_learns_where_it_is_now(scene):
    """Registering a digest with a reference after it was known by its context stores the reference."""
    scene.register(reference="registry/ndvi@sha256:1", context=None)

    assert scene.api.find_image("ndvi").reference == "registry/ndvi@sha256:1"


def test_a_job_keeps_the_digest_that_it_was_submitted_with(scene):
    """A new digest of a version does not touch the jobs of the old one."""
    job = scene.submit()
    scene.register(digest="sha256:2", now=at(1))

    assert scene.api.get_job(job.id).image_version_id == scene.image.id
    assert scene.scheduler.load().jobs[0].image.digest == "sha256:1"


def test_images_are_listed_page_by_page(scene):
    """All versions come in the order of registration; a name keeps its own."""
    for number in range(4):
        scene.register(name="evi", version=f"1.0.{number}", digest=f"sha256:{number}")

    first = scene.api.list_images(limit=3)
    rest = scene.api.list_images(after=first.next, limit=3)

    assert [row.image.version for row in (*first.items, *rest.items)] == ["1.0.0", "1.0.0", "1.0.1", "1.0.2", "1.0.3"]
    assert rest.next is None
    assert {row.image.name for row in scene.api.list_images(ImageFilters(name="evi")).items} == {"evi"}


def test_an_unknown_row_is_not_found(scene):
    """A row id that was never given out raises NotFoundError."""
    with pytest.raises(NotFoundError):
        scene.api.get_image(10**6)


def test_versions_are_ordered_as_semver_does():
    """Numbers count as numbers, and what comes before a release is smaller than it."""
    ordered = ["0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0+build7"]

    assert sorted(set(ordered), key=version_key) == ordered
