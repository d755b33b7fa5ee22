"""The client against registries that send us elsewhere: who is gone to, how, and what is told there."""

from __future__ import annotations

import json
import ssl
import time
from pathlib import Path

import httpx
import pytest

from swath.domain.errors import (
    RegistryError,
    RegistryForbiddenError,
    RegistryMalformedError,
    RegistryUnauthorizedError,
    RegistryUnreachableError,
)
from swath.registry.addresses import find_public_addresses, is_public
from swath.registry.challenges import Challenge, read_challenges
from swath.registry.endpoint import Endpoint
from swath.registry.exchange import Exchange, Patience, Question
from swath.registry.settings import RegistrySettings
from tests.registry.hostile import Asking, Heard, HostileServer, Reply, always, served
from tests.registry.pushing import an_image, digest_of
from tests.registry.test_access import BASIC, write_credentials
from tests.wire.certificates import Authority


def test_a_blob_elsewhere_is_fetched_without_our_credentials(asking: Asking, tmp_path: Path) -> None:
    """The storage that the site declared gets the request, and no Authorization; one that nobody declared gets nothing."""
    image = an_image(labels={"a": "label"})
    honest = served(image, **{"1": image})
    with HostileServer(honest) as storage:

        def script(heard: Heard) -> Reply:
            if heard.headers.get("authorization") != BASIC:
                return Reply(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if "/blobs/" in heard.path:
                return Reply(status=307, headers={"Location": f"http://{storage.host}{heard.path}?signature=s3cr3t"})
            return honest(heard)

        asking.server.script = script
        file = write_credentials(tmp_path)
        with pytest.raises(RegistryForbiddenError, match="trusted_hosts") as caught:
            asking.client(credentials_file=file).inspect(asking.reference())
        assert "s3cr3t" not in str(caught.value)
        assert storage.heard == []
        client = asking.client(credentials_file=file, trusted_hosts=[storage.host])
        assert client.inspect(asking.reference()).labels == {"a": "label"}
        assert (len(storage.heard), storage.secrets()) == (1, [])
        # A storage that challenges is not answered: what it wants is none of its business.
        storage.script = always(status=401, headers={"WWW-Authenticate": 'Basic realm="phish"'})
        with pytest.raises(RegistryUnreachableError, match="a storage that says 401"):
            client.inspect(asking.reference())
        assert storage.secrets() == []


@pytest.mark.parametrize(
    ("location", "kind", "message"),
    [
        ("/v2/eo/ndvi/manifests/1", RegistryMalformedError, "in circles"),
        ("http://169.254.169.254/latest", RegistryForbiddenError, "without TLS"),
        ("https://169.254.169.254/latest", RegistryForbiddenError, "private address 169.254.169.254"),
        ("https://10.0.0.1/", RegistryForbiddenError, "private address 10.0.0.1"),
        ("https://localhost:1/", RegistryForbiddenError, "into a private network"),
        ("https://[::ffff:127.0.0.1]/", RegistryForbiddenError, "private address"),
        ("https://user:pass@example.org/", RegistryMalformedError, "none of http"),
        ("file:///etc/passwd", RegistryMalformedError, "none of http"),
        ("gopher://example.org/", RegistryMalformedError, "none of http"),
        ("https://a:b/", RegistryMalformedError, "address that is none"),
        ("https://" + "a" * 300 + ".example/", RegistryUnreachableError, "cannot be resolved"),
    ],
)
def test_where_nobody_should_go_is_not_gone(
    asking: Asking, location: str, kind: type[RegistryError], message: str
) -> None:
    """By a redirect and by a token server's address alike; nothing that we know is told."""
    asking.server.script = always(status=302, headers={"Location": location})
    with pytest.raises(kind, match=message.replace("(", r"\(")):
        asking.client().inspect(asking.reference())
    if kind is RegistryForbiddenError:
        asking.server.script = always(
            status=401, headers={"WWW-Authenticate": f'Bearer realm="{location}",service="x"'}
        )
        with pytest.raises(kind, match=message):
            asking.client().inspect(asking.reference())


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(body=b"{}"), "gives no token"),
        (Reply(body=b"[]"), "gives no token"),
        (Reply(body=b'{"token": 7}'), "gives no token"),
        (Reply(body=b'{"token": "a\\r\\nX: y"}'), "gives no token"),
        (Reply(body=b'{"token": "t", "expires_in": "never"}'), "gives no token"),
        (Reply(body=b"x" * 100_000), "more than the 65536 bytes"),
        (Reply(status=302, headers={"Location": "/"}), "says 302, which is no token"),
    ],
)
def test_a_token_that_is_none_is_told(asking: Asking, reply: Reply, message: str) -> None:
    """It would go into a header of ours."""
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{asking.server.host}/token"'}
    asking.server.script = lambda heard: (
        reply if heard.path.startswith("/token") else Reply(status=401, headers=challenge)
    )
    with pytest.raises(RegistryMalformedError, match=message):
        asking.client().inspect(asking.reference())


def test_a_token_for_another_repository_is_never_asked_for(asking: Asking, tmp_path: Path) -> None:
    """Whatever scope the challenge names, ours is to pull this one; a refused token is not tried for ever."""
    realm = f"http://{asking.server.host}/token"
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s",scope="repository:other:push,pull"'}
    asking.server.script = lambda heard: (
        Reply(body=json.dumps({"access_token": "t"}).encode())
        if heard.path.startswith("/token")
        else Reply(status=401, headers=challenge)
    )
    with pytest.raises(RegistryUnauthorizedError, match="takes our credentials for none"):
        asking.client(credentials_file=write_credentials(tmp_path)).inspect(asking.reference())
    paths = asking.server.paths()
    assert [path for path in paths if "token" in path] == ["/token?service=s&scope=repository%3Aeo%2Fndvi%3Apull"]
    assert len(paths) == 3
    assert asking.server.secrets() == [BASIC, "Bearer t"]


def test_credentials_never_travel_in_the_clear(tmp_path: Path) -> None:
    """Beyond the loopback an undeclared registry is spoken to over TLS, and a token server without it is not followed."""
    there = Endpoint(host="registry.example", settings=RegistrySettings(trusted_hosts=("auth.example",)))
    assert there.url.scheme == "https"
    with pytest.raises(RegistryForbiddenError, match="without TLS"):
        there.follow(there.url, "http://auth.example/token")
    with pytest.raises(RegistryForbiddenError, match="without TLS"):
        there.follow(there.url, "http://registry.example/token")
    assert there.follow(there.url, "https://auth.example/token").host == "auth.example"
    assert Endpoint(host="registry.example", settings=RegistrySettings(insecure=True)).url.scheme == "http"
    assert Endpoint(host="localhost:5000", settings=RegistrySettings()).url.scheme == "http"
    assert Endpoint(host="[::1]:5000", settings=RegistrySettings()).url == "http://[::1]:5000/"
    hub = Endpoint(host="docker.io", settings=RegistrySettings())
    assert hub.url == "https://registry-1.docker.io/"
    assert hub.knows(httpx.URL("https://auth.docker.io/token"))


def test_a_mirror_that_lies_is_passed_by(asking: Asking) -> None:
    """Its wrong bytes are noticed, and the registry asked; it never hears the registry's credentials."""
    image = an_image(labels={"true": "yes"})
    asking.server.script = served(image, **{"1": image})
    with HostileServer(always(body=b"{}", headers={"Docker-Content-Digest": digest_of(b"{}")})) as mirror:
        client = asking.client(mirrors=[mirror.host])
        assert client.inspect(asking.reference(f"@{image.digest}")).labels == {"true": "yes"}
        assert len(mirror.heard) == 2
        mirror.script = always(status=503)
        assert client.inspect(asking.reference(f"@{image.digest}")).labels == {"true": "yes"}
        assert asking.pauses == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("239.1.1.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("ff02::1", False),
        ("nonsense", False),
    ],
)
def test_private_addresses_are_known_in_every_wrapping(address: str, public: bool) -> None:
    """Also where an IPv6 address only stands for another."""
    assert is_public(address) is public


def test_a_name_with_a_private_address_is_refused() -> None:
    """`localhost` is the one that every machine has."""
    with pytest.raises(RegistryForbiddenError, match="private address"):
        find_public_addresses("localhost", 443)


class Elsewhere(Endpoint):
    """An endpoint for which every host lies on the loopback, as if that were the open internet."""

    def find_addresses(self, url: httpx.URL) -> list[str]:
        """A first address that nobody answers at, then the right one."""
        return ["127.0.0.2", "127.0.0.1"]


@pytest.mark.parametrize(("name", "good"), [("storage.example", True), ("other.example", False)])
def test_a_strange_host_is_reached_by_its_address_and_known_by_its_name(tmp_path: Path, name: str, good: bool) -> None:
    """The certificate has to be the name's, and the Host header says it; the next address is tried where one is silent."""
    authority = Authority(tmp_path / "authority")
    pair = authority.sign("storage", alternative=f"DNS:{name}")
    trusting = ssl.create_default_context(cafile=authority.pair.certificate)
    endpoint = Elsewhere(host="registry.example", settings=RegistrySettings())
    question = Question(path="blob", scope="s", what="a blob", limit=100)
    with (
        HostileServer(always(body=b"content"), tls=authority.serve(pair)) as storage,
        Exchange(lambda known: trusting, Patience()) as exchange,
    ):
        url = httpx.URL(f"https://storage.example:{storage.port}/blob")
        if not good:
            with pytest.raises(RegistryMalformedError, match="certificate that is not trusted"):
                exchange.fetch(endpoint, url, question, {})
            return
        assert exchange.fetch(endpoint, url, question, {}).body == b"content"
        assert storage.heard[0].headers["host"] == f"storage.example:{storage.port}"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="a"', [("basic", {"realm": "a"})]),
        ("Bearer", [("bearer", {})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"',
            [("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:x:pull,push"})],
        ),
        (
            'Negotiate, BASIC Realm = "a\\"b" , Bearer realm=c',
            [("negotiate", {}), ("basic", {"realm": 'a"b'}), ("bearer", {"realm": "c"})],
        ),
        ('Bearer realm="unfinished', [("bearer", {})]),
        ("", []),
        ("=,=", []),
    ],
)
def test_challenges_are_read_as_the_standard_says(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    """Several in one header, quoted and not, in any case; what cannot be read ends the header."""
    assert read_challenges([header]) == [Challenge(scheme=scheme, parameters=said) for scheme, said in found]


@pytest.mark.parametrize("header", ['Bearer realm="' + "\\" * 100_000, "a " * 100_000, "a=" * 100_000, "," * 100_000])
def test_a_huge_challenge_costs_nothing(header: str) -> None:
    """Linear, and cut off."""
    begun = time.process_time()  # whatever else the machine does
    read_challenges([header] * 10)
    assert time.process_time() - begun < 2.0
