"""Questions to a registry and its mirrors, with credentials, in rounds with a growing pause between two.

What a digest names cannot be another thing elsewhere, so mirrors are asked for it first. A tag means what the registry itself
says, and mirrors answer for it only while that does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from swath.domain.backoff import back_off_s
from swath.domain.errors import (
    NotInRegistryError,
    RegistryError,
    RegistryForbiddenError,
    RegistryMalformedError,
    RegistryRateLimitedError,
    RegistryUnauthorizedError,
    RegistryUnreachableError,
)
from swath.registry.authority import Authority, is_scope_refused
from swath.registry.endpoint import Endpoint
from swath.registry.exchange import Answer, Exchange, Question
from swath.registry.settings import Registries, RegistrySettings

MOST_ROUNDS = 4
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
LONGEST_RETRY_AFTER_S = 30.0  # for who wants more, nobody is kept waiting

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Talk:
    """One operation's questions."""

    exchange: Exchange
    authority: Authority
    registries: Registries
    wait: Callable[[float], None]  # seconds

    def ask(
        self,
        host: str,
        question: Question,
        read: Callable[[Answer], T],
        *,
        by_digest: bool = False,
        mirrored: bool = True,
    ) -> T:
        """What `read` makes of the first answer that it takes; raises the registry's own RegistryError where none does."""
        registry = self._find(host, declared=host in self.registries)
        mirrors = [self._find(name, declared=True) for name in registry.settings.mirrors] if mirrored else []
        left = [*mirrors, registry] if by_digest else [registry, *mirrors]
        for done in range(1, MOST_ROUNDS + 1):
            failure: RegistryError | None = None
            for endpoint in tuple(left):
                try:
                    return read(self._ask(endpoint, question))
                except RegistryError as error:
                    if endpoint is registry:
                        failure = error
                        if not error.passing:
                            raise
                    elif not error.passing:
                        left.remove(endpoint)
            if failure is None:  # the registry is asked in every round
                raise AssertionError("a round without the registry")
            pause_s = _pause_s(failure, done)
            if done == MOST_ROUNDS or pause_s > LONGEST_RETRY_AFTER_S or pause_s >= self.exchange.left_s:
                raise failure
            self.wait(pause_s)
        raise AssertionError("the last round returns or raises")

    def _find(self, host: str, *, declared: bool) -> Endpoint:
        return Endpoint(host=host, settings=self.registries.get(host) or RegistrySettings(), declared=declared)

    def _ask(self, endpoint: Endpoint, question: Question) -> Answer:
        """The answer of one registry, let in."""
        answer = self.exchange.ask(endpoint, question, self.authority.find(endpoint, question.scope))
        if answer.status == 401 and answer.own:
            header = self.authority.earn(self.exchange, endpoint, question.scope, answer)
            answer = self.exchange.ask(endpoint, question, header)
        if answer.status not in question.taken:
            raise to_error(endpoint, answer, question.what)
        return answer


def to_error(endpoint: Endpoint, answer: Answer, what: str) -> RegistryError:
    """What a status means. Nothing of the body is told: a hostile registry would have us print what we sent it."""
    who, status = f"registry {endpoint.host}", answer.status
    after_s = _retry_after_s(answer)
    if not answer.own:
        return RegistryUnreachableError(
            f"{who} sends us for {what} to a storage that says {status}", retry_after_s=after_s
        )
    if status == 404:
        return NotInRegistryError(f"{who} does not have {what}: push it, or mend the name")
    if status == 403 or (status == 401 and is_scope_refused(answer)):
        return RegistryForbiddenError(f"{who} forbids us {what}: its credentials_file needs the right to pull it")
    if status == 401:
        return RegistryUnauthorizedError(f"{who} takes our credentials for none ({what}): mend its credentials_file")
    if status == 429:
        told = "" if after_s is None else f", for {after_s:g} s"
        return RegistryRateLimitedError(f"{who} wants us to wait{told}: try again later", retry_after_s=after_s)
    if status >= 500:
        return RegistryUnreachableError(
            f"{who} has a fault of its own ({status}): try again later", retry_after_s=after_s
        )
    return RegistryMalformedError(
        f"{who} says {status} for {what}: is it a registry (API v2), and {endpoint.url.scheme} right?"
    )


def _pause_s(failure: RegistryError, done: int) -> float:
    """As long as the registry asks for; else a back-off, spread so that not all come back at once."""
    usual = back_off_s(FIRST_PAUSE_S, done - 1, longest_s=LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
    return max(failure.retry_after_s or 0.0, usual)


def _retry_after_s(answer: Answer) -> float | None:
    """Seconds from now that Retry-After names, as a number or a date."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
