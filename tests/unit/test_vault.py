"""Secrets at rest and on their way: nothing opens them but the right key, in the right place."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cli.secrets import make_key
from swath.cli.var import write_private
from swath.domain.errors import InternalError, InvalidInputError
from swath.vault.keyring import Keyring
from swath.vault.sealing import Opener, seal

SECRET = "open sesame, ünd schließe"
ATTEMPT = "01JD0000000000000000000000"


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    """A file with one key."""
    write_private(tmp_path / "keys", make_key() + "\n")
    return Keyring(file=tmp_path / "keys")


def test_what_is_sealed_is_opened_by_its_key_alone(keyring: Keyring, tmp_path: Path) -> None:
    """The same key gives the secret back; another one is a fault that names the file and no secret."""
    sealed = keyring.seal("forest", "TOKEN", SECRET)
    assert SECRET not in sealed
    assert keyring.unseal("forest", "TOKEN", sealed) == SECRET

    write_private(keyring.file, make_key() + "\n")
    with pytest.raises(InternalError, match="none of the keys") as caught:
        keyring.unseal("forest", "TOKEN", sealed)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("place", [("sea", "TOKEN"), ("forest", "OTHER")])
def test_what_is_sealed_opens_in_its_own_place_only(keyring: Keyring, place: tuple[str, str]) -> None:
    """Whoever moves a row in the database gets a fault instead of another project's secret."""
    with pytest.raises(InternalError, match="another place"):
        keyring.unseal(*place, keyring.seal("forest", "TOKEN", SECRET))


def test_a_new_first_key_seals_and_the_old_one_still_opens(keyring: Keyring) -> None:
    """Until everything is sealed anew: then the old line may go."""
    old = keyring.seal("forest", "TOKEN", SECRET)
    first = keyring.file.read_text()
    write_private(keyring.file, make_key() + "\n" + first)

    assert keyring.unseal("forest", "TOKEN", old) == SECRET
    new = keyring.reseal(old)
    write_private(keyring.file, keyring.file.read_text().splitlines()[0] + "\n")
    assert keyring.unseal("forest", "TOKEN", new) == SECRET
    with pytest.raises(InternalError):
        keyring.unseal("forest", "TOKEN", old)


def test_a_key_file_that_is_none_is_a_fault_that_says_what_to_do(keyring: Keyring) -> None:
    """Open to others, empty, nonsense or missing; nonsense is not repeated, for it may be half a key."""
    keyring.file.chmod(0o644)
    with pytest.raises(InternalError, match="chmod 600"):
        keyring.seal("p", "n", SECRET)
    for text, message in (("", "is empty"), (make_key() + "\nhalf-a-key\n", "line 2 of")):
        write_private(keyring.file, text)
        with pytest.raises(InternalError, match=message) as caught:
            keyring.seal("p", "n", SECRET)
        assert "half-a-key" not in str(caught.value)
    keyring.file.unlink()
    with pytest.raises(InternalError, match="cannot be read"):
        keyring.seal("p", "n", SECRET)


def test_what_travels_opens_for_its_attempt_and_key_alone() -> None:
    """Another attempt's, another executor's and a changed message open for nobody."""
    opener = Opener.make()
    sealed = seal({"TOKEN": SECRET}, opener.public_key, ATTEMPT)

    assert SECRET.encode() not in sealed
    assert opener.open(sealed, ATTEMPT) == {"TOKEN": SECRET}
    for other, data, attempt in (
        (Opener.make(), sealed, ATTEMPT),
        (opener, sealed, ATTEMPT[:-1] + "1"),
        (opener, sealed[:-1] + bytes([sealed[-1] ^ 1]), ATTEMPT),
        (opener, b"", ATTEMPT),
    ):
        with pytest.raises(InvalidInputError, match="not sealed for this attempt"):
            other.open(data, attempt)


def test_nothing_is_sealed_for_what_is_no_key() -> None:
    """A key of a wrong length, and the one with which everybody could read along, are refused."""
    for key in (b"short", bytes(32)):
        with pytest.raises(InvalidInputError, match="is no key"):
            seal({"TOKEN": SECRET}, key, ATTEMPT)
