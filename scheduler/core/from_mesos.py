"""From Mesos' events, as JSON objects, to the core's."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from scheduler.core.events import (
    AgentsListed,
    Disconnected,
    EngineSaid,
    Event,
    Failure,
    Heartbeat,
    ImagesHeld,
    InverseOffer,
    InverseOffered,
    MasterError,
    Offer,
    Offered,
    Rescinded,
    SecretsWanted,
    Subscribed,
    Update,
)
from swath.domain.changes import PutAgent
from swath.domain.errors import InvalidInputError, WireError
from swath.domain.images import EngineReport, ImagesReport, read_message
from swath.domain.secret_messages import SecretsOrder
from swath.domain.states import Observation
from swath.wire.resources import read_resources, to_resources

Message = Mapping[str, Any]

# What reading one may raise.
_ILL_FORMED = (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, OSError, InvalidInputError)


def to_event(message: Message) -> Event | None:
    """The core's event for one of Mesos'; None for those that mean nothing to it.

    Raises WireError for one without the fields that it must have.
    """
    kind = message.get("type")
    convert = _CONVERSIONS.get(kind) if isinstance(kind, str) else None
    if convert is None:
        return None
    try:
        if (event := convert(message)) is None:
            return None
        _check_fields(event, *(event.offers if isinstance(event, Offered | InverseOffered) else ()))
        return event
    except _ILL_FORMED as error:
        raise WireError(f"a {message['type']} event cannot be understood: {error!r}") from error


def _check_fields(*parts: Any) -> None:
    """Raise TypeError where a field is not of its type: no list where an id should be gets into the core."""
    for part in parts:
        for name, hint in _find_plain_fields(type(part)):  # type: ignore[arg-type]  # a type can be hashed
            if not isinstance(value := getattr(part, name), hint):
                raise TypeError(f"{name} is {value!r:.100}")


def _to_text(value: Any) -> str:
    """The value, where it is text; raises TypeError. For what stands in the fields that `_check_fields` does not judge."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is no text")
    return value


@cache
def _find_plain_fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """The fields that `isinstance` can judge, with their types; parameterised ones it cannot."""
    hints = get_type_hints(kind).items()
    return tuple((name, hint) for name, hint in hints if all(get_origin(part) is None for part in _find_parts(hint)))


def _find_parts(hint: Any) -> tuple[Any, ...]:
    """The members of a union, else the type itself."""
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def to_agents(answer: Message, asked_at: datetime) -> AgentsListed:
    """The answer to a GET_AGENTS that left at `asked_at`; raises WireError where it is none."""
    try:
        listed = answer["get_agents"]
        agents = tuple(map(_to_agent, listed.get("agents") or ()))
        _check_fields(*agents)
        recovered = frozenset(_to_text(info["id"]["value"]) for info in listed.get("recovered_agents") or ())
        held = (to_resources(entry.get("allocated_resources") or ()) for entry in listed.get("agents") or ())
        allocated = {agent.agent_id: amount for agent, amount in zip(agents, held, strict=True)}
        return AgentsListed(asked_at=asked_at, agents=agents, allocated=allocated, recovered=recovered)
    except _ILL_FORMED as error:
        raise WireError(f"the list of agents cannot be understood: {error!r}") from error


def _to_subscribed(message: Message) -> Subscribed:
    subscribed = message["subscribed"]
    info = subscribed.get("master_info") or {}
    host = (info.get("address") or {}).get("ip") or info.get("hostname")
    port = info.get("port")
    return Subscribed(
        framework_id=subscribed["framework_id"]["value"], master=f"{host}:{port}" if host and port else None
    )


def _to_offered(message: Message) -> Offered:
    return Offered(offers=tuple(map(_to_offer, message["offers"].get("offers") or ())))


def _to_offer(offer: Message) -> Offer:
    region, zone = _to_domain(offer)
    resources, ports = read_resources(offer.get("resources") or ())
    return Offer(
        id=offer["id"]["value"],
        agent_id=offer["agent_id"]["value"],
        hostname=offer["hostname"],
        url=_to_url(offer),
        resources=resources,
        ports=ports,
        executor_ids=frozenset(_to_text(entry["value"]) for entry in offer.get("executor_ids") or ()),
        attributes=_to_attributes(offer.get("attributes") or ()),
        region=region,
        zone=zone,
        **_to_window(offer),
    )


def _to_inverse_offered(message: Message) -> InverseOffered:
    offers = message["inverse_offers"].get("inverse_offers") or ()
    # An inverse offer may be for no agent in particular, says the protocol; Mesos makes none of that kind.
    return InverseOffered(offers=tuple(_to_inverse_offer(offer) for offer in offers if "agent_id" in offer))


def _to_inverse_offer(offer: Message) -> InverseOffer:
    return InverseOffer(id=offer["id"]["value"], agent_id=offer["agent_id"]["value"], **_to_window(offer))


def _to_window(entry: Message) -> dict[str, Any]:
    """The maintenance window of an offer or inverse offer; empty where there is none."""
    unavailability = entry.get("unavailability")
    if not unavailability:
        return {}
    begins = datetime.fromtimestamp(unavailability["start"]["nanoseconds"] / 1e9, UTC)
    duration = unavailability.get("duration")
    ends = None if duration is None else begins + timedelta(microseconds=duration["nanoseconds"] / 1000)
    return {"unavailable_from": begins, "unavailable_until": ends}


def _to_url(offer: Message) -> str:
    """The agent's HTTP API; an offer without a url names at least the host, where agents listen on 5051."""
    url = offer.get("url")
    if not url:
        return f"http://{offer['hostname']}:5051"
    address = url["address"]
    return f"{url.get('scheme', 'http')}://{address.get('ip') or address['hostname']}:{address['port']}"


def _to_domain(entry: Message) -> tuple[str | None, str | None]:
    fault = (entry.get("domain") or {}).get("fault_domain")
    return (fault["region"]["name"], fault["zone"]["name"]) if fault else (None, None)


def _to_attributes(entries: Iterable[Message]) -> dict[str, str]:
    """Attributes as text: what a constraint compares with."""
    attributes: dict[str, str] = {}
    for entry in entries:
        if "text" in entry:
            attributes[_to_text(entry["name"])] = _to_text(entry["text"]["value"])
        elif "scalar" in entry:
            attributes[_to_text(entry["name"])] = f"{entry['scalar']['value']:g}"
    return attributes


def _to_agent(entry: Message) -> PutAgent:
    info = entry["agent_info"]
    region, zone = _to_domain(info)
    # pid is "slave(1)@127.0.0.1:5051": the address that the agent really listens on.
    address = entry.get("pid", "").partition("@")[2] or f"{info['hostname']}:{info.get('port', 5051)}"
    return PutAgent(
        agent_id=info["id"]["value"],
        hostname=info["hostname"],
        url=f"http://{address}",
        total=to_resources(entry.get("total_resources") or info.get("resources") or ()),
        attributes=_to_attributes(info.get("attributes") or ()),
        region=region,
        zone=zone,
        # Whoever was deactivated by an operator is not active in Mesos' words, and there all the same (transcript 09d).
        active=bool(entry.get("active", True)) or bool(entry.get("deactivated", False)),
        deactivated=bool(entry.get("deactivated", False)),
        drain=(entry.get("drain_info") or {}).get("state"),
    )


def _to_update(message: Message) -> Update:
    status = message["update"]["status"]
    data = status.get("data")
    return Update(
        task_id=status["task_id"]["value"],
        observation=Observation(status["state"].removeprefix("TASK_")),
        agent_id=status.get("agent_id", {}).get("value"),
        uuid=status.get("uuid") or None,
        source=status.get("source", ""),
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        data=b64decode(data) if data else None,
    )


def _to_failure(message: Message) -> Failure:
    failure = message["failure"]
    return Failure(
        agent_id=failure.get("agent_id", {}).get("value"),
        executor_id=failure.get("executor_id", {}).get("value"),
        status=failure.get("status"),
    )


def _to_word(message: Message) -> ImagesHeld | EngineSaid | SecretsWanted | None:
    """What an executor says; None for a message of a kind that only a newer version knows."""
    body = message["message"]
    said = read_message(b64decode(body["data"]))
    agent_id, executor_id = body["agent_id"]["value"], body["executor_id"]["value"]
    match said:
        case ImagesReport():
            return ImagesHeld(agent_id=agent_id, executor_id=executor_id, report=said)
        case SecretsOrder():
            return SecretsWanted(agent_id=agent_id, executor_id=executor_id, attempt=said.attempt, key=said.key_bytes)
        case EngineReport():
            return EngineSaid(agent_id=agent_id, executor_id=executor_id, problem=said.problem)
        case _:
            return None


_CONVERSIONS: Mapping[str, Callable[[Message], Event | None]] = {
    "SUBSCRIBED": _to_subscribed,
    "OFFERS": _to_offered,
    "INVERSE_OFFERS": _to_inverse_offered,
    "RESCIND": lambda message: Rescinded(offer_id=message["rescind"]["offer_id"]["value"]),
    "UPDATE": _to_update,
    "FAILURE": _to_failure,
    "MESSAGE": _to_word,
    "ERROR": lambda message: MasterError(message=message["error"].get("message", "")),
    "HEARTBEAT": lambda message: Heartbeat(),
    "DISCONNECTED": lambda message: Disconnected(reason=message.get("reason", "")),
}
