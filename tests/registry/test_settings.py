"""The file in which a site names its registries."""

from pathlib import Path

import pytest

from swath.domain.errors import InvalidInputError
from swath.registry.settings import read_registries


def test_a_file_names_registries(tmp_path: Path) -> None:
    """A table a registry."""
    file = tmp_path / "registries.toml"
    file.write_text('["Registry.Example:5000"]\nca_file = "/etc/ca.pem"\nmirrors = ["mirror.example"]\n')
    found = read_registries(file)
    assert found["registry.example:5000"].mirrors == ("mirror.example",)
    assert found["registry.example:5000"].ca_file == Path("/etc/ca.pem")
    assert read_registries(None) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[", "cannot be read"),
        ('["https://registry.example"]\ninsecure = true', "no host of a registry"),
        ('["registry.example"]\npassword = "secret"', "registry.example/password"),
        ('["registry.example"]\nmirrors = ["http://mirror"]', "no host of a registry"),
        ('["registry.example"]\ninsecure = "perhaps"', "registry.example/insecure"),
        ("registry = 7", "registry"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    """InvalidInputError names the file, the registry and the setting, and never a value that may be a secret."""
    file = tmp_path / "registries.toml"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match=complaint) as caught:
        read_registries(file)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    """It was named, so somebody counts on it."""
    with pytest.raises(InvalidInputError, match=r"registries\.toml: cannot be read"):
        read_registries(tmp_path / "registries.toml")
