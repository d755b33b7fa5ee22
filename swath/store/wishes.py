"""Operators' wishes: the api writes what is wanted of agents and of the framework, the scheduler how far that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from swath.domain.changes import CordonAgent, ObserveAgentWish, ObserveFrameworkWish
from swath.domain.errors import ConflictError, NotFoundError
from swath.domain.wishes import SWATH, AgentMode, AgentWish, FrameworkDesire, FrameworkWish, Wishes
from swath.store import models
from swath.store.models import AGENT_WISH_IS_CHANGED
from swath.store.projects import read_changed_tree

_AGENT = tuple(AgentWish.__slots__)
_FRAMEWORK = tuple(FrameworkWish.__slots__)


def read_wishes(session: Session) -> Wishes:
    """What nobody has carried out yet."""
    framework = read_framework_wish(session)
    pending = framework is not None and framework.rev != framework.observed_rev
    return Wishes(
        agents=tuple(_read_agent_wishes(session, text(AGENT_WISH_IS_CHANGED))),
        framework=framework if pending else None,
        projects=read_changed_tree(session),
    )


def read_standing_agent_wishes(session: Session) -> list[AgentWish]:
    """What a scheduler that starts has to know: agents that are to do something else than others, or are about to."""
    standing = or_(models.AgentWish.mode != AgentMode.ACTIVE, text(AGENT_WISH_IS_CHANGED))
    return _read_agent_wishes(session, standing)


def read_framework_wish(session: Session) -> FrameworkWish | None:
    """What is wanted of the framework, carried out or not; None before anybody wanted anything."""
    row = session.get(models.FrameworkWish, 1)
    return None if row is None else FrameworkWish(**{name: getattr(row, name) for name in _FRAMEWORK})


def want_agent(
    session: Session,
    agent_id: str,
    mode: AgentMode,
    *,
    max_grace_s: float | None,
    mark_gone: bool,
    user: str,
    now: datetime,
) -> AgentWish:
    """Write the wish with a new `rev`, or nothing where it stands already: see ApiStore.want_agent."""
    agent = _lock_agent(session, agent_id)
    row = session.get(models.AgentWish, agent_id)
    known = _to_wish(row) if row else AgentWish(agent_id=agent_id, mode=AgentMode.ACTIVE, rev=0)
    same = (known.mode, known.max_grace_s, known.mark_gone) == (mode, max_grace_s, mark_gone)
    if same and (known.rev != known.observed_rev or _is_carried_out(agent, mode, row)):
        return known
    wish = replace(known, mode=mode, rev=known.rev + 1, max_grace_s=max_grace_s, mark_gone=mark_gone, user=user)
    _write(session, models.AgentWish, {**_values(wish), "at": now, "message": None})
    return wish


def cordon_agents(session: Session, changes: Iterable[CordonAgent], now: datetime) -> None:
    """Write the scheduler's own wishes, as carried out: Mesos, and its other frameworks, go on using the agent.

    An operator's wish stands; one that is being written meanwhile is waited for.
    """
    for change in changes:
        row = _lock_wish(session, change.agent_id)
        if row is not None and (row.mode is not AgentMode.ACTIVE or row.rev != row.observed_rev):
            continue
        rev = 1 if row is None else row.rev + 1
        wish = AgentWish(agent_id=change.agent_id, mode=AgentMode.CORDONED, rev=rev, observed_rev=rev, user=SWATH)
        _write(session, models.AgentWish, {**_values(wish), "at": now, "message": change.message})
        _update(session, models.AgentWish, (models.AgentWish.agent_id == change.agent_id,), {"observed_rev": rev})


def _lock_wish(session: Session, agent_id: str) -> models.AgentWish | None:
    """What is wanted of the agent, which nobody changes until the transaction ends."""
    _lock_agent(session, agent_id)
    return session.get(models.AgentWish, agent_id)


def _values(wish: AgentWish) -> dict[str, Any]:
    return {name: getattr(wish, name) for name in _AGENT}


def want_framework(
    session: Session, desire: FrameworkDesire, *, framework_id: str | None, user: str, now: datetime
) -> FrameworkWish:
    """Write the wish with a new `rev`, or nothing while the same one is under way: see ApiStore.want_framework."""
    present = session.scalar(select(models.Framework.framework_id).where(models.Framework.id == 1).with_for_update())
    known = read_framework_wish(session) or FrameworkWish(desire=FrameworkDesire.RUN, rev=0)
    _check_framework(desire, known, present, framework_id)
    if known.desire is desire and known.rev != known.observed_rev:
        return known
    wish = replace(known, desire=desire, rev=known.rev + 1)
    values = {name: getattr(wish, name) for name in _FRAMEWORK}
    _write(session, models.FrameworkWish, {"id": 1, **values, "user": user, "at": now})
    return wish


def observe_agent_wishes(session: Session, changes: Iterable[ObserveAgentWish]) -> None:
    """Note what has been carried out; a wish that is newer stays to be carried out, one that has gone is no matter."""
    for change in changes:
        met = (models.AgentWish.agent_id == change.agent_id, models.AgentWish.observed_rev <= change.rev)
        _update(session, models.AgentWish, met, {"observed_rev": change.rev, "message": change.message})


def observe_framework_wishes(session: Session, changes: Iterable[ObserveFrameworkWish]) -> None:
    """Note what has been carried out; a newer wish stays to be."""
    for change in changes:
        met = (models.FrameworkWish.id == 1, models.FrameworkWish.observed_rev <= change.rev)
        _update(session, models.FrameworkWish, met, {"observed_rev": change.rev, "torn_down": change.torn_down})


def _read_agent_wishes(session: Session, condition: Any) -> list[AgentWish]:
    query = select(models.AgentWish).where(condition).order_by(models.AgentWish.agent_id)
    return [_to_wish(row) for row in session.scalars(query)]


def _to_wish(row: models.AgentWish) -> AgentWish:
    return AgentWish(**{name: getattr(row, name) for name in _AGENT})


def _lock_agent(session: Session, agent_id: str) -> models.Agent:
    """The agent's row, held until the transaction ends, so that two wishes for it come one after the other."""
    query = select(models.Agent).where(models.Agent.id == agent_id).with_for_update(key_share=True)
    agent = session.scalars(query).one_or_none()
    if agent is None:
        raise NotFoundError(f"there is no agent {agent_id}")
    return agent


def _is_carried_out(agent: models.Agent, mode: AgentMode, row: models.AgentWish | None) -> bool:
    """False where Mesos refused, or another operator has undone it since: then asking again is asking anew."""
    if row is not None and row.message is not None:
        return False
    if mode is AgentMode.ACTIVE:
        return not agent.deactivated and agent.drain is None
    return mode is AgentMode.CORDONED or agent.drain is not None or not agent.active


def _check_framework(
    desire: FrameworkDesire, known: FrameworkWish, present: str | None, framework_id: str | None
) -> None:
    """Raise ConflictError for a framework that the operator did not look at, or that has nothing to lose."""
    if present != framework_id:
        there = f"the framework is {present} now" if present else "no framework is registered with Mesos"
        raise ConflictError(f"{there}, not {framework_id}: nothing has been done")
    if desire is FrameworkDesire.TEARDOWN and known.torn_down:
        raise ConflictError(f"framework {present} has left Mesos already; reset it to begin anew")
    if present is None and not known.torn_down:
        raise ConflictError("no framework is registered with Mesos: there is nothing to end")


def _write(session: Session, model: type[models.Base], values: dict[str, Any]) -> None:
    """Insert the row, or change the one that is there, except for what is the scheduler's to say."""
    keys = [column.name for column in model.__table__.primary_key]
    said = {name: value for name, value in values.items() if name not in (*keys, "observed_rev", "torn_down")}
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(dialect.insert(model).values(**values).on_conflict_do_update(index_elements=keys, set_=said))


def _update(session: Session, model: type[models.Base], met: tuple[Any, ...], values: dict[str, Any]) -> None:
    wish = update(model).where(*met).values(**values)
    session.execute(wish.execution_options(synchronize_session=False))
