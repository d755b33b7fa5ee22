"""Where a registry may send us: never into our own network, unless the site says so.

The api and the scheduler reach what the rest of the world must not: agents, databases, a cloud's metadata. A registry that is
hostile, or was broken into, would have them ask there; so would whoever names an image of a registry that nobody has declared.
"""

from __future__ import annotations

import ipaddress
import socket

from swath.domain.errors import RegistryForbiddenError, RegistryUnreachableError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def find_public_addresses(host: str, port: int) -> list[str]:
    """The addresses of a host that are all public; raises RegistryForbiddenError where one is not.

    Whoever connects takes these addresses and not the name: it may mean another one a moment later.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RegistryUnreachableError(f"the name {host!r} cannot be resolved") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not is_public(address):
            raise RegistryForbiddenError(f"{host} has the private address {address}")
    return addresses


def is_public(address: str) -> bool:
    """True for an address of the open internet; what is only a wrapping of another counts as that other."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # with a zone, as link-local ones have
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast
