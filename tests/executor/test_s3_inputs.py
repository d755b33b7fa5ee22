"""Inputs by s3, from moto's server."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from obstore.store import S3Store

from executor.fetching.cache import Cache
from executor.fetching.inputs import Fetcher
from executor.fetching.limits import Limits
from executor.fetching.policy import Policy
from executor.staging import StartError
from swath.domain.checksums import read_checksum
from swath.domain.retries import Cause
from swath.s3 import StoreSettings, read_stores
from tests.executor.web_server import LETTERS
from tests.fixtures.s3 import KEY, S3


@dataclass
class Place:
    """A fetcher with the site's file."""

    root: Path
    stores: Path
    files: int = 100

    def fetch(self, href: str, checksum: str | None = None) -> Path:
        limits = Limits(files=self.files)
        fetcher = Fetcher(policy=Policy(), limits=limits, cache=Cache(self.root, limits.cache), stores=self.stores)
        progress = fetcher.begin(cancelled=lambda: False, tell=lambda message: None)
        return fetcher.fetch("SCENE", href, read_checksum(checksum) if checksum else None, progress)[0]

    def refuse(self, href: str) -> StartError:
        with pytest.raises(StartError) as caught:
            self.fetch(href)
        assert KEY not in str(caught.value)
        return caught.value


@pytest.fixture
def place(tmp_path: Path, s3: S3) -> Place:
    return Place(root=tmp_path / "cache", stores=s3.write_stores(tmp_path / "s3.toml"))


@pytest.fixture
def bucket(s3: S3) -> S3Store:
    """A bucket of its own for each test."""
    return s3.make_bucket("scenes")


def test_an_object_is_an_input(bucket: S3Store, place: Place) -> None:
    """With a name that a URL has to quote; the second time from the cache."""
    bucket.put("2023/a b+ü%3F.tif", LETTERS)
    path = place.fetch("s3://scenes/2023/a%20b%2B%C3%BC%253F.tif")
    assert (path.name, path.read_bytes()) == ("a b+ü%3F.tif", LETTERS)
    assert place.fetch("s3://scenes/2023/a%20b%2B%C3%BC%253F.tif") == path


def test_a_prefix_is_a_directory(bucket: S3Store, place: Place) -> None:
    """All below it and nothing beside it, in directories; the object that stands for the directory itself is none of it."""
    for key in ("p/S2A.SAFE/MTD.xml", "p/S2A.SAFE/GRANULE/B04.jp2", "p/S2A.SAFE.zip", "p/S2A.SAFE2/x"):
        bucket.put(key, key.encode())
    path = place.fetch("s3://scenes/p/S2A.SAFE/")
    assert path.name == "S2A.SAFE"
    found = {str(file.relative_to(path)): file.read_text() for file in path.rglob("*") if file.is_file()}
    assert found == {"MTD.xml": "p/S2A.SAFE/MTD.xml", "GRANULE/B04.jp2": "p/S2A.SAFE/GRANULE/B04.jp2"}
    bucket.put("p/S2A.SAFE/MTD.xml", b"new")
    assert (place.fetch("s3://scenes/p/S2A.SAFE/") / "MTD.xml").read_bytes() == b"new"


def test_a_part_is_gone_on_with(bucket: S3Store, place: Place) -> None:
    """What a killed executor left of the same version is not fetched again, and the whole is right."""
    bucket.put("scene.tif", LETTERS)
    digest = "sha256:" + hashlib.sha256(LETTERS).hexdigest()
    entry = place.root / hashlib.sha256(f"{digest}\0scene.tif".encode()).hexdigest()
    part = entry / "partial" / "files" / "scene.tif"
    part.parent.mkdir(parents=True)
    part.write_bytes(LETTERS[:500_000])
    assert place.fetch("s3://scenes/scene.tif", digest).read_bytes() == LETTERS


@pytest.mark.parametrize(
    ("href", "complaint"),
    [
        ("s3://scenes/none.tif", "is not there"),
        ("s3://scenes/none/", "nothing below this prefix"),
        ("s3://elsewhere/a", "no store of this site has a bucket elsewhere"),
        ("s3://scenes", "not of the form"),
        ("s3://scenes/", "not of the form"),
        ("s3://key:secret@scenes/a", "not of the form"),
        ("s3://scenes/a?versionId=1", "not of the form"),
        ("s3://../scenes/a", "not of the form"),
        ("s3://a..b/a", "not of the form"),
        ("s3://scenes/a/../../other/b", "illegal character sequence"),
        ("s3://scenes/a//b", "empty path segment"),
        ("s3://scenes/p/", "keys are no"),
        ("s3://scenes/r/", "keys are no"),
        ("s3://scenes/q/", "more than 100 objects"),
    ],
)
def test_what_is_not_there_is_the_inputs_fault(bucket: S3Store, place: Place, href: str, complaint: str) -> None:
    """INPUT, with a reason; also for keys that are no paths, and for too many of them."""
    bucket.put("p/x", b"")
    bucket.put("p/x/y", b"")
    bucket.put("r/" + "ü" * 128, b"")  # longer than any file system takes for a name
    if href.endswith("q/"):
        for number in range(101):
            bucket.put(f"q/{number}", b"")
    error = place.refuse(href)
    assert (error.cause, complaint in str(error)) == (Cause.INPUT, True), error


def test_wrong_keys_are_told_and_not_shown(s3: S3, bucket: S3Store, place: Place) -> None:
    """A site without a file, with a file open to others, with a broken one: a clear word, none of its contents."""
    bucket.put("a", b"")
    place.stores.chmod(0o644)
    error = place.refuse("s3://scenes/a")
    assert (error.cause, "chmod 600" in str(error)) == (Cause.TRANSFER, True)
    place.stores.write_text(f"secret_access_key = {KEY}")
    place.stores.chmod(0o600)
    assert "no TOML" in str(place.refuse("s3://scenes/a"))
    place.stores.write_text(f'[one]\nsecret = "{KEY}"')
    assert "store one" in str(place.refuse("s3://scenes/a"))
    assert KEY not in repr(StoreSettings(name="one", secret_access_key=KEY, access_key_id=KEY, session_token=KEY))


def test_a_store_that_is_not_there_is_the_platforms_trouble(tmp_path: Path) -> None:
    """TRANSFER."""
    stores = tmp_path / "s3.toml"
    stores.write_text(f'[gone]\nendpoint = "http://127.0.0.1:9"\naccess_key_id = "a"\nsecret_access_key = "{KEY}"\n')
    stores.chmod(0o600)
    assert Place(root=tmp_path / "cache", stores=stores).refuse("s3://scenes/a").cause is Cause.TRANSFER


def test_the_first_store_that_has_the_bucket_is_asked(tmp_path: Path) -> None:
    """In the file's order, by pattern."""
    stores = tmp_path / "s3.toml"
    stores.write_text(
        '[eo]\nbuckets = ["eo*"]\nendpoint = "https://eo"\nanonymous = true\n[rest]\nregion = "eu-central-1"\n'
    )
    stores.chmod(0o600)
    eo, others = read_stores(stores)
    assert (eo.buckets, eo.anonymous, others.buckets, others.region) == (("eo*",), True, ("*",), "eu-central-1")
