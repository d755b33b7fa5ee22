"""From where inputs may come."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from executor.fetching.errors import RefusedError
from executor.fetching.limits import Fetching
from executor.fetching.policy import Policy


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
        ),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
        *("2002:7f00:1::", "2002:a01:203::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:0:7f00:1::f5ff:fffe"),
    ],
)
def test_what_is_not_of_the_public_internet_is_not_reached(address: str) -> None:
    """Loopback, private, link-local (the cloud's metadata), shared, multicast; and addresses that hold such a one."""
    assert not Policy().admits(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_are(address: str) -> None:
    """Of both kinds."""
    assert Policy().admits(address)


def test_a_site_opens_its_own_networks() -> None:
    """Those and no others."""
    policy = Policy(private=(ip_network("10.1.0.0/16"),))
    assert (policy.admits("10.1.2.3"), policy.admits("::ffff:10.1.2.3"), policy.admits("10.2.0.1")) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ftp://data.example.org/a", "inputs may come by file, https, s3 only"),
        ("http://data.example.org/a", "inputs may come by file, https, s3 only"),
        ("https://data.example.com/a", "not among the hosts"),
        ("https://data.example.org.evil.com/a", "not among the hosts"),
        ("https://other.org:444/a", "not among the hosts"),
        ("https://user:password@data.example.org/a", "credentials have no place"),
        ("https:///a", "no URL with a host"),
        ("https://data.example.org/a b", "no URL with a host"),
        ("https://data.example.org/a\r\nHost: x", "no URL with a host"),
        ("https://[::1/a", "is no URL"),
        ("https://data.example.org:port/a", "is no URL"),
    ],
)
def test_an_address_outside_of_the_policy_is_refused(url: str, complaint: str) -> None:
    """By scheme, by host, and for what no address should hold."""
    policy = Policy(hosts=("*.example.org", "other.org:443"))
    with pytest.raises(RefusedError, match=complaint):
        policy.check_url(url)


def test_what_the_site_names_is_allowed() -> None:
    """By pattern, and with its port; the port of the scheme where none is said."""
    policy = Policy(hosts=("*.example.org", "other.org:443"))
    for url in ("https://a.b.example.org/x?y=1", "https://DATA.example.org:8443/", "https://other.org/x"):
        policy.check_url(url)


def test_settings_are_read() -> None:
    """With sensible defaults: no http, no private address."""
    given = Fetching.from_environ({})
    assert given.policy == Policy()
    assert given.closed == ()
    said = Fetching.from_environ(
        {
            "SWATH_INPUT_SCHEMES": "https, http",
            "SWATH_INPUT_HOSTS": "Data.example.org",
            "SWATH_INPUT_PRIVATE": "10.0.0.0/8,fd00::/8",
            "SWATH_INPUT_CACHE": "/cache",
            "SWATH_S3_FILE": "/etc/swath/s3.toml",
            "SWATH_INPUT_CACHE_MIB": "5",
        }
    )
    assert said.policy.schemes == {"https", "http"}
    assert said.policy.hosts == ("data.example.org",)
    assert said.policy.admits("fd00::1")
    assert (said.limits.cache, [str(path) for path in said.closed]) == (5 * 2**20, ["/cache", "/etc/swath/s3.toml"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SWATH_INPUT_SCHEMES", "gopher"),
        ("SWATH_INPUT_PRIVATE", "10.0.0.1/8"),
        ("SWATH_INPUT_CACHE", "cache"),
        ("SWATH_S3_FILE", "s3.toml"),
        ("SWATH_INPUT_CACHE_MIB", "much"),
        ("SWATH_INPUT_TRANSFERS", "-1"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=name):
        Fetching.from_environ({name: value})
