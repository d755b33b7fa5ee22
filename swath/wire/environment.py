"""What an agent tells its executor in the environment (surprise 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from swath.domain.errors import InvalidInputError
from swath.wire.endpoints import Endpoint, TlsOptions, parse_endpoint
from swath.wire.pymesos_drivers import parse_duration

_TRUE = frozenset({"1", "true"})
_BACKOFF_MAX_S = 2.0  # the agent's default of --executor_reregistration_timeout, where the variable is missing


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutorEnvironment:
    """The MESOS_* variables that a driver obeys."""

    agent: Endpoint
    framework_id: str
    executor_id: str
    checkpoint: bool  # without it, the executor exits as soon as it loses its agent
    recovery_timeout_s: float  # how long an agent may be away; 0 without checkpoint
    backoff_max_s: float  # between two SUBSCRIBEs
    shutdown_grace_s: float  # between SHUTDOWN and the agent's SIGKILL
    token: str | None  # where the agent authenticates its executors
    tls: TlsOptions | None  # where libprocess speaks TLS on this machine


def parse_environment(environ: Mapping[str, str]) -> ExecutorEnvironment:
    """Raises InvalidInputError for a variable that is missing or makes no sense."""
    checkpoint = _is_true(environ, "MESOS_CHECKPOINT")
    return ExecutorEnvironment(
        agent=parse_endpoint(_get(environ, "MESOS_AGENT_ENDPOINT"), default_port=5051),
        framework_id=_get(environ, "MESOS_FRAMEWORK_ID"),
        executor_id=_get(environ, "MESOS_EXECUTOR_ID"),
        checkpoint=checkpoint,
        recovery_timeout_s=_get_seconds(environ, "MESOS_RECOVERY_TIMEOUT", 15 * 60.0) if checkpoint else 0.0,
        backoff_max_s=_get_seconds(environ, "MESOS_SUBSCRIPTION_BACKOFF_MAX", _BACKOFF_MAX_S),
        shutdown_grace_s=_get_seconds(environ, "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", 5.0),
        token=environ.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN") or None,
        tls=_find_tls(environ),
    )


def _get(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise InvalidInputError.at(f"/{name}", "is not set: an executor is started by a Mesos agent")
    return value


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() in _TRUE


def _get_seconds(environ: Mapping[str, str], name: str, default_s: float) -> float:
    """A duration such as "15mins" or "2secs"."""
    value = environ.get(name)
    if not value:
        return default_s
    try:
        return float(parse_duration(value))
    except (AssertionError, ValueError) as error:
        raise InvalidInputError.at(f"/{name}", f"{value!r} is no duration such as 15mins") from error


def _find_tls(environ: Mapping[str, str]) -> TlsOptions | None:
    """libprocess' own variables, which an agent passes on to its executors."""
    if not _is_true(environ, "LIBPROCESS_SSL_ENABLED"):
        return None
    return TlsOptions(
        ca_file=environ.get("LIBPROCESS_SSL_CA_FILE") or None,
        cert_file=environ.get("LIBPROCESS_SSL_CERT_FILE") or None,
        key_file=environ.get("LIBPROCESS_SSL_KEY_FILE") or None,
        verify_hostname=False,  # agents' certificates carry host names, MESOS_AGENT_ENDPOINT an address
    )
