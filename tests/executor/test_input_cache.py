"""The copies of inputs that an agent keeps: who shares them, which go, and what somebody has written to."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from executor.fetching import inputs
from executor.fetching.cache import Cache
from executor.fetching.inputs import Fetcher
from executor.fetching.limits import Limits
from swath.domain.retries import Cause
from tests.executor.fetching import HERE, a_fetcher, fetched, refused
from tests.executor.web_server import LETTERS, Site


def test_two_that_want_the_same_fetch_it_once(site: Site, tmp_path: Path) -> None:
    """In one executor and in two that share the cache: one request, the same copy for all."""
    site.pause_s = 0.02
    fetchers = [a_fetcher(tmp_path), a_fetcher(tmp_path)]
    paths: list[Path] = []

    def want(fetcher: Fetcher) -> None:
        paths.append(fetched(fetcher, site.url + "/a/scene.tif")[0])

    threads = [threading.Thread(target=want, args=[fetcher]) for fetcher in fetchers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 4
    assert site.asked("GET", "/a/scene.tif") == [None]


def test_the_least_recently_used_goes_and_what_is_in_use_stays(site: Site, tmp_path: Path) -> None:
    """Three files where two fit: of those that nobody holds, the one that was not wanted for longest goes."""
    for name in "abc":
        site.files[f"/{name}"] = LETTERS
    fetcher = a_fetcher(tmp_path, cache=2 * len(LETTERS) + 100)
    a, lease_a = fetched(fetcher, site.url + "/a")
    b, lease_b = fetched(fetcher, site.url + "/b")
    lease_b.close()
    c, lease_c = fetched(fetcher, site.url + "/c")
    assert (a.exists(), b.exists(), c.exists()) == (True, False, True)  # a is older, and in use
    lease_a.close()
    lease_c.close()
    fetched(fetcher, site.url + "/a")[1].close()  # wanted again
    b, _ = fetched(fetcher, site.url + "/b")
    assert (a.exists(), b.exists(), c.exists()) == (True, True, False)


def test_the_cache_makes_room_on_a_disk_that_fills(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies that nobody uses go though the cache's own limit is far; where that does not help nothing is fetched: AGENT."""
    cache = Cache(tmp_path, 2**40, spare=1000)
    fetcher = Fetcher(policy=HERE, limits=Limits(), cache=cache, stores=None)
    site.files["/b"] = LETTERS[::-1]
    unused, lease = fetched(fetcher, site.url + "/a/scene.tif")
    lease.close()
    free = [len(LETTERS)]  # until something is removed
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free[0] if unused.exists() else 2**30))
    path, _ = fetched(fetcher, site.url + "/b")
    assert (unused.exists(), path.read_bytes()) == (False, LETTERS[::-1])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    error = refused(fetcher, site.url + "/a/scene.tif")
    assert (error.cause, "the disk is full" in str(error), path.exists()) == (Cause.AGENT, True, True)


def test_the_disk_is_looked_at_again_while_a_file_grows(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may have said how large it is: copies that nobody uses go, and where that does not help it ends: AGENT."""
    monkeypatch.setattr(inputs, "_LOOK", 2**18)
    cache = Cache(tmp_path, 2**40, spare=1000)
    fetcher = Fetcher(policy=HERE, limits=Limits(), cache=cache, stores=None)
    site.files["/old"] = LETTERS[::-1]
    unused, lease = fetched(fetcher, site.url + "/old")
    lease.close()
    usage = shutil.disk_usage(tmp_path)

    def shrinking(path: Path) -> object:
        begun = list(tmp_path.glob("*/partial/files/scene.tif"))
        filled = bool(begun) and begun[0].stat().st_size > 2**18
        return usage._replace(free=10 if filled and (unused.exists() or not helps) else 2**30)

    monkeypatch.setattr(shutil, "disk_usage", shrinking)
    helps = False
    error = refused(fetcher, site.url + "/a/scene.tif")
    assert (error.cause, "the disk is full" in str(error), unused.exists()) == (Cause.AGENT, True, False)
    (part,) = tmp_path.glob("*/partial/files/scene.tif")
    assert part.stat().st_size < len(LETTERS)
    helps = True
    assert fetched(fetcher, site.url + "/a/scene.tif")[0].read_bytes() == LETTERS


def test_more_than_the_cache_holds_is_fetched_all_the_same(site: Site, tmp_path: Path) -> None:
    """The limit is of what is kept; what an attempt needs it gets."""
    path, lease = fetched(a_fetcher(tmp_path, cache=10), site.url + "/a/scene.tif")
    assert path.read_bytes() == LETTERS
    lease.close()


def test_a_copy_that_somebody_wrote_to_is_fetched_anew(site: Site, tmp_path: Path) -> None:
    """Even where its size and its time of modification are the old ones."""
    fetcher = a_fetcher(tmp_path)
    path, lease = fetched(fetcher, site.url + "/a/scene.tif")
    lease.close()
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(LETTERS[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path.chmod(0o444)
    again, _ = fetched(fetcher, site.url + "/a/scene.tif")
    assert again.read_bytes() == LETTERS
