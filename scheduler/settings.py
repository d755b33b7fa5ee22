"""The scheduler's settings: environment variables with the prefix SWATH_."""

from __future__ import annotations

import getpass
import json
import os
import socket
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from scheduler.core.state import CoreSettings
from swath.domain.errors import InvalidInputError
from swath.domain.resources import Resources
from swath.domain.shares import HALF_LIFE_S
from swath.matching.policies import parse_policy
from swath.wire.calls import CAPABILITIES, Message, make_executor_info, make_framework_info
from swath.wire.endpoints import Credential, TlsOptions
from swath.wire.enums import Capability


class Settings(BaseSettings):
    """Made once in `main` and passed down."""

    model_config = SettingsConfigDict(env_prefix="SWATH_", frozen=True, hide_input_in_errors=True)

    database_url: str
    master: str = "127.0.0.1:5050"  # host:port, a list of them, or zk://h1:2181,h2/mesos
    role: str = "swath"  # one framework a role (MESOS.md, M31)
    user: str = Field(default_factory=getpass.getuser)  # on the agents
    name: str = "swath"
    principal: str | None = None
    secret: str | None = Field(default=None, repr=False)  # of the principal
    hostname: str = Field(default_factory=socket.gethostname)  # where this scheduler runs, for Mesos' pages
    webui_url: str | None = None
    ca_file: Path | None = None  # of the master's certificate; with it or cert_file, everything goes over TLS (M13)
    cert_file: Path | None = (
        None  # our own certificate, where masters demand one; without ca_file the system's are trusted
    )
    key_file: Path | None = None  # of cert_file, unless it holds the key as well
    tls_verify_hostname: bool = True  # False where certificates carry no addresses; the chain is verified all the same
    outputs_root: str  # on the shared file system, or s3://bucket/prefix of a store that executors and api know
    s3_file: Path | None = None  # names the site's S3 stores: with it, what attempts left there in vain is removed ...
    losers_days: float = Field(default=7.0, gt=0)  # ... so long after their launch
    executor_command: str  # a shell's command line on the agent's host, or in executor_container
    executor_env: dict[str, str] = Field(default_factory=dict)
    executor_container: dict[str, Any] | None = None  # Mesos' ContainerInfo; None for a process on the host
    executor_cpus: float = Field(default=0.1, ge=0)
    secrets_key_file: Path | None = None  # see swath.vault.keyring; the api has to have the same
    gpus: bool = False  # be offered agents with GPUs (MESOS.md, M33)
    executor_mem: int = Field(default=128, ge=0)  # MiB
    prefetch_agents: int = Field(default=8, ge=0)  # that pull an image ahead at the same time; 0 for none
    policy: str = "fair"  # of the matcher: "fair", "fifo", "fair,past_weight=0.5,most_starting=20" (docs/scheduling.md)
    register_anew: bool = False  # take a new framework id after the master has removed the old one
    log_format: Literal["console", "json"] = "console"
    http_port: int = 0  # of the metrics, on loopback; 0 for none
    lease_s: float = Field(default=10.0, gt=1)  # of the leadership: a take-over may have to wait so long
    cut_off_s: float = Field(default=60.0, gt=0)  # without a master, until another scheduler may try

    half_life_s: float = Field(default=HALF_LIFE_S, ge=60)  # after which what a project has held counts half

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        """Unusable files are found at the start, not in the first connection."""
        if self.key_file and not self.cert_file:
            raise ValueError("key_file is the key of cert_file, which is not set")
        for name in ("ca_file", "cert_file", "key_file"):
            path = getattr(self, name)
            if path is not None and not os.access(path, os.R_OK):
                raise ValueError(f"{name}: {path} is not there or cannot be read")
        try:
            if (tls := self.make_tls()) is not None:
                tls.make_context()
        except OSError as error:  # ssl's errors are such, too
            raise ValueError(f"ca_file, cert_file and key_file do not serve for TLS: {error}") from error
        return self

    @field_validator("outputs_root", mode="before")
    @classmethod
    def _to_absolute(cls, value: object) -> str:
        return text if (text := str(value)).startswith("s3://") else str(Path(text).absolute())

    @field_validator("policy")
    @classmethod
    def _check_policy(cls, text: str) -> str:
        try:
            parse_policy(text, {})
        except InvalidInputError as error:
            raise ValueError(str(error)) from error
        return text

    def make_tls(self) -> TlsOptions | None:
        """TLS towards the masters; None for a plain wire."""
        if not (self.ca_file or self.cert_file):
            return None
        return TlsOptions(
            ca_file=_to_text(self.ca_file),
            cert_file=_to_text(self.cert_file),
            key_file=_to_text(self.key_file),
            verify_hostname=self.tls_verify_hostname,
        )

    def make_credential(self) -> Credential | None:
        """For basic authentication; None where principal or secret is not set."""
        if not (self.principal and self.secret):
            return None
        return Credential(principal=self.principal, secret=self.secret)

    @property
    def executor_resources(self) -> Resources:
        """What an executor takes of its agent."""
        return Resources(cpus_m=round(self.executor_cpus * 1000), mem=self.executor_mem)

    def make_executor(self) -> Message:
        """The ExecutorInfo. "Another ExecutorInfo under the same id is TASK_ERROR" (DESIGN.md 4.2): the id has its hash."""
        unnamed = self._make_executor("")
        digest = sha256(json.dumps(unnamed, sort_keys=True).encode()).hexdigest()
        return self._make_executor(f"swath-{digest[:12]}")

    def _make_executor(self, executor_id: str) -> Message:
        return make_executor_info(
            executor_id,
            command=self.executor_command,
            environment=dict(sorted(self.executor_env.items())),
            resources=self.executor_resources,
            role=self.role,
            name="swath executor",
            source="swath",
            container=self.executor_container,
            shutdown_grace_s=30.0,
        )

    def make_framework(self) -> Message:
        """FrameworkInfo with the safe defaults of `swath.wire`: a week's failover time-out, checkpointing (M2, M3, M7)."""
        return make_framework_info(
            user=self.user,
            name=self.name,
            role=self.role,
            principal=self.principal,
            hostname=self.hostname,
            webui_url=self.webui_url,
            labels={"framework": "swath"},
            capabilities=(*CAPABILITIES, Capability.GPU_RESOURCES) if self.gpus else CAPABILITIES,
        )

    def make_core_settings(self) -> CoreSettings:
        """What the core has to know."""
        return CoreSettings(
            executor_id=self.make_executor()["executor_id"]["value"],
            executor_resources=self.executor_resources,
            policy=parse_policy(self.policy, {}),
            prefetch_agents=self.prefetch_agents,
            register_anew=self.register_anew,
            half_life_s=self.half_life_s,
        )


def _to_text(path: Path | None) -> str | None:
    return None if path is None else str(path)
