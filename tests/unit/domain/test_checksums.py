"""Checksums as STAC writes them."""

import pytest

from swath.domain.checksums import Checksum, read_checksum, to_multihash

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("text", "algorithm", "digest"),
    [
        ("1220" + EMPTY, "sha256", EMPTY),
        ("sha256:" + EMPTY.upper(), "sha256", EMPTY),
        ("d50110" + "a" * 32, "md5", "a" * 32),
        ("1114" + "b" * 40, "sha1", "b" * 40),
        ("1340" + "c" * 128, "sha512", "c" * 128),
    ],
)
def test_a_multihash_is_read(text, algorithm, digest):
    """Both spellings give the algorithm and the digest, and the multihash comes back."""
    assert read_checksum(text) == Checksum(algorithm=algorithm, digest=digest)
    assert read_checksum(to_multihash(read_checksum(text))) == read_checksum(text)


@pytest.mark.parametrize("text", ["", "1220", EMPTY, "1220" + EMPTY[:-1], "1220" + "x" * 64, "crc32:00", None, 7])
def test_what_is_no_checksum_is_refused(text):
    """A bare digest too: nobody could tell of what kind it is."""
    with pytest.raises(ValueError, match="checksum"):
        read_checksum(text)
