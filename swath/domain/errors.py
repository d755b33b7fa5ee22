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
└── InternalError              ours: a fault of Swath, its machines or the network between them
    ├── IllegalTransitionError a state machine was asked for a pair that is not in its table
    ├── LeadershipLostError    another scheduler leads; nothing was written
    ├── SchemaError            the database's schema is another than this version knows
    ├── StoreUnavailableError  the database does not answer
    │   └── StoreLockedError   it answers; another transaction holds what this one needs
    ├── RefusedByDatabaseError the database answers and will never take these values
    ├── AgentUnreachableError  an agent does not answer
    └── WireError              Mesos said something that cannot be understood
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class SwathError(Exception):
    """Whatever Swath raises on purpose."""


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


class AgentUnreachableError(InternalError):
    """An agent's HTTP endpoint does not answer."""


class WireError(InternalError):
    """Bytes or messages from Mesos that cannot be understood."""
