"""Byte ranges: the Range header (RFC 9110, section 14) against what is there."""

from __future__ import annotations

import re

from api.errors import RangeError

_SINGLE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def find_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The half-open range [start, end) that a Range header asks of `size` bytes; None where everything is to be sent.

    "An origin server MAY ignore the Range header field", and does so for several ranges at once and for what is malformed.
    Raises RangeError for a range that begins beyond the end.
    """
    match = _SINGLE.fullmatch((header or "").replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size)
        if length == 0:
            raise RangeError(size)
        return size - length, size
    if int(first) >= size:
        raise RangeError(size)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


def clip(offset: int, length: int | None, size: int) -> tuple[int, int]:
    """[start, end) of `length` bytes from `offset`, as far as `size` goes; a negative offset counts from the end."""
    start = max(0, size + offset) if offset < 0 else min(offset, size)
    return start, size if length is None else min(start + length, size)
