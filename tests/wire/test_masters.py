"""The `masters` setting: what it says, and the leader in a real ZooKeeper."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from swath.domain.errors import InvalidInputError
from swath.wire.calls import make_framework_info
from swath.wire.endpoints import Endpoint, find_redirect_target, parse_endpoint
from swath.wire.masters import ZooKeeperMasters, find_address, make_masters
from swath.wire.scheduler import SchedulerDriver
from tests.fixtures.machine import skip_or_fail
from tests.wire.standin import SUBSCRIBED, Recorder, StandIn, hold

JAR = Path("/usr/share/java/zookeeper.jar")  # Debian's; its manifest names the others
INFO = make_framework_info(user="eo", name="swath", role="swath")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("localhost", Endpoint("localhost", 5050)),
        ("10.0.0.1:5051", Endpoint("10.0.0.1", 5051)),
        ("[::1]:5050", Endpoint("::1", 5050)),
        ("http://m1.example:80/", Endpoint("m1.example", 80)),
    ],
)
def test_a_master_is_host_and_port(text, endpoint):
    """With or without a port, a scheme, IPv6's brackets."""
    assert parse_endpoint(text) == endpoint
    assert parse_endpoint(str(endpoint)) == endpoint


def test_m11_a_list_goes_round():
    """Each attempt takes the next one."""
    masters = make_masters("a:1, b:2,c")
    assert [str(masters.find()) for _ in range(4)] == ["a:1", "b:2", "c:5050", "a:1"]


@pytest.mark.parametrize("setting", ["", " , ", "host:port", "zk://", "zk://h1:2181", "zk://h1:2181/", "a:1,:2"])
def test_a_setting_that_names_no_master_is_refused(setting):
    """At the start, not an hour later."""
    with pytest.raises(InvalidInputError):
        make_masters(setting)


@pytest.mark.parametrize(
    ("location", "endpoint"),
    [
        ("//127.0.0.1:5050/api/v1/scheduler", Endpoint("127.0.0.1", 5050)),
        ("http://m2:5051/api/v1/scheduler", Endpoint("m2", 5051)),
        ("//[::1]:5050", Endpoint("::1", 5050)),
        ("/api/v1/scheduler", None),
        ("//host:port/", None),
        ("", None),
        (None, None),
    ],
)
def test_m11_a_redirect_names_an_endpoint_or_nothing(location, endpoint):
    """`//host:port/path` is what Mesos sends."""
    assert find_redirect_target(location) == endpoint


def test_the_address_of_a_master_is_read_from_its_node():
    """The address by default, the name where a certificate is to be checked; nonsense is None."""
    info = {"address": {"hostname": "m1.example", "ip": "10.0.0.1", "port": 5050}}
    assert find_address(json.dumps(info).encode()) == Endpoint("10.0.0.1", 5050)
    assert find_address(json.dumps(info).encode(), prefer_hostname=True) == Endpoint("m1.example", 5050)
    for nonsense in (b"", b"[]", b"{}", b"null", b'{"address": {"port": "x", "ip": "a"}}', b"\x08\x01protobuf"):
        assert find_address(nonsense) is None


class ZooKeeper:
    """Debian's ZooKeeper on loopback, started and killed at will; its data stay."""

    def __init__(self, folder):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = server.getsockname()[1]
        self.process = None
        config = folder / "zoo.cfg"
        config.write_text(
            f"tickTime=500\ndataDir={folder}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\nminSessionTimeout=1000\n"
        )

    def start(self):
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"  # started without zkServer.sh there is no JMX port
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx64m", "-cp", str(JAR), main, str(self.folder / "zoo.cfg")],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)

    def client(self):
        # kazoo's own back-off doubles without end: a server that needs 14 seconds, on a busy machine, is found after 30.
        retry = KazooRetry(max_tries=-1, delay=0.1, max_delay=0.5)
        client = KazooClient(f"127.0.0.1:{self.port}", connection_retry=retry)
        try:
            client.start(timeout=30)
        except KazooTimeoutError:
            pytest.fail((self.folder / "log").read_text()[-2000:])
        return client


@pytest.fixture
def zookeeper(tmp_path):
    """A ZooKeeper that is not running yet."""
    if not shutil.which("java") or not JAR.exists():
        skip_or_fail("ZooKeeper is absent: apt-get install zookeeper")
    server = ZooKeeper(tmp_path)
    yield server
    server.stop()


def announce(client, endpoint):
    """A master's node, as Mesos makes it."""
    info = json.dumps({"address": {"hostname": endpoint.host, "ip": endpoint.host, "port": endpoint.port}}).encode()
    return client.create("/mesos/json.info_", info, sequence=True, ephemeral=True, makepath=True)


@pytest.mark.zookeeper
def test_m11_the_leader_is_found_and_followed_through_everything(zookeeper):
    """Server not up yet, path missing, a first leader, other nodes beside it, its end, and ZooKeeper's own restart (M11)."""
    masters = ZooKeeperMasters(f"127.0.0.1:{zookeeper.port}", "/mesos")
    leaders, changed = [], threading.Condition()

    def on_leader(endpoint):
        with changed:
            leaders.append(endpoint)
            changed.notify_all()

    def wait_for(endpoint):
        with changed:
            assert changed.wait_for(lambda: leaders[-1:] == [endpoint], 30), leaders

    masters.start(on_leader)
    zookeeper.start()
    client = zookeeper.client()
    try:
        assert masters.find() is None
        client.ensure_path("/mesos/log_replicas")
        first, second, third = (Endpoint("127.0.0.1", port) for port in (5051, 5052, 5053))
        node = announce(client, first)
        wait_for(first)
        next_node = announce(client, second)
        client.create("/mesos/info_0000000000", b"\x08protobuf of an older Mesos")
        client.delete(node)
        wait_for(second)
        zookeeper.stop()
        zookeeper.start()
        client.stop()
        client.close()
        client = zookeeper.client()
        announce(client, third)
        with contextlib.suppress(NoNodeError):  # its session may have expired by now
            client.delete(next_node)
        wait_for(third)
        assert masters.find() == third
    finally:
        masters.stop()
        client.stop()
        client.close()
        masters._thread.join(15)
    assert not masters._thread.is_alive()


@pytest.mark.zookeeper
def test_m11_a_driver_moves_to_the_new_leader(zookeeper):
    """The stream of the old one is dropped when another leads."""
    zookeeper.start()
    client = zookeeper.client()
    old, new = StandIn(hold(SUBSCRIBED)), StandIn(hold(SUBSCRIBED))
    recorder = Recorder()
    driver = SchedulerDriver(
        on_event=recorder, framework_info=INFO, masters=f"zk://127.0.0.1:{zookeeper.port}/mesos", first_backoff_s=0.01
    )
    try:
        driver.start()
        node = announce(client, Endpoint("127.0.0.1", old.port))
        recorder.until("SUBSCRIBED")
        announce(client, Endpoint("127.0.0.1", new.port))
        client.delete(node)
        assert "leads now" in recorder.until("DISCONNECTED")["reason"]
        recorder.until("SUBSCRIBED")
        assert driver.call({"type": "REVIVE"}).is_sent
        assert (len(old.calls), len(new.calls)) == (0, 1)
    finally:
        driver.stop()
        driver.join(5)
        client.stop()
        client.close()
        old.close()
        new.close()
        driver._subscriber._masters._thread.join(15)
