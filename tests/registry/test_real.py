"""The client against Debian's docker-registry: what is there, what it is called, what it says of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from swath.domain.errors import NotInRegistryError, RegistryMalformedError, RegistryUnreachableError, WrongPlatformError
from swath.domain.references import Reference
from swath.registry.client import RegistryClient
from swath.registry.settings import RegistrySettings
from tests.executor.programs import docker
from tests.fixtures.registry import free_port, serve_registry
from tests.registry.pushing import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, Pusher, an_image, an_index

ABSENT = "sha256:" + "0" * 64


def client_of(registry: str, **settings: Any) -> RegistryClient:
    """A client that never waits, and knows the registry."""
    return RegistryClient({registry: RegistrySettings.model_validate(settings)}, wait=lambda pause: None)


@pytest.fixture
def pusher(registry: str) -> Pusher:
    """Pushes to the shared registry."""
    return Pusher(f"http://{registry}")


@pytest.mark.parametrize("media_type", [DOCKER_MANIFEST, "application/vnd.oci.image.manifest.v1+json"])
def test_an_image_says_what_it_is_without_being_pulled(registry: str, pusher: Pusher, media_type: str) -> None:
    """Digest, platform, size, layers, labels, user and time, by tag and by digest alike."""
    image = an_image(labels={"swath.manifest": "{}"}, layers=(b"one", b"another"), user="10001", media_type=media_type)
    digest = pusher.push("eo/plain", image, "1.0.0")
    found = client_of(registry).inspect(Reference.parse(f"{registry}/eo/plain:1.0.0"))
    assert (found.digest, found.manifest_digest, found.media_type) == (digest, digest, media_type)
    assert (found.platform, found.user, found.labels) == ("linux/amd64", "10001", {"swath.manifest": "{}"})
    assert [layer.size for layer in found.layers] == [3, 7]
    assert found.size == sum(map(len, image.blobs))
    assert found.created == datetime(2026, 8, 15, 10, 20, 30, 123456, UTC)
    assert client_of(registry).inspect(Reference.parse(f"{registry}/eo/plain@{digest}")) == found


def test_a_tag_is_resolved_and_followed_when_it_moves(registry: str, pusher: Pusher) -> None:
    """The digest of now; the one of before stays there by its name."""
    first = pusher.push("moving", an_image(layers=(b"first",)), "1")
    reference = Reference.parse(f"{registry}/moving:1")
    assert client_of(registry).resolve(reference).digest == first
    second = pusher.push("moving", an_image(layers=(b"second",)), "1")
    assert client_of(registry).resolve(reference).digest == second
    assert client_of(registry).resolve(reference.pinned(first)).digest == first


def test_what_is_not_there_is_told(registry: str, pusher: Pusher) -> None:
    """A repository, a tag, a digest, and one that was deleted: NotInRegistryError with the name."""
    digest = pusher.push("deleted", an_image(layers=(b"short-lived",)), "1")
    pusher.delete("deleted", digest)
    for name in ("nowhere:1", "deleted:1", f"deleted@{digest}", f"nowhere@{ABSENT}"):
        for ask in (client_of(registry).resolve, client_of(registry).inspect):
            with pytest.raises(NotInRegistryError, match=f"does not have {registry}/{name}: push it"):
                ask(Reference.parse(f"{registry}/{name}"))


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_of_an_image_for_several_platforms_the_right_one_is_read(
    registry: str, pusher: Pusher, media_type: str
) -> None:
    """Attestations are no platform, and told; the digest is the index's, as the engine has it."""
    kind = DOCKER_MANIFEST if media_type == DOCKER_LIST else "application/vnd.oci.image.manifest.v1+json"
    images = {
        platform: an_image(platform=platform, labels={"for": platform}, media_type=kind)
        for platform in ("linux/arm64/v8", "linux/amd64")
    }
    for image in images.values():
        pusher.push("eo/many", image)
    about = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": images["linux/amd64"].digest,
    }
    proof = an_image(platform="unknown/unknown", media_type=kind)
    pusher.push("eo/many", proof)
    entries = [proof.entry("unknown/unknown", **about)] + [image.entry(name) for name, image in images.items()]
    digest = pusher.push("eo/many", an_index(*entries, media_type=media_type), "1")
    reference = Reference.parse(f"{registry}/eo/many:1")
    found = client_of(registry).inspect(reference)
    assert (found.digest, found.manifest_digest) == (digest, images["linux/amd64"].digest)
    assert (found.labels, found.attestations) == ({"for": "linux/amd64"}, (proof.digest,))
    assert client_of(registry).inspect(reference, "linux/arm64").platform == "linux/arm64/v8"
    with pytest.raises(
        WrongPlatformError, match=r"for linux/amd64, linux/arm64/v8, and not for linux/riscv64: build it"
    ):
        client_of(registry).inspect(reference, "linux/riscv64")


def test_an_index_within_an_index_is_followed(registry: str, pusher: Pusher) -> None:
    """The inner one names no platform."""
    image = an_image(labels={"at": "the bottom"})
    pusher.push("eo/nested", image)
    inner = an_index(image.entry("linux/amd64"))
    pusher.push("eo/nested", inner)
    entry = {"mediaType": OCI_INDEX, "digest": inner.digest, "size": len(inner.manifest)}
    pusher.push("eo/nested", an_index(entry), "1")
    assert client_of(registry).inspect(Reference.parse(f"{registry}/eo/nested:1")).manifest_digest == image.digest


def test_an_image_for_another_platform_only_is_told(registry: str, pusher: Pusher) -> None:
    """A manifest has no platform of its own: its configuration has."""
    pusher.push("eo/arm", an_image(platform="linux/arm64"), "1")
    with pytest.raises(WrongPlatformError, match="is for linux/arm64, and not for linux/amd64"):
        client_of(registry).inspect(Reference.parse(f"{registry}/eo/arm:1"))


@pytest.mark.docker
def test_an_image_that_docker_built_and_pushed_is_read(registry: str, tmp_path: Path) -> None:
    """The labels, the user, the engine's image id and the digest that the engine knows it by."""
    name = f"{registry}/eo/built:1"
    (tmp_path / "file").write_text("content")
    (tmp_path / "Dockerfile").write_text(
        'FROM scratch\nCOPY file /file\nUSER 10001\nLABEL swath.manifest="{\\"network\\": \\"none\\"}"\n'
    )
    try:
        docker("build", "--quiet", "--tag", name, str(tmp_path))
        docker("push", name)
        found = client_of(registry).inspect(Reference.parse(name))
        assert docker("inspect", "--format", "{{.Id}}", name) == found.config_digest
        assert docker("inspect", "--format", "{{index .RepoDigests 0}}", name) == f"{registry}/eo/built@{found.digest}"
        assert (found.user, found.labels["swath.manifest"], len(found.layers)) == ("10001", '{"network": "none"}', 1)
    finally:
        docker("rmi", "--force", name)


def test_lists_are_read_to_their_end(tmp_path: Path) -> None:
    """More repositories than a page of a real registry holds, and as many tags."""
    with serve_registry(tmp_path / "registry", {"catalog": {"maxentries": 1000}}) as address:
        Pusher(f"http://{address}").push("many", an_image(), "first")
        source = tmp_path / "registry/blobs/docker/registry/v2/repositories/many"
        tag = source / "_manifests/tags/first"
        for number in range(1200):  # what pushing would make, in a second instead of a minute
            (source.parent / f"r{number:04}").symlink_to(source, target_is_directory=True)
            (tag.parent / f"t{number:04}").symlink_to(tag, target_is_directory=True)
        tags = client_of(address).list_tags(Reference.parse(f"{address}/many"))
        assert sorted(tags) == ["first", *(f"t{number:04}" for number in range(1200))]
        repositories = client_of(address).list_repositories(address)
        assert sorted(repositories) == ["many", *(f"r{number:04}" for number in range(1200))]


def test_a_repository_without_tags_has_none(registry: str, pusher: Pusher) -> None:
    """An empty list where there is the repository; NotInRegistryError where there is none."""
    digest = pusher.push("untagged", an_image(layers=(b"untagged",)), "1")
    pusher.delete("untagged", digest)
    assert client_of(registry).list_tags(Reference.parse(f"{registry}/untagged")) == []
    with pytest.raises(NotInRegistryError, match="the list of tags of"):
        client_of(registry).list_tags(Reference.parse(f"{registry}/nowhere"))


def test_a_mirror_serves_digests_and_the_registry_its_tags(tmp_path: Path) -> None:
    """A real pull-through mirror is asked for digests first; what a tag means the registry itself says, while it answers."""
    with serve_registry(tmp_path / "registry") as address:
        pusher = Pusher(f"http://{address}")
        first = pusher.push("eo/ndvi", an_image(labels={"v": "first"}), "1")
        with serve_registry(tmp_path / "mirror", {"proxy": {"remoteurl": f"http://{address}"}}) as mirror:
            client = client_of(address, mirrors=(mirror,))
            reference = Reference.parse(f"{address}/eo/ndvi:1")
            assert client.inspect(reference).digest == first
            second = pusher.push("eo/ndvi", an_image(labels={"v": "second"}), "1")
            assert client.resolve(reference).digest == second
            assert client.inspect(reference.pinned(first)).labels == {"v": "first"}
            assert (tmp_path / "mirror/blobs/docker/registry/v2/blobs").is_dir()  # it was asked, and keeps what it gave
        # The mirror is gone: the registry answers for digests too.
        assert client.inspect(reference.pinned(second)).labels == {"v": "second"}
    with serve_registry(tmp_path / "copy") as copy:
        Pusher(f"http://{copy}").push("eo/ndvi", an_image(labels={"v": "second"}), "1")
        client = client_of(address, mirrors=(copy,))
        assert client.resolve(reference).digest == second  # the registry is gone: the mirror answers for tags
        assert client.inspect(reference).labels == {"v": "second"}


def test_nobody_there_is_told_after_some_tries() -> None:
    """Four tries with growing pauses, then RegistryUnreachableError, which may pass."""
    pauses: list[float] = []
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(RegistryUnreachableError, match=f"registry {address} takes no connection") as caught:
        RegistryClient({address: RegistrySettings()}, wait=pauses.append).resolve(Reference.parse(f"{address}/ndvi:1"))
    assert caught.value.passing
    assert len(pauses) == 3
    assert 0.25 <= pauses[0] <= 0.5 < 1.0 <= pauses[2] <= 2.0


@pytest.mark.parametrize("labels", [{"title": "a\0b"}, {"title": "\ud800"}, {"title": 7}, ["title"]])
def test_labels_that_no_database_takes_are_refused(registry: str, pusher: Pusher, labels: Any) -> None:
    """RegistryMalformedError; the registry itself takes anything."""
    pusher.push("eo/strange", an_image(labels=labels), "1")
    with pytest.raises(RegistryMalformedError, match="has labels that are none"):
        client_of(registry).inspect(Reference.parse(f"{registry}/eo/strange:1"))
