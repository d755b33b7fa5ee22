"""The names of images in registries, by Docker's grammar (github.com/distribution/reference), strictly.

ndvi                                    docker.io/library/ndvi
registry.example:5000/eo/ndvi:1.2.0     a tag, which moves
registry.example/eo/ndvi@sha256:...     a digest, which does not
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from swath.domain.errors import InvalidInputError

DOCKER_HUB = "docker.io"
_OFFICIAL = "library/"  # where Docker Hub keeps what is named without an owner
LONGEST = 255  # characters of host and repository together
LONGEST_TEXT = 600  # with tag and digest

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """An image in a registry. Without tag and digest it is a whole repository."""

    host: str  # "docker.io", "registry.example:5000", "[::1]:5000"; in lower case
    repository: str  # "library/ndvi"
    tag: str | None = None
    digest: str | None = None  # "sha256:..."; where there is one, it counts, and a tag is only told

    @classmethod
    def parse(cls, text: str, path: str = "") -> Self:
        """The reference that a text means; raises InvalidInputError at `path` with what is wrong."""
        if len(text) > LONGEST_TEXT:
            raise InvalidInputError.at(path, f"{len(text)} characters are too many for a reference")
        rest, at, digest = text.partition("@")
        if at and not is_digest(digest):
            raise InvalidInputError.at(path, f"{digest!r} is no digest: sha256: and 64 digits of 0-9 and a-f")
        rest, tag = _split_tag(rest)
        if tag is not None and not is_tag(tag):
            raise InvalidInputError.at(path, f"{tag!r} is no tag: letters, digits, '_', '.' and '-', at most 128")
        host, repository = _split_host(rest)
        if not is_host(host):
            raise InvalidInputError.at(path, f"{host!r} is no host of a registry: NAME or NAME:PORT")
        if not _is_seen_as_host(host.lower()):  # by a capital only, which a host's name is written without
            raise InvalidInputError.at(path, f"{host!r} is no host of a registry without a dot or a port")
        _check_repository(repository, path)
        if len(host) + len(repository) + 1 > LONGEST:
            raise InvalidInputError.at(path, f"the name is longer than {LONGEST} characters")
        return cls(host=host.lower(), repository=repository, tag=tag, digest=digest or None)

    def __str__(self) -> str:
        return f"{self.name}{self._end()}"

    @property
    def name(self) -> str:
        """Host and repository."""
        return f"{self.host}/{self.repository}"

    @property
    def familiar(self) -> str:
        """The same as Docker's engine shows it: without Docker Hub's host, and without `library/`."""
        name = self.repository.removeprefix(_OFFICIAL) if self.host == DOCKER_HUB else self.name
        return f"{name}{self._end()}"

    @property
    def target(self) -> str:
        """What a registry is asked for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def pinned(self, digest: str) -> Self:
        """The same image by digest alone."""
        return replace(self, tag=None, digest=digest)

    def _end(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_digest(text: str) -> bool:
    """True for a digest of an algorithm that can be checked here."""
    return _DIGEST.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """True for a host of a registry, with a port or without."""
    found = _HOST.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 443) < 65536


def is_tag(text: str) -> bool:
    """True for what may be a tag."""
    return _TAG.fullmatch(text) is not None


def is_repository(text: str) -> bool:
    """True for what may be a repository."""
    return len(text) <= LONGEST and _REPOSITORY.fullmatch(text) is not None


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon after the last slash is a tag's; one before is a port's."""
    name, colon, tag = text.rpartition(":")
    return (name, tag) if colon and "/" not in tag and name else (text, None)


def _is_seen_as_host(first: str) -> bool:
    return re.search(r"[.:A-Z]", first) is not None or first == "localhost"


def _split_host(text: str) -> tuple[str, str]:
    """Docker's rule: the first part is a host if it has a dot, a colon or a capital, or is `localhost`."""
    first, slash, rest = text.partition("/")
    if slash and _is_seen_as_host(first):
        host, repository = first, rest
    else:
        host, repository = DOCKER_HUB, text
    if host == "index.docker.io":
        host = DOCKER_HUB
    if host == DOCKER_HUB and repository and "/" not in repository:
        repository = _OFFICIAL + repository
    return host, repository


def _check_repository(repository: str, path: str) -> None:
    if not _REPOSITORY.fullmatch(repository):
        hint = "; in small letters" if _REPOSITORY.fullmatch(repository.lower()) else ""
        raise InvalidInputError.at(
            path, f"{repository!r} is no repository: parts of a-z and 0-9, joined by '.', '_', '-' and '/'{hint}"
        )
    if _IMAGE_ID.fullmatch(repository.removeprefix(_OFFICIAL)):
        raise InvalidInputError.at(path, "64 digits are an image's id, and no name")
