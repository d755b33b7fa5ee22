"""Signatures of images as `cosign sign --key` makes them: over a small JSON document that names the image's digest."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from swath.domain.strict_json import read_strictly

TYPE = "cosign container image signature"
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)

Key = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


def read_keys(file: Path) -> dict[str, Key]:
    """The public keys in a file of PEM, by their fingerprints. Raises ValueError for a file without any, or with others."""
    try:
        texts = _PEM.findall(file.read_bytes())
    except OSError as error:
        raise ValueError(f"the file of signers {file} cannot be read: {error}") from error
    keys = {}
    for text in texts:
        try:
            key = load_pem_public_key(text)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError(f"{file} holds a key that cannot be read: {error}") from error
        if not isinstance(key, Key):
            raise ValueError(f"{file} holds a key that cosign has no use for: ECDSA, Ed25519 and RSA are known")
        keys[to_fingerprint(key)] = key
    if not keys:
        raise ValueError(f"{file} holds no public key (-----BEGIN PUBLIC KEY-----)")
    return keys


def to_fingerprint(key: Key) -> str:
    """The SHA-256 of a key."""
    content = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def find_signer(keys: Mapping[str, Key], digest: str, payload: bytes, signature: str) -> str | None:
    """The fingerprint of the key that signed the image `digest` in `payload`; None where none of them did."""
    try:
        signed = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return None
    signer = next((name for name, key in keys.items() if _verifies(key, signed, payload)), None)
    return signer if signer is not None and _names(payload, digest) else None


def _verifies(key: Key, signature: bytes, payload: bytes) -> bool:
    try:
        match key:
            case EllipticCurvePublicKey():
                key.verify(signature, payload, ECDSA(hashes.SHA256()))
            case RSAPublicKey():
                key.verify(signature, payload, PKCS1v15(), hashes.SHA256())
            case Ed25519PublicKey():
                key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _names(payload: bytes, digest: str) -> bool:
    """True where the payload is about this image: a signature of another one proves nothing."""
    try:
        critical = read_strictly(payload)["critical"]
        return bool(critical["type"] == TYPE and critical["image"]["docker-manifest-digest"] == digest)
    except (ValueError, KeyError, TypeError):
        return False
