"""Signatures as cosign makes them, in a real registry: whose counts, and what counts for nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.signatures import PAYLOAD, SIGNATURE
from swath.domain.manifest import LABEL
from swath.vault.signatures import TYPE, find_signer, read_keys, to_fingerprint
from tests.api.serving import MANIFEST, Api, declare, make_settings, serving
from tests.registry.pushing import OCI_MANIFEST, Image, Pusher, an_image, digest_of, to_bytes
from tests.store.build import Scene

CONFIG = b"{}"
VERSIONED = {**MANIFEST, "job": {**MANIFEST["job"], "jobVersion": "3.0.0"}}
JOB = {"image": "ndvi:3.0.0", "inputs": {"SCENE": {"href": Path(__file__).as_uri()}}}


def payload_for(digest: str, **changed: Any) -> bytes:
    """What cosign signs."""
    identity = {"docker-reference": "registry/eo/signed"}
    critical = {"identity": identity, "image": {"docker-manifest-digest": digest}, "type": TYPE}
    return to_bytes({"critical": {**critical, **changed}, "optional": None})


def sign(key: ec.EllipticCurvePrivateKey, payload: bytes) -> str:
    """As cosign does by default."""
    return base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()


def a_signature(payload: bytes, signature: str, kind: str = PAYLOAD) -> Image:
    """The manifest that cosign pushes."""
    layer = {"mediaType": kind, "digest": digest_of(payload), "size": len(payload)}
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(CONFIG), "size": len(CONFIG)}
    layers = [{**layer, "annotations": {SIGNATURE: signature}}]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
    return Image(to_bytes(document), OCI_MANIFEST, (CONFIG, payload))


def write_keys(file: Path, *keys: Any) -> Path:
    """A file of public keys."""
    pem = [key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys]
    file.write_bytes(b"".join(pem))
    return file


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    """The site's."""
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def strict(
    sqlite_database: str, scene: Scene, tmp_path: Path, registry: str, key: ec.EllipticCurvePrivateKey
) -> Iterator[Api]:
    """A service that wants images signed by the key."""
    said = {"image_signers": write_keys(tmp_path / "keys", key), "registries": declare(tmp_path, registry)}
    with serving(make_settings(tmp_path, sqlite_database, **said)) as api:
        yield api


def push(registry: str, layer: bytes) -> tuple[Pusher, str]:
    """An image that describes itself; its digest."""
    pusher = Pusher(f"http://{registry}")
    return pusher, pusher.push("eo/signed", an_image(labels={LABEL: json.dumps(VERSIONED)}, layers=(layer,)))


def place_of(digest: str) -> str:
    """The tag of an image's signatures."""
    return f"{digest.replace(':', '-')}.sig"


def test_what_the_sites_key_has_signed_is_registered_and_runs(
    strict: Api, registry: str, key: ec.EllipticCurvePrivateKey
) -> None:
    """The catalogue says by which key."""
    pusher, digest = push(registry, b"signed")
    payload = payload_for(digest)
    pusher.push("eo/signed", a_signature(payload, sign(key, payload)), place_of(digest))

    response = strict.post("/v1/images", json={"reference": f"{registry}/eo/signed@{digest}"})

    assert response.status_code == 201, response.text
    assert response.json()["signed_by"] == to_fingerprint(key.public_key())
    assert strict.submit(**JOB)["warnings"] == []


@pytest.mark.parametrize("how", ["not", "by another", "for another", "changed", "as nonsense", "of another kind"])
def test_what_it_has_not_signed_is_refused(
    strict: Api, registry: str, key: ec.EllipticCurvePrivateKey, how: str
) -> None:
    """Unsigned, signed by somebody else, a signature that was made for another image, or what is none: the rule is named."""
    pusher, digest = push(registry, how.encode())
    payload = payload_for(digest_of(b"another") if how == "for another" else digest)
    signature = sign(ec.generate_private_key(ec.SECP256R1()) if how == "by another" else key, payload)
    made = {
        "changed": a_signature(payload.replace(b"null", b'"xx"'), signature),
        "as nonsense": a_signature(payload, "no base64!"),
        "of another kind": a_signature(payload, signature, kind="text/plain"),
    }.get(how, a_signature(payload, signature))
    if how != "not":
        pusher.push("eo/signed", made, place_of(digest))

    refused = strict.refusal({"reference": f"{registry}/eo/signed@{digest}"}, "/v1/images")

    assert refused["/reference"].startswith("policy signed: ")


def test_a_key_that_is_taken_back_counts_no_more(
    sqlite_database: str, scene: Scene, tmp_path: Path, registry: str, key: ec.EllipticCurvePrivateKey
) -> None:
    """New jobs of what it has signed are refused; with both keys in the file they run."""
    pusher, digest = push(registry, b"taken back")
    payload = payload_for(digest)
    pusher.push("eo/signed", a_signature(payload, sign(key, payload)), place_of(digest))
    other = ec.generate_private_key(ec.SECP256R1())
    keys = write_keys(tmp_path / "keys", other, key)
    settings = make_settings(tmp_path, sqlite_database, image_signers=keys, registries=declare(tmp_path, registry))
    with serving(settings) as api:
        assert api.post("/v1/images", json={"reference": f"{registry}/eo/signed@{digest}"}).status_code == 201
        api.submit(**JOB)
    write_keys(keys, other)
    with serving(settings) as api:
        assert api.refusal(JOB)["/image"].startswith("policy signed: ")


def test_every_kind_of_key_that_cosign_takes_is_known(tmp_path: Path) -> None:
    """ECDSA, Ed25519 and RSA; a signature that is no base64 is none."""
    digest = digest_of(b"image")
    payload = payload_for(digest)
    eddsa, big = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
    keys = read_keys(write_keys(tmp_path / "keys", eddsa, big))

    for key, signature in ((eddsa, eddsa.sign(payload)), (big, big.sign(payload, padding.PKCS1v15(), hashes.SHA256()))):
        text = base64.b64encode(signature).decode()
        assert find_signer(keys, digest, payload, text) == to_fingerprint(key.public_key())
        assert find_signer(keys, digest, payload_for(digest, type="else"), text) is None
    assert find_signer(keys, digest, payload, "no base64!") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
    ],
)
def test_a_file_without_keys_keeps_the_service_from_starting(tmp_path: Path, content: bytes, message: str) -> None:
    """A rule that nobody could keep is a slip of whoever wrote it."""
    (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_keys(tmp_path / "keys")
