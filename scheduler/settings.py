"""The scheduler's settings: environment variables with the prefix SWATH_."""

from __future__ import annotations

import getpass
import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from scheduler.core.state import CoreSettings
from swath.domain.resources import Resources
from swath.wire.calls import Message, make_executor_info, make_framework_info


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
    hostname: str | None = None
    webui_url: str | None = None
    ca_file: Path | None = None  # of the master's certificate; with it, calls go over TLS
    outputs_root: Path  # on the shared file system
    executor_command: str  # a shell's command line on the agent's host, or in executor_container
    executor_env: dict[str, str] = Field(default_factory=dict)
    executor_container: dict[str, Any] | None = None  # Mesos' ContainerInfo; None for a process on the host
    executor_cpus: float = Field(default=0.1, ge=0)
    executor_mem: int = Field(default=128, ge=0)  # MiB
    register_anew: bool = False  # take a new framework id after the master has removed the old one
    log_format: Literal["console", "json"] = "console"
    http_port: int = 0  # of the metrics, on loopback; 0 for none
    lease_s: float = Field(default=15.0, gt=1)  # of the leadership

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
        )

    def make_core_settings(self) -> CoreSettings:
        """What the core has to know."""
        return CoreSettings(
            executor_id=self.make_executor()["executor_id"]["value"],
            executor_resources=self.executor_resources,
            register_anew=self.register_anew,
        )
