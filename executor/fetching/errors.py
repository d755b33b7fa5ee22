"""What can go wrong with an input of another machine.

FetchError
    RefusedError     for good: it is not there, not allowed, too large
    TransientError   for now: the server or the network does not work; worth another try
    ChangedError     what is there is not what was looked at: look again
"""

from __future__ import annotations


class FetchError(Exception):
    """An input cannot be had."""


class RefusedError(FetchError):
    """Another try would end the same way."""


class TransientError(FetchError):
    """Another try may do better."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s  # as the server says
        super().__init__(message)


class ChangedError(FetchError):
    """It has become something else since it was looked at."""
