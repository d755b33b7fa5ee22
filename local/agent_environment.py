"""Where an executor runs and which variables it gets (transcripts 01, 04i, 12)."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from local.agent_state import AgentSettings
from local.messages import StartProcess
from local.resources import role_of
from local.statuses import format_duration
from local.tokens import make_claims

Json = dict[str, Any]
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_directory(settings: AgentSettings, agent_id: str, info: Json, container_id: str) -> str:
    """The sandbox of one run; `runs/latest` links to the newest."""
    framework, executor = info["framework_id"]["value"], info["executor_id"]["value"]
    parts = ("slaves", agent_id, "frameworks", framework, "executors", executor, "runs", container_id)
    return str(PurePosixPath(settings.work_dir, *parts))


def shutdown_grace_s(default_s: float, info: Json) -> float:
    """Seconds that an executor has after SHUTDOWN: its ExecutorInfo's own, else the agent's."""
    nanoseconds = info.get("shutdown_grace_period", {}).get("nanoseconds")
    return default_s if nanoseconds is None else float(nanoseconds) / 1e9


def make_start(
    settings: AgentSettings, agent_id: str, framework_info: Json, info: Json, container_id: str
) -> StartProcess:
    """HOME, USER and LANG are not set, PATH is the system's default (surprise 8)."""
    directory = make_directory(settings, agent_id, info, container_id)
    command = info["command"]
    executable = "/bin/sh" if command.get("shell", True) else command.get("value", "")
    if command.get("shell", True):
        arguments: tuple[str, ...] = ("sh", "-c", command.get("value", ""))
    else:
        arguments = tuple(command.get("arguments", ())) or (executable,)
    return StartProcess(
        container_id=container_id,
        framework_id=info["framework_id"]["value"],
        executor_id=info["executor_id"]["value"],
        executable=executable,
        arguments=arguments,
        environment=_make_environment(settings, agent_id, framework_info, info, directory)
        | _make_token_variable(settings, info, container_id),
        directory=directory,
        container=info.get("container"),
    )


def _make_token_variable(settings: AgentSettings, info: Json, container_id: str) -> dict[str, str]:
    if settings.make_token is None:
        return {}
    claims = make_claims(info["framework_id"]["value"], info["executor_id"]["value"], container_id)
    return {"MESOS_EXECUTOR_AUTHENTICATION_TOKEN": settings.make_token(claims)}


def _make_environment(
    settings: AgentSettings, agent_id: str, framework_info: Json, info: Json, directory: str
) -> dict[str, str]:
    endpoint = f"{settings.hostname}:{settings.port}"
    checkpoint = bool(framework_info.get("checkpoint", False))
    environment = {
        "LIBPROCESS_IP": settings.hostname,
        "LIBPROCESS_PORT": "0",
        "PATH": _PATH,
        "MESOS_AGENT_ENDPOINT": endpoint,
        "MESOS_CHECKPOINT": "1" if checkpoint else "0",
        "MESOS_DIRECTORY": directory,
        "MESOS_EXECUTOR_ID": info["executor_id"]["value"],
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": format_duration(shutdown_grace_s(settings.shutdown_grace_s, info)),
        "MESOS_FRAMEWORK_ID": info["framework_id"]["value"],
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        "MESOS_SANDBOX": directory,
        "MESOS_SLAVE_ID": agent_id,
        "MESOS_SLAVE_PID": f"slave(1)@{endpoint}",
    }
    if checkpoint:
        environment["MESOS_RECOVERY_TIMEOUT"] = settings.recovery_timeout
        environment["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = settings.subscription_backoff_max
    if info.get("container", {}).get("type") == "DOCKER":
        environment |= _make_docker_variables(info, directory)
    for variable in info["command"].get("environment", {}).get("variables", ()):
        environment[variable["name"]] = variable.get("value", "")
    return environment


def _make_docker_variables(info: Json, directory: str) -> dict[str, str]:
    """The sandbox is a mount there, while MESOS_DIRECTORY stays a path of the host (surprise 45)."""
    return {
        "MESOS_SANDBOX": "/mnt/mesos/sandbox",
        "MESOS_CONTAINER_NAME": f"mesos-{directory.rpartition('/')[2]}",
        "MESOS_ALLOCATION_ROLE": role_of(info),
    }
