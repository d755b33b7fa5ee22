"""Everything that Swath raises.

SwathError
├── UserError                  somebody's request is wrong; saying it again changes nothing
│   ├── InvalidInputError      a document or a parameter, with the path of each problem
│   ├── CannotRunError         a well-formed job that no agent could ever run
│   ├── NotFoundError
│   ├── ConflictError          the request contradicts what is already there
│   ├── TooLargeError
│   ├── UnauthorizedError
│   └── ForbiddenError
├── RegistryError              a registry of images refuses, or cannot be understood; `passing`: later it may be otherwise
│   ├── NotInRegistryError     the image is not there; a NotFoundError too
│   ├── RegistryUnauthorizedError  our credentials are missing or wrong
│   ├── RegistryForbiddenError they are right, and do not reach so far
│   ├── RegistryRateLimitedError
│   ├── RegistryUnreachableError   it does not answer in time, or says itself that it cannot
│   ├── RegistryMalformedError its answer is none that the protocol knows, or larger than anything useful
│   ├── WrongDigestError       the bytes are others than were asked for
│   ├── TruncatedError         the connection ended before the bytes did
│   └── WrongPlatformError     the image is there, for other machines
└── InternalError              ours: a fault of Swath, its machines or the network between them
    ├── IllegalTransitionError a state machine was asked for a pair that is not in its table
    ├── LeadershipLostError    another scheduler leads; nothing was written
    ├── SchemaError            the database's schema is another than this version knows
    ├── StoreUnavailableError  the database does not answer
    │   └── StoreLockedError   it answers; another transaction holds what this one needs
    ├── RefusedByDatabaseError the database answers and will never take these values
    ├── AgentUnreachableError  an agent does not answer
    ├── OutputsUnreachableError  the object store that holds outputs, or logs, does not answer
    └── WireError              Mesos said something that cannot be understood
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class SwathError(Exception):
    """Whatever Swath raises on purpose."""

    document: Mapping[str, Any] | None = None  # what the service has said, where it was another process that raised it


class UserError(SwathError):
    """The request is at fault."""


class InternalError(SwathError):
    """Swath, its machines or the network are at fault."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a document."""

    path: str  # JSON pointer into the document, "" for the document itself
    message: str  # what is wrong and, where possible, what would be right

    def __str__(self) -> str:
        return f"{self.path or 'document'}: {self.message}"


class InvalidInputError(UserError):
    """A document or parameter that is wrong; `problems` names every place, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))

    @classmethod
    def at(cls, path: str, message: str) -> InvalidInputError:
        """The error with a single problem."""
        return cls([Problem(path, message)])


class CannotRunError(InvalidInputError):
    """A job that can never run here: larger than every agent, an image that nobody has, an input that is missing."""


class NotFoundError(UserError):
    """No such job, task, attempt, image, output or file."""


class ConflictError(UserError):
    """What is asked contradicts what is stored."""


class TooLargeError(UserError):
    """More bytes than are taken."""


class UnauthorizedError(UserError):
    """The token is missing or wrong."""


class ForbiddenError(UserError):
    """The caller is known and may not do this."""


class RegistryError(SwathError):
    """What went wrong between us and a registry of images; the message says what to do about it."""

    passing = False  # True where the same request may do later

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s  # when the registry will answer again, where it says so


class NotInRegistryError(RegistryError, NotFoundError):
    """The registry has no such image, tag, digest or repository, or does not show it."""


class RegistryUnauthorizedError(RegistryError):
    """The registry takes no credentials of ours, or wants some and has none."""


class RegistryForbiddenError(RegistryError):
    """The registry knows us and refuses; or it sends us where we do not go."""


class RegistryRateLimitedError(RegistryError):
    """The registry wants fewer requests."""

    passing = True


class RegistryUnreachableError(RegistryError):
    """The registry does not answer, not in time, or with a fault of its own."""

    passing = True


class RegistryMalformedError(RegistryError):
    """An answer that the protocol does not know, or that is larger than anything useful."""


class WrongDigestError(RegistryError):
    """The bytes have another digest than they were asked for by."""


class TruncatedError(RegistryError):
    """The connection ended before the answer did."""

    passing = True


class WrongPlatformError(RegistryError):
    """The image runs on other platforms only."""


class IllegalTransitionError(InternalError):
    """A (state, observation) pair that the transition table does not define."""


class LeadershipLostError(InternalError):
    """The transaction's epoch is no longer the leader's; nothing was written."""


class SchemaError(InternalError):
    """The database's schema is older or newer than this version of Swath; the message says what to do."""


class StoreUnavailableError(InternalError):
    """The database does not answer, or answered that it could not."""


class StoreLockedError(StoreUnavailableError):
    """Another transaction has held a row, or all of SQLite, for longer than it is waited for; nothing was written."""


class RefusedByDatabaseError(InternalError):
    """Values that the database cannot hold; nothing was written, and writing the same again ends the same way."""


class OutputsUnreachableError(InternalError):
    """The object store that holds outputs, or logs, does not answer, or this service is not told how to reach it."""


class AgentUnreachableError(InternalError):
    """An agent's HTTP endpoint does not answer."""


class WireError(InternalError):
    """Bytes or messages from Mesos that cannot be understood."""
