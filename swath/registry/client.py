"""What Swath asks registries: what a name means, what an image says of itself, what else there is. Layers are never read."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from swath.domain.errors import RegistryMalformedError, RegistryUnauthorizedError, TruncatedError, WrongDigestError
from swath.domain.references import Reference, is_digest, is_repository, is_tag
from swath.registry.authority import Authority
from swath.registry.endpoint import Endpoint
from swath.registry.exchange import Answer, Exchange, Patience, Question
from swath.registry.listing import Listing, list_pages
from swath.registry.manifests import (
    ACCEPT,
    INDEXES,
    Descriptor,
    Entry,
    check_digest,
    choose,
    digest_of,
    fits,
    media_type_of,
    read_config,
    read_document,
    read_index,
    read_manifest,
    wrong_platform,
)
from swath.registry.settings import Registries
from swath.registry.talk import Talk

LARGEST_MANIFEST = 4 * 1024 * 1024  # bytes
LARGEST_BLOB = 8 * 1024 * 1024  # of those that are read: configurations and signatures
DEEPEST = 3  # indexes within indexes
PLATFORM = "linux/amd64"
T = TypeVar("T")
_HEAD_TAKEN = frozenset({200, 400, 405, 501})  # the last three from registries that know no HEAD


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryImage:
    """An image as its registry describes it."""

    digest: str  # what the reference means: of an index or of a manifest
    media_type: str  # of that
    manifest_digest: str  # of the platform's own manifest; the same where there is no index
    config_digest: str  # Docker's image id
    platform: str
    size: int  # bytes of layers and configuration as they travel
    layers: tuple[Descriptor, ...]
    labels: Mapping[str, str]
    user: str  # "" for root
    created: datetime | None
    attestations: tuple[str, ...] = ()  # digests of the manifests that say how it was built, and of what


class RegistryClient:
    """Reads registries; for all threads, and for as long as the program runs.

    Raises RegistryError, whose kinds stand in swath/domain/errors.py; what may pass was tried again before.
    """

    def __init__(
        self, registries: Registries, *, patience: Patience | None = None, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self._registries = registries
        self._patience = patience or Patience()
        self._wait = wait
        self._authority = Authority()

    def knows(self, host: str) -> bool:
        """True for a registry that the site has declared."""
        return host in self._registries

    def resolve(self, reference: Reference, *, deadline_s: float | None = None) -> Descriptor:
        """The digest that a tag means now, or that a digest is there, by a request without a body."""
        with self._talk(deadline_s) as talk:
            question = replace(_manifest_question(reference), method="HEAD", taken=_HEAD_TAKEN)
            found = _ask(talk, reference, question, lambda answer: _read_head(answer, reference))
            return found or _read_manifest(talk, reference)[0]

    def inspect(
        self, reference: Reference, platform: str = PLATFORM, *, deadline_s: float | None = None
    ) -> RegistryImage:
        """What an image says of itself; of one for several platforms, that one."""
        with self._talk(deadline_s) as talk:
            top, document = _read_manifest(talk, reference)
            found, entries = top, list[Entry]()
            for _ in range(DEEPEST + 1):
                if found.media_type not in INDEXES:
                    break
                entries = read_index(document, str(reference))
                chosen = _choose(entries, platform, reference)
                found, document = _read_manifest(talk, reference.pinned(chosen.digest), size=chosen.size)
            else:
                raise RegistryMalformedError(f"{reference} is an index within an index within an index")
            manifest = read_manifest(document, str(reference))
            content = _read_blob(talk, reference, manifest.config)
            config = read_config(read_document(content, f"the configuration of {reference}"), str(reference))
        if not fits(config.platform, platform):
            raise wrong_platform(str(reference), {config.platform}, platform)
        return RegistryImage(
            digest=top.digest,
            media_type=top.media_type,
            manifest_digest=found.digest,
            config_digest=manifest.config.digest,
            platform=config.platform,
            size=manifest.config.size + sum(layer.size for layer in manifest.layers),
            layers=manifest.layers,
            labels=config.labels,
            user=config.user,
            created=config.created,
            attestations=tuple(entry.descriptor.digest for entry in entries if entry.attests == found.digest),
        )

    def read_manifest(self, reference: Reference) -> tuple[Descriptor, dict[str, Any]]:
        """The manifest or index itself, checked against its digest."""
        with self._talk() as talk:
            return _read_manifest(talk, reference)

    def read_blob(self, reference: Reference, blob: Descriptor) -> bytes:
        """A small part of an image: a configuration, a signature."""
        with self._talk() as talk:
            return _read_blob(talk, reference, blob)

    def list_tags(self, reference: Reference) -> list[str]:
        """All tags of the reference's repository."""
        listing = Listing(
            path=f"v2/{reference.repository}/tags/list",
            field="tags",
            scope=_scope_of(reference),
            what=f"the list of tags of {reference.name}",
            is_entry=is_tag,
        )
        with self._talk() as talk:
            return list_pages(talk, reference.host, listing)

    def list_repositories(self, host: str) -> list[str]:
        """All repositories of a registry that shows them."""
        listing = Listing(
            path="v2/_catalog",
            field="repositories",
            scope="registry:catalog:*",
            what=f"the list of repositories of {host}",
            is_entry=is_repository,
        )
        with self._talk() as talk:
            return list_pages(talk, host, listing)

    @contextmanager
    def _talk(self, deadline_s: float | None = None) -> Iterator[Talk]:
        patience = self._patience if deadline_s is None else replace(self._patience, deadline_s=deadline_s)
        with Exchange(find_context, patience) as exchange:
            yield Talk(exchange=exchange, authority=self._authority, registries=self._registries, wait=self._wait)


def _ask(talk: Talk, reference: Reference, question: Question, read: Callable[[Answer], T]) -> T:
    return talk.ask(reference.host, question, read, by_digest=reference.digest is not None)


def _read_head(answer: Answer, reference: Reference) -> Descriptor | None:
    """What the head of a manifest says; None where it does not say enough."""
    digest, size = _digest_in(answer), answer.headers.get("content-length", "")
    if answer.status != 200 or digest is None or not (size.isascii() and size.isdigit() and len(size) < 16):
        return None
    wanted = reference.digest or digest
    if wanted.partition(":")[0] != digest.partition(":")[0]:
        return None
    if wanted != digest:
        raise WrongDigestError(f"{reference} is not what its name says: the registry has digest {digest}")
    kind = media_type_of({}, answer.headers.get("content-type", ""), str(reference))
    return Descriptor(digest=digest, media_type=kind, size=int(size))


def _read_manifest(talk: Talk, reference: Reference, *, size: int | None = None) -> tuple[Descriptor, dict[str, Any]]:
    what = str(reference)

    def read(answer: Answer) -> tuple[Descriptor, dict[str, Any]]:
        wanted = reference.digest or _digest_in(answer)
        _check(answer.body, wanted, size, what)
        document = read_document(answer.body, what)
        kind = media_type_of(document, answer.headers.get("content-type", ""), what)
        digest = wanted or digest_of(answer.body, "sha256:")
        return Descriptor(digest=digest, media_type=kind, size=len(answer.body)), document

    return _ask(talk, reference, _manifest_question(reference), read)


def _read_blob(talk: Talk, reference: Reference, blob: Descriptor) -> bytes:
    what = f"blob {blob.digest} of {reference.name}"
    if blob.size > LARGEST_BLOB:
        raise RegistryMalformedError(f"{what} has {blob.size} bytes, {LARGEST_BLOB} at most can be right")

    def read(answer: Answer) -> bytes:
        _check(answer.body, blob.digest, blob.size, what)
        return answer.body

    path = f"v2/{reference.repository}/blobs/{blob.digest}"
    question = Question(path=path, scope=_scope_of(reference), what=what, limit=blob.size)
    return _ask(talk, reference.pinned(blob.digest), question, read)


def _check(content: bytes, digest: str | None, size: int | None, what: str) -> None:
    """Raise where the content is not what names it; only what a lost connection may have done is worth another try."""
    if size is not None and len(content) != size and digest is not None and digest_of(content, digest) == digest:
        raise RegistryMalformedError(f"{what} has {len(content)} bytes, and what names it says {size}: push it again")
    if size is not None and len(content) < size:
        raise TruncatedError(f"{what} comes with {len(content)} bytes instead of {size}: try again later")
    if digest is not None:
        check_digest(content, digest, what)


def _choose(entries: list[Entry], platform: str, reference: Reference) -> Descriptor:
    """The entry for the platform; an index within the index where it may hold that."""
    nested = [entry.descriptor for entry in entries if entry.descriptor.media_type in INDEXES and not entry.platform]
    if nested and not any(fits(entry.platform, platform) for entry in entries if entry.attests is None):
        return nested[0]
    return choose(entries, platform, str(reference)).descriptor


def _manifest_question(reference: Reference) -> Question:
    return Question(
        path=f"v2/{reference.repository}/manifests/{reference.target}",
        scope=_scope_of(reference),
        what=str(reference),
        limit=LARGEST_MANIFEST,
        accept=ACCEPT,
    )


def _scope_of(reference: Reference) -> str:
    return f"repository:{reference.repository}:pull"


def _digest_in(answer: Answer) -> str | None:
    """The digest in the head of an answer, where there is one that can be checked."""
    said = answer.headers.get("docker-content-digest", "").strip()
    return said if is_digest(said) else None


def find_context(endpoint: Endpoint | None) -> ssl.SSLContext:
    """The context for a registry and the hosts beside it: the system's authorities, and the registry's own."""
    own = endpoint and endpoint.settings.ca_file
    try:
        return _make_context(own)
    except (OSError, ssl.SSLError) as error:
        raise RegistryUnauthorizedError(f"the ca_file {own} cannot be read: {error}") from error


@lru_cache(maxsize=64)
def _make_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
