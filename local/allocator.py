"""Who is offered what: filters, suppression, constraints, and one offer of everything that is free on an agent."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from local.master_state import Agent, Framework, MasterState, Offer, rescind, rescind_inverse, send
from local.messages import MasterEffect
from local.resources import EMPTY, Bundle, Form, sum_bundles, to_thousandths
from local.statuses import has_capability
from local.windows import ask, find_unavailability

Json = dict[str, Any]
DEFAULT_REFUSE_S = 5.0
LONGEST_REFUSE_S = 365 * 86400.0
_LEAST_CPUS, _LEAST_MEM = to_thousandths(0.01), to_thousandths(32)


def refuse(state: MasterState, offer: Offer, bundle: Bundle, filters: Json | None, now: float) -> None:
    """Hide what was refused, and every part of it (surprise 39).

    refuse_seconds 0 = no filter, so the next tick offers again; negative = the default; the filter ends at the first
    tick after max(refuse_seconds, allocation interval).
    """
    until = find_filter_end(state, filters, now)
    if until is None or not bundle:
        return
    state.filters.setdefault((offer.framework_id, offer.role, offer.agent_id), []).append((bundle, until))


def find_filter_end(state: MasterState, filters: Json | None, now: float) -> float | None:
    refuse_s: float = (filters or {}).get("refuse_seconds", DEFAULT_REFUSE_S)
    if refuse_s < 0:
        refuse_s = DEFAULT_REFUSE_S
    return None if refuse_s == 0 else now + min(max(refuse_s, state.interval_s), LONGEST_REFUSE_S)


def clear_filters(state: MasterState, framework_id: str, roles: Iterable[str] | None = None) -> None:
    wanted = None if roles is None else set(roles)
    for key in [k for k in state.filters if k[0] == framework_id and (wanted is None or k[1] in wanted)]:
        del state.filters[key]


def _is_filtered(state: MasterState, key: tuple[str, str, str], bundle: Bundle, now: float) -> bool:
    filters = state.filters.get(key)
    if filters is None:
        return False
    alive = [entry for entry in filters if entry[1] > now]
    if alive:
        state.filters[key] = alive
    else:
        del state.filters[key]
    return any(refused.contains(bundle) for refused, _ in alive)


def _is_allocatable(framework: Framework, role: str, bundle: Bundle) -> bool:
    """The role's own minimum (FrameworkInfo.offer_filters), else Mesos' --min_allocatable_resources."""
    own = framework.info.get("offer_filters", {}).get(role, {}).get("min_allocatable_resources")
    if own is None:
        return bundle.scalars.get("cpus", 0) >= _LEAST_CPUS or bundle.scalars.get("mem", 0) >= _LEAST_MEM
    sets = [entry.get("quantities", {}) for entry in own.get("quantities", ())]
    return not sets or any(
        all(bundle.scalars.get(name, 0) >= to_thousandths(_amount(value)) for name, value in quantities.items())
        for quantities in sets
    )


def _amount(value: Any) -> float:
    return float(value["value"] if isinstance(value, dict) else value)


def _meets_constraints(framework: Framework, role: str, agent: Agent) -> bool:
    """`offer_constraints`: any group of which all attribute constraints hold."""
    groups = framework.constraints.get("role_constraints", {}).get(role, {}).get("groups", ())
    return not groups or any(
        all(_holds(constraint, agent) for constraint in group.get("attribute_constraints", ())) for group in groups
    )


def _holds(constraint: Json, agent: Agent) -> bool:
    selector, predicate = constraint.get("selector", {}), constraint.get("predicate", {})
    if selector.get("pseudoattribute_type") == "HOSTNAME":
        text: str | None = agent.info["hostname"]
    else:
        found = [a for a in agent.info.get("attributes", ()) if a["name"] == selector.get("attribute_name")]
        text = found[0].get("text", {}).get("value") if found else None
    if "exists" in predicate or "not_exists" in predicate:
        return (text is not None) == ("exists" in predicate)
    if "text_equals" in predicate:
        return bool(text == predicate["text_equals"].get("value"))
    if "text_not_equals" in predicate:
        return bool(text != predicate["text_not_equals"].get("value"))
    if "text_matches" in predicate:
        return text is not None and re.fullmatch(predicate["text_matches"].get("regex", ""), text) is not None
    return True


def _by_share(state: MasterState, frameworks: Sequence[Framework]) -> list[tuple[Framework, str]]:
    """(framework, role) by dominant share: roles first, then frameworks within a role (DRF, as in Mesos)."""
    candidates = [(framework, role) for framework in frameworks for role in framework.roles]
    if len(candidates) < 2:
        return candidates
    total = sum_bundles(agent.total for agent in state.agents.values()).flatten()
    held: dict[tuple[str, str], Bundle] = {}  # of (framework id, role)
    for framework in state.frameworks.values():
        for role, bundle in framework.used_by_role.items():
            held[(framework.framework_id, role)] = bundle
    for offer in state.offers.values():
        key = (offer.framework_id, offer.role)
        held[key] = held.get(key, EMPTY) + offer.bundle

    def share(bundle: Bundle) -> float:
        bundle = bundle.flatten()
        return max((bundle.scalars.get(name, 0) / amount for name, amount in total.scalars.items()), default=0.0)

    def rank(candidate: tuple[Framework, str]) -> tuple[float, int, str, float, int, str]:
        framework, role = candidate
        of_role = sum_bundles(bundle for (_, other), bundle in held.items() if other == role)
        chosen = sum(f.chosen.get(role, 0) for f in state.frameworks.values())
        own = share(held.get((framework.framework_id, role), EMPTY))
        # Equal shares: whoever was chosen less often (Mesos' DRFComparator; transcript 05).
        return (share(of_role), chosen, role, own, framework.chosen.get(role, 0), framework.framework_id)

    return sorted(candidates, key=rank)


def allocate(state: MasterState, now: float, agents: Collection[Agent] | None = None) -> list[MasterEffect]:
    """Offer what is free. A held offer does not grow: freed resources come as a further offer (surprise 38)."""
    made: dict[str, list[Offer]] = {}
    for agent in state.agents.values() if agents is None else agents:
        bundle = agent.available
        if not bundle or not state.is_active(agent):
            continue
        while bundle and (offer := _find_taker(state, agent, bundle, now)) is not None:
            state.offers[offer.offer_id] = offer
            agent.offered = agent.offered + offer.bundle
            made.setdefault(offer.framework_id, []).append(offer)
            bundle = bundle - offer.bundle if agent.reserved else EMPTY  # what is reserved for others
    effects: list[MasterEffect] = []
    for framework_id, offers in made.items():
        event = {"type": "OFFERS", "offers": {"offers": [to_document(state, offer) for offer in offers]}}
        effects += send(state.frameworks[framework_id], event)
    return effects + ask(state, now, state.agents.values() if agents is None else agents)


def find_next_expiry(state: MasterState) -> float | None:
    """Offers expire in the order in which they were made."""
    first = next((offer.expires_at for offer in state.offers.values()), None)
    inverse = next((offer.expires_at for offer in state.inverse_offers.values()), None)
    return min((at for at in (first, inverse) if at is not None), default=None)


def rescind_expired(state: MasterState, now: float) -> list[MasterEffect]:
    """--offer_timeout: no filter is set, so the same resources are offered again at the next tick (surprise 40)."""
    if state.offer_timeout_s is None:
        return []
    inverse = [o for o in state.inverse_offers.values() if o.expires_at is not None and o.expires_at <= now]
    expired = [o for o in state.offers.values() if o.expires_at is not None and o.expires_at <= now]
    return rescind(state, expired) + rescind_inverse(state, inverse)


def _is_remote(state: MasterState, framework: Framework, agent: Agent) -> bool:
    """Agents of another region than the master's are only for those who are REGION_AWARE (M34, transcript 11)."""
    if state.domain is None:
        return False
    here, there = (region_of(info) for info in (state.domain, agent.info.get("domain")))
    return None not in (here, there) and here != there and not has_capability(framework.info, "REGION_AWARE")


def region_of(domain: Json | None) -> str | None:
    region: Json = (domain or {}).get("fault_domain", {}).get("region", {})
    return region.get("name")


def _find_taker(state: MasterState, agent: Agent, free: Bundle, now: float) -> Offer | None:
    subscribed = [framework for framework in state.frameworks.values() if framework.stream is not None]
    for framework, role in _by_share(state, subscribed):
        bundle = free.for_role(role) if agent.reserved else free
        if (
            bundle
            and role not in framework.suppressed
            and not _is_remote(state, framework, agent)
            and _is_allocatable(framework, role, bundle.flatten() if agent.reserved else bundle)
            and _meets_constraints(framework, role, agent)
            and not _is_filtered(state, (framework.framework_id, role, agent.agent_id), bundle, now)
        ):
            framework.chosen[role] = framework.chosen.get(role, 0) + 1
            return Offer(
                offer_id=state.make_offer_id(),
                framework_id=framework.framework_id,
                agent_id=agent.agent_id,
                role=role,
                bundle=bundle,
                expires_at=None if state.offer_timeout_s is None else now + state.offer_timeout_s,
            )
    return None


def to_document(state: MasterState, offer: Offer) -> Json:
    """The offer as schedulers see it."""
    agent = state.agents[offer.agent_id]
    hostname = agent.info["hostname"]
    # Frameworks without MULTI_ROLE see no allocation (transcript 06).
    info = state.frameworks[offer.framework_id].info
    multi_role = has_capability(info, "MULTI_ROLE")
    form: Form = "reservations" if has_capability(info, "RESERVATION_REFINEMENT") else "role"
    document: Json = {
        "id": {"value": offer.offer_id},
        "framework_id": {"value": offer.framework_id},
        "agent_id": {"value": offer.agent_id},
        "hostname": hostname,
        "url": {
            "scheme": "http",
            "address": {"hostname": hostname, "ip": "127.0.0.1", "port": agent.port},
            "path": "/slave(1)",
        },
        "resources": offer.bundle.to_wire(allocated=offer.role if multi_role else None, form=form, ranges_first=True),
    }
    document |= {name: agent.info[name] for name in ("domain", "attributes") if agent.info.get(name)}
    unavailability = find_unavailability(state, agent)
    if unavailability is not None:
        document["unavailability"] = unavailability
    executors = [{"value": executor} for framework, executor in agent.executors if framework == offer.framework_id]
    if executors:
        document["executor_ids"] = executors
    if multi_role:
        document["allocation_info"] = {"role": offer.role}
    return document
