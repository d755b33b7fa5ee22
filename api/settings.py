"""The settings of the job service, read from the environment (SWATH_...) by `main` and handed down."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from swath.domain.image_policy import ImagePolicy
from swath.s3 import split_href

if TYPE_CHECKING:
    from swath.vault.signatures import Key

SHORTEST_TOKEN = 16  # characters; `swath up` makes 43
Names = Annotated[tuple[str, ...], NoDecode]  # with commas between them


def _owner() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a number without a name
        return f"uid-{os.getuid()}"


class Settings(BaseSettings):
    """What the service needs to know. There is one token, and so one user: whoever runs the cluster."""

    model_config = SettingsConfigDict(env_prefix="SWATH_", frozen=True)

    database_url: str
    token_file: Path  # holds the bearer token; nobody but its owner may read it
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8642, ge=0, le=65535)
    public_url: str | None = None  # how users reach the service, where that is not host and port
    allowed_hosts: Names = ()  # names in Host beside loopback's and the public URL's
    input_roots: Annotated[tuple[Path, ...], NoDecode] = (Path("/"),)  # file:// inputs lie below one of these
    s3_file: Path | None = None  # names the site's S3 stores, with their keys; mode 0600
    input_schemes: Annotated[tuple[str, ...], NoDecode] = ("file", "https", "s3")  # as the executors have them
    logs_root: str | None = None  # where executors ship logs to, a directory or "s3://bucket/prefix"; None: nowhere
    check_inputs: bool = True  # False where the api does not see the agents' file system
    max_body: int = Field(default=5 * 1024 * 1024, ge=1024)  # bytes
    token_user: str = Field(default_factory=_owner)  # whose jobs they are
    agent_principal: str | None = None  # whom the agents know the service as, where they ask for authentication
    agent_secret: SecretStr | None = None
    registry_check_s: float = Field(
        default=3600.0, ge=0
    )  # between two looks for tags that moved and digests that are gone
    registries: Path | None = None  # TOML file with what registries need: swath/registry/settings.py
    heartbeat_s: float = Field(default=15.0, gt=0)  # between comments on a quiet stream of events
    scheduler_stale_s: float = Field(default=30.0, gt=0)  # after so long without a sign of it, /readyz says no
    log_format: Literal["json", "console"] = "console"
    secrets_key_file: Path | None = None  # see swath.vault.keyring; the scheduler has to have the same
    image_promotion: Literal["automatic", "approver"] = "automatic"  # approver: somebody says that a version may run
    image_approvers: Names = ()  # users who may; none for everybody
    image_registries: Names = ()  # see swath.domain.image_policy for these rules
    image_local: bool = True
    image_pinned: bool = False
    image_max_size_mib: int | None = Field(default=None, ge=1)
    image_root: bool = True
    image_labels: Names = ()
    image_signers: Path | None = None  # public keys (PEM), one of which has to have signed an image
    image_registry_down: Literal["accept", "refuse"] = "accept"  # jobs of images that nobody answers for
    image_registry_deadline_s: float = Field(default=3.0, gt=0, le=60)  # that a submission waits for a registry

    @field_validator(
        "allowed_hosts", "input_schemes", "image_approvers", "image_registries", "image_labels", mode="before"
    )
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("logs_root", mode="before")
    @classmethod
    def _check_logs_root(cls, value: object) -> object:
        if str(value).startswith("s3://"):
            try:
                split_href(str(value))
            except ValueError as error:
                raise ValueError(f"{value} {error}") from None
        return str(value) if isinstance(value, Path) else value

    @field_validator("input_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        return tuple(map(Path, filter(None, value.split(":")))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_whole_credential(self) -> Self:
        principal, secret = self.agent_principal or None, self.agent_secret and self.agent_secret.get_secret_value()
        if bool(principal) != bool(secret) or ":" in (principal or ""):
            raise ValueError("SWATH_AGENT_PRINCIPAL (without a colon) and SWATH_AGENT_SECRET go together")
        return self

    @property
    def agent_credential(self) -> tuple[str, str] | None:
        """(principal, secret) for the agents; None where they serve anybody."""
        if not self.agent_principal or self.agent_secret is None:
            return None
        return self.agent_principal, self.agent_secret.get_secret_value()

    @property
    def image_policy(self) -> ImagePolicy:
        """What images have to be like."""
        return ImagePolicy(
            registries=self.image_registries,
            local=self.image_local,
            pinned=self.image_pinned,
            max_size_mib=self.image_max_size_mib,
            root=self.image_root,
            labels=self.image_labels,
            signers=tuple(self.read_signers()),
        )

    def read_signers(self) -> Mapping[str, Key]:
        """The keys whose signatures count, by fingerprint. Raises ValueError for a file that holds none."""
        if self.image_signers is None:
            return {}
        from swath.vault.signatures import read_keys

        return read_keys(self.image_signers)

    @property
    def hosts(self) -> frozenset[str]:
        """Every name under which the service may be addressed, in lower case, without ports."""
        public = urlsplit(self.public_url).hostname if self.public_url else None
        names = {"127.0.0.1", "localhost", "::1", self.api_host, public, *self.allowed_hosts}
        return frozenset(name.lower().strip("[]") for name in names if name and name != "0.0.0.0")

    def read_token(self) -> str:
        """The bearer token. Raises ValueError for a file that is missing, open to others, or too short to be a secret."""
        try:
            mode = stat.S_IMODE(self.token_file.stat().st_mode)
            token = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the token file {self.token_file} cannot be read: {error}") from error
        if mode & 0o077:
            raise ValueError(f"the token file {self.token_file} is open to others (mode {mode:04o}): chmod 600 it")
        if len(token) < SHORTEST_TOKEN:
            raise ValueError(f"the token in {self.token_file} is shorter than {SHORTEST_TOKEN} characters")
        return token
