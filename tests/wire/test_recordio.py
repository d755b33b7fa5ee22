"""RecordIO: real streams, cut anywhere, and bytes that are none."""

import json
import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.domain.errors import WireError
from swath.wire.recordio import Decoder
from tests.fixtures.machine import folder


@cache
def recorded_streams():
    """The raw streams with their records as the recorder understood them: [(bytes, [event])]."""
    scenario = folder("SWATH_MESOS_WIRE", "mesos-wire") / "01-custom-executor-basics"
    streams = []
    for kind, count in (("sched", 1), ("exec", 3)):
        lines = [json.loads(line) for line in (scenario / f"{kind}-stream.jsonl").read_text().splitlines()]
        for number in range(1, count + 1):
            events = [line["event"] for line in lines if line.get("stream") == number and "event" in line]
            streams.append((dechunk((scenario / f"{kind}-stream-{number}.raw").read_bytes()), events))
    return streams


def dechunk(response):
    _, _, rest = response.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


def decode(pieces, **options):
    decoder = Decoder(**options)
    return [record for piece in pieces for record in decoder.feed(piece)]


@given(data=st.data())
def test_real_streams_give_their_records_however_they_are_cut(data):
    """Every cut of a recorded stream gives the events that the recorder wrote down."""
    body, events = data.draw(st.sampled_from(recorded_streams()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=30)))
    pieces = [body[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert [json.loads(record) for record in decode(pieces)] == events


@given(records=st.lists(st.binary(max_size=200)), size=st.integers(1, 50))
def test_any_records_come_back_whole(records, size):
    """Empty records and newlines inside of records are nothing special."""
    stream = b"".join(b"%d\n%b" % (len(record), record) for record in records)
    assert decode([stream[start : start + size] for start in range(0, len(stream), size)]) == records


@pytest.mark.parametrize(
    "garbage",
    [b"x\n", b"-1\n", b"\n", b"1 \n", b"99999999999999", b"<html><body>", b"4\nabcdoops\n", b"4\nabcd<", b"1x"],
)
def test_what_is_no_length_is_an_error(garbage):
    """Nothing is guessed: the stream cannot be read on, and the driver subscribes again."""
    with pytest.raises(WireError):
        decode([garbage])


def test_a_record_beyond_the_bound_is_refused_before_it_is_read():
    """A length alone cannot make the driver fill its memory."""
    with pytest.raises(WireError, match="101 bytes"):
        decode([b"101\n"], largest=100)


def test_a_stream_that_ends_inside_of_a_record_can_be_told():
    """`is_empty` is true between records only."""
    decoder = Decoder()
    assert decoder.is_empty
    decoder.feed(b"3\nab")
    assert not decoder.is_empty
    decoder.feed(b"c")
    assert decoder.is_empty


def test_twenty_thousand_offers_decode_in_linear_time():
    """Within 5 s of CPU even on a busy machine (pymesos' way is quadratic); `python -m benchmarks wire` has the figure."""
    offer = {
        "id": {"value": "x" * 40},
        "resources": [{"name": "cpus", "scalar": {"value": 4.0}}] * 6,
        "host": "h" * 200,
    }
    event = json.dumps({"type": "OFFERS", "offers": {"offers": [offer] * 20_000}}).encode()
    stream = b"%d\n%b" % (len(event), event)
    started = time.process_time()
    records = decode([stream[start : start + 4096] for start in range(0, len(stream), 4096)])
    assert len(json.loads(records[0])["offers"]["offers"]) == 20_000
    assert time.process_time() - started < 5.0
