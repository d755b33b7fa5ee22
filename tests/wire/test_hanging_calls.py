"""A call path that hangs while the stream looks alive: one time-out for a whole exchange, then another subscription."""

import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from swath.wire.calls import make_kill
from swath.wire.channel import CallChannel, Outcome
from swath.wire.endpoints import Endpoint
from tests.wire.standin import StandIn, hold

KILLS = [make_kill(str(number)) for number in range(100)]  # of which 32 are in flight at once


class Mute:
    """Connections are made to it, and nothing is ever answered."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.endpoint = Endpoint(*self._server.getsockname()[:2])
        self._taken: list[socket.socket] = []

    def count_connections(self) -> int:
        """How many have come since it began."""
        while True:
            try:
                self._taken.append(self._server.accept()[0])
            except BlockingIOError:
                return len(self._taken)

    def close(self) -> None:
        for connection in (self._server, *self._taken):
            connection.close()


@pytest.fixture
def mute() -> Iterator[Mute]:
    mute = Mute()
    yield mute
    mute.close()


def a_channel(endpoint: Endpoint, told: list[str], **options: Any) -> CallChannel:
    channel = CallChannel("/", **{"timeout_s": 0.2, "on_gone": told.append, **options})
    channel.open(endpoint, {})
    return channel


def test_calls_behind_one_that_is_not_answered_fail_with_it(mute: Mute):
    """One connection and one time-out for a hundred calls, and the subscription is given up."""
    told: list[str] = []
    results = a_channel(mute.endpoint, told).exchange(KILLS)
    assert [result.outcome for result in results] == [Outcome.FAILED] * len(KILLS)
    assert mute.count_connections() == 1
    assert told == ["no call gets through: TimeoutError: timed out"]


def test_where_no_connection_can_be_made_it_is_tried_once():
    """Here TLS meets a server without; a host that cannot be reached takes seconds to say so, every time."""
    standin, told = StandIn(hold()), list[str]()
    try:
        channel = a_channel(Endpoint(standin.host, standin.port), told, tls=ssl.create_default_context())
        results = channel.exchange(KILLS)
        assert [result.outcome for result in results] == [Outcome.FAILED] * len(KILLS)
        assert len(standin.server.connections) == 1
        assert ["no call gets through: SSLError" in reason for reason in told] == [True]
    finally:
        standin.close()


def test_a_subscription_that_was_given_up_takes_no_more_calls(mute: Mute):
    """Until the next one is open: whoever calls before the stream has ended waits for nothing."""
    told: list[str] = []
    channel = a_channel(mute.endpoint, told)
    channel.exchange(KILLS[:1])
    (result,) = channel.exchange(KILLS[:1])
    assert result.outcome is Outcome.NOT_CONNECTED
    assert len(told) == mute.count_connections() == 1
    channel.open(mute.endpoint, {})
    (result,) = channel.exchange(KILLS[:1])
    assert result.outcome is Outcome.FAILED
    assert len(told) == mute.count_connections() == 2


def test_an_executor_outlasts_an_agent_that_hangs(mute: Mute):
    """Its subscription stays, and the next exchange tries anew: the end of the stream would cost it its tasks."""
    told: list[str] = []
    channel = a_channel(mute.endpoint, told, outlasts_silence=True)
    outcomes = [result.outcome for result in channel.exchange(KILLS) + channel.exchange(KILLS)]
    assert set(outcomes) == {Outcome.FAILED}
    assert mute.count_connections() == 2
    assert told == []
