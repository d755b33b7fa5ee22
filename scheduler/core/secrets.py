"""An executor asks for the secrets of an attempt: it gets those of an attempt that lives there, and no others."""

from __future__ import annotations

from scheduler.core.effects import SendSecrets
from scheduler.core.events import SecretsWanted
from scheduler.core.specs import manifest_of
from scheduler.core.turn import Turn
from swath.domain.secrets import split_settings


def on_wanted(turn: Turn, event: SecretsWanted) -> None:
    """Have them sealed and sent. Whom the question came from, Mesos says: an agent cannot ask for another one's attempts."""
    live = turn.state.attempts.get(event.attempt)
    job = None if live is None else turn.state.jobs.get(live.attempt.job_id)
    if (
        live is None
        or job is None
        or (live.attempt.agent_id, live.attempt.executor_id) != (event.agent_id, event.executor_id)
    ):
        turn.note("warning", "secrets_refused", attempt=event.attempt, agent=event.agent_id)
        return
    _, wanted = split_settings(manifest_of(job.record), job.record.spec.settings)
    turn.call(
        SendSecrets(
            agent_id=event.agent_id,
            executor_id=event.executor_id,
            attempt=event.attempt,
            project=job.record.spec.project,
            wanted=wanted,
            key=event.key,
        )
    )
