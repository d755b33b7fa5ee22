"""The `masters` setting: `host:port`, a list of them with commas, or `zk://[user:password@]h1:2181,h2:2181/path`."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from swath.domain.errors import InvalidInputError
from swath.wire.endpoints import Endpoint, parse_endpoint

logger = logging.getLogger(__name__)

_CANDIDATE = "json.info_"  # Mesos' name of a master's node; the sequence number behind it makes the lowest the leader
_LOOK_S = 10.0  # a watch is a hint; without any, the nodes are read again after this many seconds
_SCHEMES = ("zk://", "zoo://")


class Masters(Protocol):
    """Where to try next."""

    def start(self, on_leader: Callable[[Endpoint], None]) -> None:
        """Begin to look; `on_leader` is called, on any thread, whenever another leader is known."""

    def find(self) -> Endpoint | None:
        """The endpoint of the next attempt; None while none is known."""

    def stop(self) -> None:
        """Look no longer."""


class FixedMasters:
    """A list; one after the other in a circle, for each of them redirects to the leader if it is not the leader."""

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self._endpoints = endpoints
        self._next = 0

    def start(self, on_leader: Callable[[Endpoint], None]) -> None:
        """Nothing has to be looked up."""

    def find(self) -> Endpoint | None:
        """The next of the list."""
        endpoint = self._endpoints[self._next % len(self._endpoints)]
        self._next += 1
        return endpoint

    def stop(self) -> None:
        """Nothing runs."""


class ZooKeeperMasters:
    """The leader in ZooKeeper, with the shape of pymesos' MasterDetector: `choose` a child, `notify` of its data.

    Unlike there, a path that does not exist (yet, or any more), a lost session and an unknown server are waited out.
    """

    def __init__(self, hosts: str, path: str, *, auth: str | None = None, prefer_hostname: bool = False) -> None:
        self._path = path
        self._prefer_hostname = prefer_hostname  # of a master's addresses: with TLS, whose certificates carry names
        self._zk = KazooClient(
            hosts=hosts,
            auth_data=[("digest", auth)] if auth else None,
            connection_retry=KazooRetry(max_tries=-1, delay=0.1, max_delay=5.0),
        )
        self._wakeup = threading.Event()
        self._stopping = threading.Event()
        self._leader: Endpoint | None = None
        self._on_leader: Callable[[Endpoint], None] = lambda leader: None
        self._thread = threading.Thread(target=self._run, name="swath master detector", daemon=True)

    def start(self, on_leader: Callable[[Endpoint], None]) -> None:
        """Connect in the background."""
        self._on_leader = on_leader
        self._zk.add_listener(lambda state: self._wakeup.set())
        self._zk.start_async()
        self._thread.start()

    def find(self) -> Endpoint | None:
        """The leader as far as is known."""
        return self._leader

    def stop(self) -> None:
        """Disconnect, in the background."""
        self._stopping.set()
        self._wakeup.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wakeup.wait(_LOOK_S)
            self._wakeup.clear()
            try:
                if self._zk.connected and not self._stopping.is_set():
                    self._look()
            except (KazooException, KazooTimeoutError, OSError) as error:
                logger.warning("ZooKeeper: %s: %s", type(error).__name__, error)
            except Exception:
                logger.exception("looking for the leading master failed")
        self._zk.stop()
        self._zk.close()

    def _look(self) -> None:
        try:
            children = self._zk.get_children(self._path, watch=self._on_watch)
        except NoNodeError:
            # The watch of a missing node fires when it is made; made meanwhile, it is looked at again at once.
            if self._zk.exists(self._path, watch=self._on_watch) is not None:
                self._wakeup.set()
            children = []
        self.choose(children)

    def _on_watch(self, event: Any) -> None:
        self._wakeup.set()

    def choose(self, children: list[str]) -> None:
        """The lowest sequence leads (M11)."""
        candidates = [child for child in children if child.startswith(_CANDIDATE)]
        if not candidates:
            self._leader = None
            return
        first = min(candidates, key=lambda name: name[len(_CANDIDATE) :])
        try:
            data, _ = self._zk.get(f"{self._path.rstrip('/')}/{first}")
        except NoNodeError:  # it has gone since; the children have changed, and the watch says so
            return
        self.notify(data)

    def notify(self, data: bytes) -> None:
        """Take the leader out of its node's MasterInfo; one without an address is ignored."""
        leader = find_address(data, prefer_hostname=self._prefer_hostname)
        if leader is None:
            logger.error("ZooKeeper: a master's node has no address: %r", data[:500])
        elif leader != self._leader:
            self._leader = leader
            self._on_leader(leader)


def find_address(master_info: bytes, *, prefer_hostname: bool = False) -> Endpoint | None:
    """The endpoint in a `json.info_*` node; None where there is none."""
    try:
        address = json.loads(master_info)["address"]
        names = ("hostname", "ip") if prefer_hostname else ("ip", "hostname")
        host = next(address[name] for name in names if address.get(name))
        return Endpoint(str(host), int(address["port"]))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None


def make_masters(setting: str, *, prefer_hostname: bool = False) -> Masters:
    """The masters of a setting; raises InvalidInputError for one that says nothing."""
    for scheme in _SCHEMES:
        if setting.startswith(scheme):
            return _make_zookeeper_masters(setting[len(scheme) :], prefer_hostname)
    endpoints = [parse_endpoint(part) for part in setting.split(",") if part.strip()]
    if not endpoints:
        raise InvalidInputError.at(
            "", f"{setting!r} names no master: host:port, host:port,host:port or zk://host:port/path"
        )
    return FixedMasters(endpoints)


def _make_zookeeper_masters(rest: str, prefer_hostname: bool) -> ZooKeeperMasters:
    authority, slash, path = rest.partition("/")
    auth, _, hosts = authority.rpartition("@")
    if not hosts or not slash or not path:
        raise InvalidInputError.at("", "a zk:// setting is zk://host:port,host:port/path")
    return ZooKeeperMasters(hosts, "/" + path.rstrip("/"), auth=unquote(auth) or None, prefer_hostname=prefer_hostname)
