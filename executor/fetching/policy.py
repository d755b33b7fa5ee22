"""From where inputs may come: schemes, hosts and addresses. Whoever submits a job names URLs, and the executor asks for them
from inside of the site: what is not meant for the world outside must not be reached that way (SSRF)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self
from urllib.parse import SplitResult, urlsplit

from executor.fetching.errors import RefusedError, TransientError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOW_32 = 2**32 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What the site allows."""

    schemes: frozenset[str] = frozenset({"file", "https", "s3"})
    hosts: tuple[str, ...] = ("*",)  # patterns of names, "*.example.org" or with a port "data.example.org:8443"
    private: tuple[Network, ...] = ()  # addresses that are not of the public internet, and may be reached all the same

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """The policy of SWATH_INPUT_SCHEMES, _HOSTS and _PRIVATE; raises ValueError that names the one which is wrong."""
        given = cls()
        schemes = frozenset(_words(environ.get("SWATH_INPUT_SCHEMES")) or given.schemes)
        if unknown := schemes - {"file", "http", "https", "s3"}:
            raise ValueError(f"SWATH_INPUT_SCHEMES names {min(unknown)!r}; there are file, https, http and s3")
        try:
            private = tuple(map(ipaddress.ip_network, _words(environ.get("SWATH_INPUT_PRIVATE"))))
        except ValueError as error:
            raise ValueError(f"SWATH_INPUT_PRIVATE: {error}") from None
        hosts = tuple(word.lower() for word in _words(environ.get("SWATH_INPUT_HOSTS"))) or given.hosts
        return cls(schemes=schemes, hosts=hosts, private=private)

    def check_scheme(self, scheme: str) -> None:
        """Raises RefusedError for a scheme that is not used here."""
        if scheme not in self.schemes:
            raise RefusedError(f"{scheme or 'no scheme'}: inputs may come by {', '.join(sorted(self.schemes))} only")

    def check_url(self, url: str) -> SplitResult:
        """The parts of a URL whose scheme and host are allowed; raises RefusedError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise RefusedError(f"is no URL: {error}") from None
        self.check_scheme(parts.scheme)
        if not host or any(character <= " " or character == "\x7f" for character in url):
            raise RefusedError("is no URL with a host")
        if parts.username is not None or parts.password is not None:
            raise RefusedError("holds a name or a password: credentials have no place in a job")
        names = (host, f"{host}:{port or _PORTS.get(parts.scheme, 0)}")
        if not any(fnmatchcase(name, pattern) for name in names for pattern in self.hosts):
            raise RefusedError(f"{host} is not among the hosts that inputs may come from")
        return parts

    def find_addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to; raises RefusedError where there are others only.

        Whoever connects has to take one of these and not ask for the name again: the next answer may be another.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise TransientError(f"the address of {host} cannot be found: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [address for address in addresses if self.admits(address)]
        if not allowed:
            raise RefusedError(f"{host} has the address {addresses[0]}, which is not of the public internet")
        return allowed

    def admits(self, address: str) -> bool:
        """Whether an address may be connected to."""
        ip = ipaddress.ip_address(address.partition("%")[0])
        # An address that holds another one leads there.
        return all(_is_public(one) or _is_in(one, self.private) for one in (ip, *_held(ip)))


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _held(address: Address) -> list[Address]:
    """The IPv4 addresses in an IPv6 one: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    nat64 = ipaddress.IPv4Address(int(address) & _LOW_32) if address in _NAT64 else None
    teredo = address.teredo[1] if address.teredo else None
    return [one for one in (address.ipv4_mapped, address.sixtofour, teredo, nat64) if one is not None]
