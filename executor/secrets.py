"""Asks the scheduler for an attempt's secrets, and waits for them: they stay in memory, and in the attempt's environment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from executor.events import Order
from executor.staging import StartError
from swath.domain.errors import InvalidInputError
from swath.domain.retries import Cause
from swath.domain.secret_messages import SecretsAnswer, SecretsOrder

log = logging.getLogger(__name__)

AGAIN_S = 2.0  # until a question that nobody has answered is asked again: Mesos may lose both
PATIENCE_S = 120.0  # a scheduler may be taken over meanwhile


@dataclass(kw_only=True, slots=True)
class _Waiting:
    """A question."""

    answered: threading.Event = field(default_factory=threading.Event)
    answer: SecretsAnswer | None = None


class Secrets:
    """The attempts that wait for theirs."""

    def __init__(
        self, send: Callable[[bytes], object], *, again_s: float = AGAIN_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._send = send
        self._again_s, self._patience_s = again_s, patience_s
        self._waiting: dict[str, _Waiting] = {}

    def fetch(self, order: Order, is_cancelled: Callable[[], bool]) -> dict[str, str]:
        """The values of the attempt's secret settings. Blocks; raises StartError where they do not come."""
        if not order.spec.secrets:
            return {}
        from swath.vault.sealing import Opener

        attempt, opener = order.spec.attempt, Opener.make()
        waiting = self._waiting[attempt] = _Waiting()
        try:
            answer = self._ask(waiting, SecretsOrder.make(attempt, opener.public_key), is_cancelled)
            secrets = opener.open(answer.sealed_bytes, attempt)
        except InvalidInputError as error:
            raise StartError(Cause.AGENT, f"the secrets cannot be opened: {error}") from error
        finally:
            del self._waiting[attempt]
        if secrets.keys() != order.spec.secrets.keys():
            raise StartError(Cause.AGENT, "the scheduler has sent other secrets than the attempt needs")
        return secrets

    def deliver(self, answer: SecretsAnswer) -> None:
        """From any thread; an answer that nobody waits for any more is dropped."""
        waiting = self._waiting.get(answer.attempt)
        if waiting is not None:
            waiting.answer = answer
            waiting.answered.set()

    def _ask(self, waiting: _Waiting, order: SecretsOrder, is_cancelled: Callable[[], bool]) -> SecretsAnswer:
        message = order.to_json().encode()
        for _ in range(max(1, round(self._patience_s / self._again_s))):
            if is_cancelled():
                raise StartError(Cause.KILLED, "ended before it had started")
            self._send(message)
            if waiting.answered.wait(self._again_s) and waiting.answer is not None:
                if waiting.answer.problem is not None:
                    raise StartError(Cause.INPUT, f"its secrets cannot be had: {waiting.answer.problem}")
                return waiting.answer
        raise StartError(Cause.AGENT, f"the scheduler has not sent the secrets for {self._patience_s:g} s")
