"""A TCP proxy on loopback that holds back, stalls or cuts what passes through it: a network that fails as networks do."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

CHUNK = 1 << 16


class SlowWire:
    """Listens on `port` and connects each client with the target. Every fault can be undone."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open = threading.Event()  # clear: nothing passes in either direction
        self._open.set()
        self._kept: bytes | None = None  # what a request must contain to be kept back
        self._released = threading.Event()
        self.caught = threading.Event()  # something is being kept back
        self.answers: list[bytes] = []  # the first bytes that came back on connections whose request was kept back
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def keep_back(self, words: bytes) -> None:
        """The next request with `words` in it stops here, as in the buffer of a socket that nobody reads, until `release`."""
        self._kept = words

    def release(self) -> None:
        """Let what was kept back go on to the target."""
        self._released.set()

    def stall(self) -> None:
        """Nothing passes, and nobody is told: the cable is out."""
        self._open.clear()

    def resume(self) -> None:
        """The cable is in again."""
        self._open.set()

    def cut(self) -> None:
        """Reset every connection; new ones may be made."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                sock.shutdown(socket.SHUT_RDWR)
                sock.close()

    def close(self) -> None:
        """End everything."""
        self._server.close()
        self._open.set()
        self._released.set()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            target = socket.create_connection(self._target, timeout=10)
        except OSError:
            client.close()
            return
        target.settimeout(None)
        with self._lock:
            self._sockets |= {client, target}
        was_kept = threading.Event()
        back = threading.Thread(target=self._pump, args=(target, client, was_kept, False), daemon=True)
        back.start()
        self._pump(client, target, was_kept, True)
        back.join()
        with self._lock:
            self._sockets -= {client, target}
        client.close()
        target.close()

    def _pump(self, source: socket.socket, sink: socket.socket, was_kept: threading.Event, is_request: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if is_request and self._kept is not None and self._kept in data:
                    self._kept = None
                    was_kept.set()
                    self.caught.set()
                    self._released.wait()
                elif not is_request and was_kept.is_set():
                    self.answers.append(data)
                self._open.wait()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
