"""From the store's values to the documents that users see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from swath.domain.retries import RetryPolicy
from swath.domain.states import JobCounts, TaskState
from swath.store.recurring_rows import RunRow, ScheduleRow
from swath.store.rows import (
    AgentRow,
    AttemptRow,
    CataloguedRow,
    ClusterRow,
    EventRow,
    JobRow,
    Linked,
    Links,
    OutputRow,
    Running,
    TaskRow,
    TransitionRow,
)

Document = dict[str, Any]


def to_time(at: datetime | None) -> str | None:
    """RFC 3339 in UTC with a Z and milliseconds."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_job(row: JobRow) -> Document:
    """A job."""
    return {
        "id": row.id,
        "name": row.name,
        "project": row.project,
        "user": row.user,
        "image": f"{row.image_name}:{row.image_version}",
        "image_digest": row.image_digest,
        "state": row.state.value,
        "desired": row.desired.value,
        "counts": _to_counts(row.counts),
        "priority": row.priority,
        "resources": row.resources.to_document(),
        "learned": _to_learned(row),
        "labels": dict(row.labels),
        "submitted_at": to_time(row.submitted_at),
        "started_at": to_time(row.started_at),
        "ended_at": to_time(row.ended_at),
        "why": _why_job(row),
        "message": row.message,
        "spec": dict(row.spec),
    }


def _to_counts(counts: JobCounts) -> Document:
    return {
        "total": counts.total,
        "pending": counts.pending,
        "active": counts.active,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }


def to_links(links: Links) -> Document:
    """What a job waits for, and what waits for it."""
    return {"after": [_to_link(link) for link in links.after], "before": [_to_link(link) for link in links.before]}


def _to_link(link: Linked) -> Document:
    return {
        "job": link.job_id,
        "name": link.name,
        "state": link.state.value,
        "counts": _to_counts(link.counts),
        "condition": link.condition.value,
        "elementwise": link.elementwise,
    }


def _to_learned(row: JobRow) -> dict[str, float] | None:
    asks = {"mem": (row.asks_mem, row.resources.mem), "disk": (row.asks_disk, row.resources.disk)}
    more = {name: float(asked) for name, (asked, said) in asks.items() if asked is not None and asked > said}
    return more or None


def _why_job(row: JobRow) -> str | None:
    if row.ended_at is None and row.desired_rev != row.observed_rev:
        return "the scheduler has not taken in the last change yet"
    return row.wait_reason if row.counts.pending else None


def to_task(row: TaskRow, job: JobRow, now: datetime) -> Document:
    """A task of `job`."""
    return {
        "job": row.job_id,
        "index": row.index,
        "state": row.state.value,
        "attempts": row.attempts,
        "item": row.item,
        "agent": _to_agent_ref(row.agent_id, row.hostname),
        "cause": row.cause,
        "exit_code": row.exit_code,
        "message": row.message,
        "started_at": to_time(row.started_at),
        "ended_at": to_time(row.ended_at),
        "why": why_task(row, job, now),
    }


def why_task(row: TaskRow, job: JobRow, now: datetime) -> str | None:
    """Why the task is not running for certain, in one sentence; None when it runs or has ended."""
    if row.unreachable_at is not None:
        return _why_unreachable(row, job, row.unreachable_at)
    if row.state is not TaskState.PENDING:
        return None
    if row.retry_at is not None and row.retry_at > now:  # after that it waits as any other does
        asks = "".join(f", with {more} MiB {of}," for more, of in ((row.mem, "memory"), (row.disk, "disk")) if more)
        return f"attempt {row.attempts} ended by {row.cause}; the next one{asks} may start at {to_time(row.retry_at)}"
    return _why_job(job)


def _why_unreachable(row: TaskRow, job: JobRow, since: datetime) -> str:
    said = (job.spec.get("retry") or {}).get("unreachable_s")
    until = since + timedelta(seconds=RetryPolicy().unreachable_s if said is None else said)
    who = f"attempt {row.attempts} may be running: its agent {row.hostname or row.agent_id} does not answer"
    return f"{who} since {to_time(since)}; unless it does, the attempt is replaced at {to_time(until)}"


def to_attempt(row: AttemptRow) -> Document:
    """An attempt."""
    return {
        "id": row.id,
        "job": row.job_id,
        "task": row.task_index,
        "number": row.number,
        "state": row.state.value,
        "agent": _to_agent_ref(row.agent_id, row.hostname),
        "runtime": row.runtime,
        "cause": row.cause,
        "exit_code": row.exit_code,
        "error": row.error,
        "message": row.message or None,
        "resources": row.resources.to_document(),
        "ports": list(row.ports),
        "warnings": list(row.report.get("warnings") or ()),
        "launched_at": to_time(row.launched_at),
        "started_at": to_time(row.started_at),
        "ended_at": to_time(row.ended_at),
        "unreachable_at": to_time(row.unreachable_at),
        "kill_cause": row.kill_cause,
        "usage": dict(row.report.get("usage") or {}),
    }


def to_output(row: OutputRow, base_url: str) -> Document:
    """An output, with the address at which the service serves it."""
    return {
        "task": row.task_index,
        "name": row.name,
        "path": row.path,
        "size": row.size,
        "media_type": row.media_type,
        "sha256": row.sha256,
        "href": f"{base_url}/v1/jobs/{row.job_id}/tasks/{row.task_index}/outputs/{quote(row.path)}",
        "file": to_place(row.output_dir, row.path),
    }


def to_place(output_dir: str, path: str) -> str:
    """Where an output lies: a path of the shared file system, or the href of an object."""
    return f"{output_dir.rstrip('/')}/{quote(path) if output_dir.startswith('s3://') else path}"


def to_event(row: EventRow) -> Document:
    """An event."""
    return {"id": row.id, "job": row.job_id, "at": to_time(row.at), "kind": row.kind, "data": dict(row.data)}


def to_image(row: CataloguedRow) -> Document:
    """An image version."""
    image, details = row.image, row.details
    return {
        "name": image.name,
        "version": image.version,
        "digest": image.digest,
        "reference": image.reference,
        "image_id": image.image_id,
        "context": image.context,
        "manifest": dict(image.manifest),
        "swath_manifest": None if image.swath_manifest is None else dict(image.swath_manifest),
        "state": image.state.value,
        "created_at": to_time(image.created_at),
        "registered_at": to_time(image.registered_at),
        "owner": row.owner,
        "projects": None if row.projects is None else list(row.projects),
        **asdict(details),
        "missing_since": to_time(details.missing_since),
    }


def to_transition(row: TransitionRow) -> Document:
    """One change of an image version's state."""
    return {
        "before": None if row.before is None else row.before.value,
        "after": row.after.value,
        "user": row.user,
        "why": row.why,
        "at": to_time(row.at),
    }


def to_agent(row: AgentRow) -> Document:
    """An agent."""
    return {
        "id": row.id,
        "hostname": row.hostname,
        "url": row.url,
        "resources": row.total.to_document(),
        "attributes": dict(row.attributes),
        "region": row.region,
        "zone": row.zone,
        "active": row.active,
        "first_seen": to_time(row.first_seen),
        "last_seen": to_time(row.last_seen),
        "attempts": row.attempts,
        "images": None if row.images is None else list(row.images),
        "mode": row.mode.value,
        "mode_pending": row.mode_pending,
        "mode_message": row.mode_message,
        "mode_user": row.mode_user,
        "mode_at": to_time(row.mode_at),
        "max_grace_s": row.max_grace_s,
        "mark_gone": row.mark_gone,
        "deactivated": row.deactivated,
        "drain": row.drain,
        "unavailable_from": to_time(row.unavailable_from),
        "unavailable_until": to_time(row.unavailable_until),
    }


def to_cluster(row: ClusterRow) -> Document:
    """The cluster."""
    return {
        "connected": row.connected,
        "master": row.master,
        "heartbeat_at": to_time(row.heartbeat_at),
        "framework_id": row.framework_id,
        "leader": row.leader,
        "agents": row.agents,
        "resources": row.total.to_document(),
        "open_jobs": row.open_jobs,
        "open_attempts": row.open_attempts,
        "scheduler": dict(row.data),
    }


def to_scheduler(row: ClusterRow, running: Running, health: str) -> Document:
    """The scheduler."""
    wish = row.framework_wish
    return {
        "health": health,
        "connected": row.connected,
        "master": row.master,
        "heartbeat_at": to_time(row.heartbeat_at),
        "leader": row.leader,
        "epoch": row.epoch,
        "lease_expires_at": to_time(row.lease_expires_at),
        "framework_id": row.framework_id,
        "torn_down": wish is not None and wish.torn_down,
        "wish": _to_wish(row),
        "running": _to_running(running),
        "open_jobs": row.open_jobs,
        "figures": dict(row.data),
    }


def to_framework(row: ClusterRow, running: Running) -> Document:
    """The framework, what is wanted of it, and what there is to kill."""
    return {"framework_id": row.framework_id, "wish": _to_wish(row), "running": _to_running(running)}


def _to_wish(row: ClusterRow) -> Document | None:
    wish = row.framework_wish
    if wish is None:
        return None
    pending = wish.rev != wish.observed_rev
    told = {"user": row.framework_wish_user, "at": to_time(row.framework_wish_at)}
    return {"desire": wish.desire.value, "pending": pending, **told}


def _to_running(running: Running) -> Document:
    return {"attempts": running.attempts, "jobs": running.jobs, "agents": running.agents}


def _to_agent_ref(agent_id: str | None, hostname: str | None) -> Document | None:
    return None if agent_id is None else {"id": agent_id, "hostname": hostname or agent_id}


def to_schedule(row: ScheduleRow, next_times: Sequence[datetime]) -> Document:
    """A job that recurs."""
    return {
        "id": row.id,
        "name": row.name,
        "user": row.user,
        "cron": row.cron,
        "timezone": row.timezone,
        "overlap": row.overlap.value,
        "catch_up": row.catch_up.value,
        "paused": row.paused,
        "created_at": to_time(row.created_at),
        "next": [to_time(at) for at in next_times],
        "job": dict(row.document),
    }


def to_run(row: RunRow) -> Document:
    """A fire time."""
    said = {"outcome": row.outcome.value, "job": row.job_id, "message": row.message}
    return {"at": to_time(row.at), **said, "done_at": to_time(row.done_at)}
