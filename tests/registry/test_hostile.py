"""The client against registries that lie, stall or send too much: a typed error each, in bounded time."""

from __future__ import annotations

import itertools
import time

import pytest

from swath.domain.errors import (
    NotInRegistryError,
    RegistryError,
    RegistryForbiddenError,
    RegistryMalformedError,
    RegistryRateLimitedError,
    RegistryUnauthorizedError,
    RegistryUnreachableError,
    TruncatedError,
    WrongDigestError,
    WrongPlatformError,
)
from swath.registry.exchange import Patience
from swath.registry.manifests import Descriptor
from tests.registry.hostile import Asking, Heard, Reply, Script, always, served
from tests.registry.pushing import OCI_INDEX, an_image, an_index, digest_of, to_bytes


@pytest.mark.parametrize(
    ("script", "kind", "message", "requests"),
    [
        (always(status=404), NotInRegistryError, "push it", 1),
        (always(status=401), RegistryUnauthorizedError, "without a challenge", 1),
        (always(status=401, headers={"WWW-Authenticate": "Basic"}), RegistryUnauthorizedError, "credentials_file", 1),
        (always(status=403), RegistryForbiddenError, "right to pull", 1),
        (always(status=429), RegistryRateLimitedError, "wants us to wait: ", 4),
        (always(status=429, headers={"Retry-After": "7"}), RegistryRateLimitedError, "for 7 s", 4),
        (always(status=429, headers={"Retry-After": "86400"}), RegistryRateLimitedError, "for 86400 s", 1),
        (always(status=500), RegistryUnreachableError, "fault of its own (500)", 4),
        (always(status=503, headers={"Retry-After": "3600"}), RegistryUnreachableError, "(503)", 1),
        (always(status=418), RegistryMalformedError, "says 418", 1),
        (always(dropped=True), RegistryUnreachableError, "without an answer", 4),
    ],
)
def test_each_refusal_has_its_error_and_its_patience(
    asking: Asking, script: Script, kind: type[RegistryError], message: str, requests: int
) -> None:
    """What may pass is asked for four times, the rest once; a long Retry-After is told and not waited for."""
    asking.server.script = script
    with pytest.raises(kind) as caught:
        asking.client().inspect(asking.reference())
    assert message in str(caught.value)
    assert (len(asking.server.heard), len(asking.pauses)) == (requests, requests - 1)


def test_a_registry_that_asks_for_a_pause_gets_it(asking: Asking) -> None:
    """Seven seconds, then the answer; and a date does as well as a number."""
    image = an_image()
    honest, calls = served(image, **{"1": image}), itertools.count()
    limit = Reply(status=429, headers={"Retry-After": "7"})
    asking.server.script = lambda heard: limit if next(calls) == 0 else honest(heard)
    assert asking.client().resolve(asking.reference()).digest == image.digest
    assert asking.pauses == [7.0]
    asking.server.script = always(status=429, headers={"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"})
    with pytest.raises(RegistryRateLimitedError) as caught:
        asking.client().resolve(asking.reference())
    assert (caught.value.retry_after_s or 0) > 1e9


@pytest.mark.parametrize("value", ["soon", "-5", "1e9", "٣", "Fri, 99 Foo", "9" * 400])
def test_a_nonsensical_pause_harms_nobody(asking: Asking, value: str) -> None:
    """Our own back-off counts instead, or nobody waits."""
    asking.server.script = always(status=429, headers={"Retry-After": value.encode().decode("latin-1")})
    with pytest.raises(RegistryRateLimitedError):
        asking.client().resolve(asking.reference())
    assert all(pause < 5 for pause in asking.pauses)


def test_a_wrong_digest_is_noticed_at_each_step(asking: Asking) -> None:
    """In the head, the manifest and the configuration, of which nothing is believed then."""
    image, other = an_image(), an_image(layers=(b"another",))
    asking.server.script = lambda heard: Reply(
        body=other.manifest, headers={"Content-Type": image.media_type, "Docker-Content-Digest": other.digest}
    )
    for ask in (asking.client().resolve, asking.client().inspect):
        with pytest.raises(WrongDigestError, match=f"is not what its name says: .*{other.digest}"):
            ask(asking.reference(f"@{image.digest}"))
    honest = served(image, **{"1": image})
    size = len(image.blobs[0])
    asking.server.script = lambda heard: Reply(body=b" " * size) if "/blobs/" in heard.path else honest(heard)
    with pytest.raises(WrongDigestError, match="blob sha256:"):
        asking.client().inspect(asking.reference())
    lying = {"Content-Type": image.media_type, "Docker-Content-Digest": other.digest}
    asking.server.script = always(body=image.manifest, headers=lying)
    with pytest.raises(WrongDigestError):
        asking.client().inspect(asking.reference())


def test_a_truncated_answer_is_asked_for_again_and_then_told(asking: Asking) -> None:
    """By the connection, and by the size that the manifest names."""
    image = an_image()
    asking.server.script = always(body=image.manifest[:50], length=len(image.manifest))
    with pytest.raises(TruncatedError, match="before its answer was whole"):
        asking.client().inspect(asking.reference())
    assert len(asking.server.heard) == 4
    honest = served(image, **{"1": image})
    asking.server.script = lambda heard: Reply(body=b"{}") if "/blobs/" in heard.path else honest(heard)
    with pytest.raises(TruncatedError, match="with 2 bytes instead of"):
        asking.client().inspect(asking.reference())


def test_too_many_bytes_are_not_read(asking: Asking) -> None:
    """A manifest without end, and a configuration that is larger than its manifest says or than any is."""
    asking.server.script = always(body=b" " * 5_000_000)
    with pytest.raises(RegistryMalformedError, match="more than the 4194304 bytes"):
        asking.client().inspect(asking.reference())
    image = an_image()
    honest = served(image, **{"1": image})
    asking.server.script = lambda heard: Reply(body=b" " * 100_000) if "/blobs/" in heard.path else honest(heard)
    with pytest.raises(RegistryMalformedError, match="more than the"):
        asking.client().inspect(asking.reference())
    vast = Descriptor(digest=digest_of(b""), media_type="application/octet-stream", size=10**12)
    with pytest.raises(RegistryMalformedError, match="1000000000000 bytes, 8388608 at most"):
        asking.client().read_blob(asking.reference(), vast)


def test_a_compressed_answer_is_refused(asking: Asking) -> None:
    """Nobody asked for it, and a small one may become a large one."""
    asking.server.script = always(body=b"x", headers={"Content-Encoding": "gzip"})
    with pytest.raises(RegistryMalformedError, match="compresses"):
        asking.client().inspect(asking.reference())


@pytest.mark.parametrize("where", ["body", "silence"])
def test_a_slow_registry_is_given_up_at_the_deadline(asking: Asking, where: str) -> None:
    """However often it sends a byte, and however often it is asked again."""
    asking.server.script = always(body=b" " * 1000, pause_s=0.05 if where == "body" else 30.0)
    patience = Patience(connect_s=1, silence_s=0.2, deadline_s=0.6)
    begun = time.monotonic()
    with pytest.raises(RegistryUnreachableError, match=r"did not finish within 0.6 s|was silent for 0.2 s"):
        asking.client(patience=patience).inspect(asking.reference())
    assert time.monotonic() - begun < 2.0


def test_a_head_that_never_ends_is_given_up_at_the_deadline(asking: Asking) -> None:
    """A byte now and then keeps httpx's own time-outs from ever ringing; the timer shuts the socket."""
    asking.server.raw = (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, 0.05)
    begun = time.monotonic()
    with pytest.raises(RegistryUnreachableError, match="did not finish within"):
        asking.client(patience=Patience(deadline_s=0.6)).resolve(asking.reference())
    assert time.monotonic() - begun < 2.0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>please log in</html>", "is no JSON"),
        (b"[]", "is no JSON object"),
        (b'{"a":' * 200, "is no JSON"),
        (b'{"schemaVersion": NaN}', "is no JSON"),
        (b"{}", "no image (type 'text/html'"),
        (to_bytes({"mediaType": 7}), "no image"),
        (to_bytes({"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"}), "very old Docker"),
        (to_bytes({"mediaType": OCI_INDEX}), "no list of manifests"),
        (to_bytes({"mediaType": OCI_INDEX, "manifests": [{}] * 2000}), "2000 manifests"),
        (to_bytes({"mediaType": OCI_INDEX, "manifests": [7]}), "without a digest"),
        (to_bytes({"mediaType": an_image().media_type}), "no list of layers"),
        (to_bytes({"mediaType": an_image().media_type, "layers": []}), "without a digest"),
        (
            to_bytes({"mediaType": an_image().media_type, "layers": [{"digest": "../../v2/x", "size": 1}]}),
            "without a digest",
        ),
        (
            to_bytes({"mediaType": an_image().media_type, "layers": [{"digest": digest_of(b""), "size": -1}]}),
            "without a digest",
        ),
    ],
)
def test_a_malformed_manifest_is_told(asking: Asking, body: bytes, message: str) -> None:
    """RegistryMalformedError with what is wrong, asked for once."""
    asking.server.script = always(body=body, headers={"Content-Type": "text/html"})
    with pytest.raises(RegistryMalformedError) as caught:
        asking.client().inspect(asking.reference())
    assert message in str(caught.value)
    assert len(asking.server.heard) == 1


def test_an_index_of_attestations_only_runs_nowhere(asking: Asking) -> None:
    """WrongPlatformError says that there is no platform."""
    proof = an_image().entry("unknown/unknown", **{"vnd.docker.reference.type": "attestation-manifest"})
    asking.server.script = served(**{"1": an_index(proof)})
    with pytest.raises(WrongPlatformError, match="for no platform"):
        asking.client().inspect(asking.reference())


def test_an_index_without_a_bottom_is_left(asking: Asking) -> None:
    """After a few levels; one cannot hold itself, for it would have to hold its own digest."""
    levels = [an_image()]
    for _ in range(6):
        inner = levels[-1]
        entry = {"mediaType": inner.media_type, "digest": inner.digest, "size": len(inner.manifest)}
        levels.append(an_index(entry))
    asking.server.script = served(*levels, **{"1": levels[-1]})
    with pytest.raises(RegistryMalformedError, match="within an index"):
        asking.client().inspect(asking.reference())
    assert len(asking.server.heard) < 6


def test_a_registry_without_head_is_asked_by_get(asking: Asking) -> None:
    """Or one whose head does not say the digest."""
    image = an_image()
    honest = served(image, **{"1": image})
    for refusal in (Reply(status=405), Reply(headers={"Content-Type": image.media_type})):
        asking.server.script = lambda heard, refusal=refusal: refusal if heard.method == "HEAD" else honest(heard)
        assert asking.client().resolve(asking.reference()).digest == image.digest


def link(target: str) -> dict[str, str]:
    """The header that names the next page."""
    return {"Link": f'<{target}>; rel="next"'}


def test_pages_are_followed_whatever_host_they_name(asking: Asking) -> None:
    """Relative, absolute and with the name of a machine behind a proxy: only the query counts."""
    targets = iter(["/v2/eo/ndvi/tags/list?last=a", "http://inside:5000/v2/eo/ndvi/tags/list?last=b", None])
    names = iter("abc")

    def script(heard: Heard) -> Reply:
        target = next(targets)
        return Reply(body=to_bytes({"tags": [next(names)]}), headers=link(target) if target else {})

    asking.server.script = script
    assert asking.client().list_tags(asking.reference()) == ["a", "b", "c"]
    assert [path.partition("?")[2] for path in asking.server.paths()] == ["n=1000", "last=a", "last=b"]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(body=b'{"tags": ["1"]}', headers=link("/v2/eo/ndvi/tags/list?n=1000")), "has no end"),
        (Reply(body=b'{"tags": ["1"]}', headers=link("/v2/eo/other/tags/list?last=1")), "next page elsewhere"),
        (Reply(body=b'{"tags": ["1"]}', headers=link("http://a:b/v2")), "without an address"),
        (Reply(body=b'{"tags": "1"}'), "no list of tags"),
        (Reply(body=b'{"tags": ["../../x"]}'), "no list of tags"),
        (Reply(body=b'{"tags": [1]}'), "no list of tags"),
    ],
)
def test_a_list_that_is_none_is_told(asking: Asking, reply: Reply, message: str) -> None:
    """In circles, elsewhere, or not of tags."""
    asking.server.script = lambda heard: reply
    with pytest.raises(RegistryMalformedError, match=message):
        asking.client().list_tags(asking.reference())


def test_a_list_without_end_is_left(asking: Asking) -> None:
    """After 100,000 names."""
    page = itertools.count()

    def script(heard: Heard) -> Reply:
        number = next(page)
        names = [f"t{number}.{entry}" for entry in range(10_000)]
        return Reply(body=to_bytes({"tags": names}), headers=link(f"/v2/eo/ndvi/tags/list?last={number}"))

    asking.server.script = script
    with pytest.raises(RegistryMalformedError, match="has no end: 110000 entries on 11 pages"):
        asking.client().list_tags(asking.reference())
