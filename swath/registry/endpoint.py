"""Where a registry listens, which other hosts belong to it, and who of them may hear a secret."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from swath.domain.errors import RegistryForbiddenError, RegistryMalformedError
from swath.domain.references import DOCKER_HUB
from swath.registry.addresses import find_public_addresses
from swath.registry.settings import RegistrySettings, is_loopback

_LISTENS = {DOCKER_HUB: "registry-1.docker.io"}
_TRUSTED = {DOCKER_HUB: ("auth.docker.io",)}  # its token server, of which everybody knows


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A registry and what the site says of it."""

    host: str  # as images' names have it
    settings: RegistrySettings
    declared: bool = (
        False  # by the site: whoever names an image names any host, so others have to be of the open internet
    )

    @property
    def place(self) -> str:
        """Host and port that are connected to."""
        return _LISTENS.get(self.host, self.host)

    @property
    def plain(self) -> bool:
        """True where it is spoken to without TLS."""
        if self.settings.insecure is None:
            return self.settings.ca_file is None and is_loopback(_name_of(self.place))
        return self.settings.insecure

    @property
    def url(self) -> httpx.URL:
        """Its root."""
        return httpx.URL(f"{'http' if self.plain else 'https'}://{self.place}/")

    def owns(self, url: httpx.URL) -> bool:
        """True for the registry itself, spoken to as it has to be."""
        return url.scheme == self.url.scheme and _place_of(url) == _place_of(self.url)

    def knows(self, url: httpx.URL) -> bool:
        """True for the registry, and for the hosts that the site has declared beside it."""
        return self.owns(url) or _place_of(url) in (*self.settings.trusted_hosts, *_TRUSTED.get(self.host, ()))

    def follow(self, base: httpx.URL, location: str) -> httpx.URL:
        """Where the registry sends us; raises RegistryError for where nobody should go."""
        try:
            url = base.join(location)
        except (httpx.InvalidURL, ValueError) as error:
            raise RegistryMalformedError(f"registry {self.host} sends us to an address that is none") from error
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise RegistryMalformedError(f"registry {self.host} sends us to an address that is none of http")
        if url.scheme == "http" and not (self.knows(url) and (self.settings.insecure or is_loopback(url.host))):
            raise RegistryForbiddenError(
                f"registry {self.host} sends us to {_place_of(url)} without TLS: that is followed on the loopback and from a "
                "registry that is declared insecure, and to its trusted_hosts only"
            )
        return url

    def find_addresses(self, url: httpx.URL) -> list[str]:
        """What to connect to: the name, or the checked addresses of a host that nobody has declared."""
        if self.declared and self.knows(url):
            return [url.host]
        try:
            return find_public_addresses(url.host, url.port or (80 if url.scheme == "http" else 443))
        except RegistryForbiddenError as error:
            if self.owns(url):
                raise RegistryForbiddenError(
                    f"registry {self.host} lies in a private network: {error}; if that is meant, give it a table in the "
                    "file of SWATH_REGISTRIES"
                ) from error
            raise RegistryForbiddenError(
                f"registry {self.host} sends us into a private network: {error}; if that is meant, "
                f"add {_place_of(url)!r} to its trusted_hosts"
            ) from error


def _place_of(url: httpx.URL) -> str:
    """Host, and port where it is not the scheme's own, in lower case."""
    host = f"[{url.host}]" if ":" in url.host else url.host.lower()
    return host if url.port is None else f"{host}:{url.port}"


def _name_of(place: str) -> str:
    return httpx.URL(f"//{place}").host
