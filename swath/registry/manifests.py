"""What manifests, indexes and configurations say, read strictly: whoever pushed an image wrote them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

from swath.domain.errors import RegistryMalformedError, WrongDigestError, WrongPlatformError
from swath.domain.references import is_digest
from swath.domain.strict_json import read_strictly

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT = ", ".join((*INDEXES, *MANIFESTS))
_OLD = "application/vnd.docker.distribution.manifest.v1"

MOST_ENTRIES = 1000  # manifests of an index, layers of a manifest
LARGEST = 2**50  # bytes of anything
_LONGEST_USER = 256
_ATTESTATION = "attestation-manifest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """Something in a registry by its digest."""

    digest: str
    media_type: str
    size: int  # bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One image of an index."""

    descriptor: Descriptor
    platform: str  # "linux/amd64", "linux/arm/v7"
    attests: str | None = None  # the digest of the manifest that this one is about, where it is no image itself


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageManifest:
    """The manifest of one platform."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageConfig:
    """What an image says of itself."""

    platform: str
    labels: Mapping[str, str]
    user: str  # "" for root
    created: datetime | None  # UTC


def digest_of(content: bytes, like: str) -> str:
    """The content's digest, by the algorithm of another one."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def check_digest(content: bytes, digest: str, what: str) -> None:
    """Raises WrongDigestError where the content is another."""
    found = digest_of(content, digest)
    if found != digest:
        raise WrongDigestError(f"{what} is not what its name says: the registry sends bytes with digest {found}")


def read_document(content: bytes, what: str) -> dict[str, Any]:
    """The JSON object; raises RegistryMalformedError."""
    try:
        document = read_strictly(content)
    except ValueError as error:
        raise RegistryMalformedError(f"{what} is no JSON") from error
    if not isinstance(document, dict):
        raise RegistryMalformedError(f"{what} is no JSON object")
    return document


def media_type_of(document: Mapping[str, Any], header: str, what: str) -> str:
    """An index's or manifest's type: what it says itself, else the header's; raises RegistryMalformedError for others."""
    said = document.get("mediaType") or header.partition(";")[0].strip()
    if not isinstance(said, str) or said not in (*INDEXES, *MANIFESTS):
        hint = "made by a very old Docker: push it again with a newer one" if str(said).startswith(_OLD) else "no image"
        raise RegistryMalformedError(f"{what} is {hint} (type {str(said)[:100]!r})")
    return said


def read_index(document: Mapping[str, Any], what: str) -> list[Entry]:
    """The entries of an index."""
    return [_to_entry(value, what) for value in _list_of(document, "manifests", what)]


def read_manifest(document: Mapping[str, Any], what: str) -> ImageManifest:
    """The parts of a manifest."""
    layers = tuple(to_descriptor(value, what) for value in _list_of(document, "layers", what))
    return ImageManifest(config=to_descriptor(document.get("config"), what), layers=layers)


def read_config(document: Mapping[str, Any], what: str) -> ImageConfig:
    """What a configuration says."""
    config = document.get("config") or {}
    if not isinstance(config, dict):
        raise RegistryMalformedError(f"{what} has a configuration that is none")
    user = config.get("User") or ""
    if not _is_text(user) or len(user) > _LONGEST_USER:
        raise RegistryMalformedError(f"{what} has a user that is none")
    return ImageConfig(
        platform=_to_platform(document, what),
        labels=_to_labels(config.get("Labels"), what),
        user=user,
        created=_to_time(document.get("created")),
    )


def to_descriptor(value: Any, what: str) -> Descriptor:
    """The descriptor that JSON holds; raises RegistryMalformedError."""
    if isinstance(value, dict):
        digest, size, kind = value.get("digest"), value.get("size"), value.get("mediaType", "")
        if isinstance(digest, str) and is_digest(digest) and is_size(size) and _is_text(kind):
            return Descriptor(digest=digest, media_type=kind, size=size)
    raise RegistryMalformedError(f"{what} names a part without a digest and a size that can be")


def choose(entries: list[Entry], platform: str, what: str) -> Entry:
    """The first entry for a platform ("linux/arm64" takes any variant); raises WrongPlatformError with what there is."""
    images = [entry for entry in entries if entry.attests is None]
    for entry in images:
        if fits(entry.platform, platform):
            return entry
    raise wrong_platform(what, {entry.platform for entry in images}, platform)


def fits(offered: str, wanted: str) -> bool:
    """True when an image for `offered` runs where `wanted` is."""
    return offered == wanted or offered.startswith(wanted + "/")


def wrong_platform(what: str, offered: set[str], wanted: str) -> WrongPlatformError:
    """The error that says what there is instead."""
    there = ", ".join(sorted(offered)[:20]) or "no platform"
    return WrongPlatformError(f"{what} is for {there}, and not for {wanted}: build it with --platform {wanted}")


def _to_entry(value: Any, what: str) -> Entry:
    descriptor = to_descriptor(value, what)
    annotations = value.get("annotations")
    said = annotations if isinstance(annotations, dict) else {}
    attests = None
    if said.get("vnd.docker.reference.type") == _ATTESTATION:
        attests = str(said.get("vnd.docker.reference.digest"))
    platform = value.get("platform")
    if platform is None:  # an index within an index may leave it out
        return Entry(descriptor=descriptor, platform="", attests=attests)
    if not isinstance(platform, dict):
        raise RegistryMalformedError(f"{what} names a platform that is none")
    return Entry(descriptor=descriptor, platform=_to_platform(platform, what), attests=attests)


def _to_platform(value: Mapping[str, Any], what: str) -> str:
    parts = [value.get("os"), value.get("architecture"), value.get("variant")]
    if not all(isinstance(part, str) and part.isascii() and part.isprintable() for part in parts if part is not None):
        raise RegistryMalformedError(f"{what} names a platform that is none")
    return "/".join(part[:40] for part in parts if part)


def _to_labels(value: Any, what: str) -> Mapping[str, str]:
    labels = {} if value is None else value
    if not isinstance(labels, dict) or not all(map(_is_text, (*labels, *labels.values()))):
        raise RegistryMalformedError(f"{what} has labels that are none")
    return labels


def _to_time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None  # nothing depends on it


def _list_of(document: Mapping[str, Any], name: str, what: str) -> Iterator[Any]:
    values = document.get(name)
    if not isinstance(values, list):
        raise RegistryMalformedError(f"{what} has no list of {name}")
    if len(values) > MOST_ENTRIES:
        raise RegistryMalformedError(f"{what} has {len(values)} {name}, {MOST_ENTRIES} at most can be right")
    return iter(values)


def is_size(value: object) -> TypeGuard[int]:
    """True for a number of bytes."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_text(value: object) -> bool:
    """True for text that every database takes."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
