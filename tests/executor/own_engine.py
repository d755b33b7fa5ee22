"""A Docker engine of a test's own, to be hurt: the shared one is nobody's to restart, to fill or to stop."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.executor.agent import wait_until
from tests.fixtures.machine import skip_or_fail


class OwnEngine:
    """`dockerd` with all that it writes below one directory."""

    def __init__(self, directory: Path, data: Path | None = None, *options: str) -> None:
        self._directory = directory
        self._data = data or directory / "data"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        # Of its own: an engine that is told to have no bridge removes docker0, which is another one's.
        self._bridge = f"swath{os.getpid() % 100_000}"
        self.host = f"unix://{directory}/docker.sock"

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or not (shutil.which("dockerd") and shutil.which("ip")):
            skip_or_fail("an engine of a test's own needs root, dockerd and iproute2")
        subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"], check=True)
        subprocess.run(["ip", "addr", "add", "172.30.99.1/24", "dev", self._bridge], check=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for container in self.docker("ps", "-aq").split():
            self.docker("rm", "--force", container)
        self.stop()
        subprocess.run(["ip", "link", "delete", self._bridge], check=False)
        subprocess.run(["umount", "--recursive", str(self._data)], capture_output=True, check=False)

    def start(self) -> None:
        """Start it, once more after it was stopped; returns when it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        places = {"data-root": self._data, "exec-root": self._directory / "exec", "pidfile": self._directory / "pid"}
        with (self._directory / "log").open("a") as log:
            self._process = subprocess.Popen(
                [
                    *(
                        "dockerd",
                        "--host",
                        self.host,
                        f"--bridge={self._bridge}",
                        "--iptables=false",
                        "--ip-masq=false",
                    ),
                    *self._options,
                    *(f"--{name}={place}" for name, place in places.items()),
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self.docker("version", check=False), "the engine answers")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it; by SIGTERM it ends its containers as well."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(30)

    def pause(self) -> None:
        """It takes connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def docker(self, *arguments: str, data: bytes | None = None, check: bool = True) -> str:
        """What the docker command says about this engine."""
        done = subprocess.run(["docker", "-H", self.host, *arguments], input=data, check=check, capture_output=True)
        return done.stdout.decode().strip() if done.returncode == 0 else ""


@contextmanager
def small_disk(directory: Path, mib: int) -> Iterator[Path]:
    """A file system of so many MiB."""
    image, place = directory / "disk.img", directory / "disk"
    place.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(mib * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


class Proxy:
    """Stands before an engine's socket and answers some requests itself, with a failure; one request a connection."""

    def __init__(self, place: Path, host: str, refused: re.Pattern[bytes]) -> None:
        self._path, self._engine = place / "proxy.sock", host.removeprefix("unix://")
        self.refused: re.Pattern[bytes] | None = refused
        self.host = f"unix://{self._path}"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self._path))
        self._server.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._answer, args=[client], daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(65536)):
                    return
                head += data
            if self.refused is not None and self.refused.match(head):
                body = b'{"message": "it does not end"}'
                kind = b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: close" % len(body)
                client.sendall(b"HTTP/1.1 500 Internal Server Error\r\n" + kind + b"\r\n\r\n" + body)
                return
            engine.connect(self._engine)
            engine.sendall(head.replace(b"Connection: keep-alive", b"Connection: close", 1))
            upwards = threading.Thread(target=_pass_on, args=[client, engine], daemon=True)
            upwards.start()
            _pass_on(engine, client)
            client.shutdown(socket.SHUT_RDWR)
            upwards.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
