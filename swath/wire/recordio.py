"""RecordIO, the framing of Mesos' event streams: each record is its length in decimal, a newline, and that many bytes."""

from __future__ import annotations

from swath.domain.errors import WireError

LARGEST_RECORD = 256 * 1024 * 1024  # bytes; an OFFERS event of 20,000 agents has about 16 MB
_LONGEST_HEADER = len(str(LARGEST_RECORD))


class Decoder:
    """Cuts a stream of bytes into records, in time linear in the bytes however they are cut."""

    def __init__(self, largest: int = LARGEST_RECORD) -> None:
        self._largest = largest  # bytes
        self._buffer = bytearray()
        self._length: int | None = None  # of the record that is arriving; None while its header is

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, return the records that are complete now.

        Raises WireError when a length is no number or too large; nothing can be read after that.
        """
        buffer, records, position = self._buffer, [], 0
        buffer += data
        while True:
            if self._length is None:
                end = buffer.find(b"\n", position, position + _LONGEST_HEADER + 1)
                if end < 0:
                    self._check_unfinished_header(bytes(buffer[position : position + _LONGEST_HEADER + 1]))
                    break
                self._length = self._to_length(bytes(buffer[position:end]))
                position = end + 1
            if len(buffer) - position < self._length:
                break
            records.append(bytes(memoryview(buffer)[position : position + self._length]))
            position, self._length = position + self._length, None
        del buffer[:position]
        return records

    @property
    def is_empty(self) -> bool:
        """True between two records: the stream may end here."""
        return self._length is None and not self._buffer

    def _check_unfinished_header(self, header: bytes) -> None:
        """Not to wait for a newline that may never come."""
        if header and (len(header) > _LONGEST_HEADER or not header.isdigit()):
            raise WireError(f"RecordIO: {header!r} where the length of a record should be")

    def _to_length(self, header: bytes) -> int:
        if not header.isdigit():
            raise WireError(f"RecordIO: {header!r} is not the length of a record")
        length = int(header)
        if length > self._largest:
            raise WireError(f"RecordIO: a record of {length} bytes; at most {self._largest} are read")
        return length
