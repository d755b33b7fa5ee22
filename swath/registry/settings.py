"""What a site says of its registries: a TOML file with a table a registry, under its host as image names have it.

["registry.example:5000"]
credentials_file = "/etc/swath/registry.credentials"   # one line, USER:PASSWORD, open to nobody else (mode 0600)
ca_file = "/etc/swath/registry-ca.pem"                 # its certificate authority, instead of the system's
mirrors = ["mirror.example"]                           # asked for digests before it, for tags after it
trusted_hosts = ["auth.example", "storage.example:9000"]  # token servers and storage that it may send us to
"""

from __future__ import annotations

import ipaddress
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from swath.domain.errors import InvalidInputError, Problem
from swath.domain.references import is_host

_LONGEST_CREDENTIALS = 16 * 1024


def _to_host(text: str) -> str:
    if not is_host(text):
        raise ValueError(f"{text!r} is no host of a registry: NAME or NAME:PORT")
    return text.lower()


Host = Annotated[str, AfterValidator(_to_host)]


class RegistrySettings(BaseModel):
    """One registry: over TLS and anonymously unless it says otherwise; on the loopback, in the clear.

    One without any has to have a public address.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    credentials_file: Path | None = None
    ca_file: Path | None = None
    insecure: bool | None = None  # plain http; None: on the loopback only, and there without a ca_file only
    mirrors: tuple[Host, ...] = ()
    # Other hosts that it may send us to: they may have private addresses, and its token servers get the credentials.
    trusted_hosts: tuple[Host, ...] = ()

    def read_credentials(self) -> tuple[str, str] | None:
        """User and password, read anew each time, so that a changed file counts at once; None for an anonymous reader.

        Raises ValueError for a file that is missing, open to others or something else.
        """
        if self.credentials_file is None:
            return None
        name = f"the credentials file {self.credentials_file}"
        try:
            mode = stat.S_IMODE(self.credentials_file.stat().st_mode)
            with self.credentials_file.open(encoding="utf-8") as file:
                text = file.read(_LONGEST_CREDENTIALS).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name} cannot be read: {type(error).__name__}") from None  # its text is a secret
        if mode & 0o077:
            raise ValueError(f"{name} is open to others (mode {mode:04o}): chmod 600 it")
        user, colon, password = text.partition(":")
        if not (user and colon and password) or not text.isprintable():
            raise ValueError(f"{name} is not one line USER:PASSWORD")
        return user, password


Registries = Mapping[str, RegistrySettings]  # host -> what is known of it

_TABLES = TypeAdapter(dict[Host, RegistrySettings])


def read_registries(path: Path | None) -> Registries:
    """The file's registries; raises InvalidInputError with everything that is wrong in it."""
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError.at(str(path), f"cannot be read: {error}") from error
    try:
        return _TABLES.validate_python(document)
    except ValidationError as error:
        raise InvalidInputError(
            Problem(f"{path}: {'/'.join(map(str, entry['loc']))}", entry["msg"]) for entry in error.errors()
        ) from error


def is_loopback(host: str) -> bool:
    """True for a name or address, without a port, that never leaves the machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
