"""Servers that never come to an end: how long they are borne."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.fetching import pace, transfer
from executor.fetching.errors import TransientError
from executor.fetching.source import Remote
from executor.fetching.web import Web
from swath.domain.retries import Cause
from tests.executor.fetching import HERE, a_fetcher, refused
from tests.executor.web_server import Site


@pytest.mark.parametrize(
    ("first", "again", "complaint"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "no answer within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\nX-", b"a", "no answer within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"a", "less than 128 KiB in 0.3 s"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a", "less than 128 KiB in 0.3 s"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: a\r\n", "less than 128 KiB in 0.3 s"),
    ],
    ids=["informed", "head", "body", "chunk", "trailer"],
)
def test_a_server_that_never_comes_to_an_end_is_left(
    site: Site, monkeypatch: pytest.MonkeyPatch, first: bytes, again: bytes, complaint: str
) -> None:
    """However steadily it says something: four of its kind would keep an agent's inputs waiting for good."""
    monkeypatch.setattr(pace, "HEAD_S" if "answer" in complaint else "PERIOD_S", 0.3)
    site.endless["/a/scene.tif"] = (first, again)
    remote = Remote(name="scene.tif", address=site.url + "/a/scene.tif", size=None, version=None)
    with pytest.raises(TransientError, match=complaint), Web(HERE).read(remote, 0) as body:
        assert sum(map(len, body.chunks)) < pace.LEAST


def test_a_byte_a_try_is_no_progress(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five tries in a row, and no more."""
    monkeypatch.setattr(transfer, "_FIRST_PAUSE_S", 0.001)
    site.breaks_after["/a/scene.tif"] = [1] * 50
    assert refused(a_fetcher(tmp_path), site.url + "/a/scene.tif").cause is Cause.TRANSFER
    assert len(site.asked("GET", "/a/scene.tif")) == transfer.TRIES


def test_a_servers_time_is_not_what_this_machine_takes() -> None:
    """A disk that writes for two minutes is no slow server; progress renews its time, and a trickle does not."""
    now = [0.0]
    patience = pace.Pace(lambda: now[0])
    patience.begin_body()
    with patience.resting():
        now[0] += 120
    now[0] += 59
    assert patience.left_s() == 1
    patience.note(pace.LEAST)
    now[0] += 59
    patience.note(1)
    assert patience.left_s() == 1
    now[0] += 1
    with pytest.raises(TimeoutError):
        patience.left_s()
