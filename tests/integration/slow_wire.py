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
        self._doomed: tuple[bytes, bool] | None = None  # what a request must contain, and whether it still passes
        self.lost = 0  # requests that broke their connection
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

    def lose(self, words: bytes, *, answer_only: bool) -> None:
        """The next request with `words` in it breaks its connection: it never arrives, or it does and its answer is lost."""
        self._doomed = (words, answer_only)

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
        was_kept, is_doomed = threading.Event(), threading.Event()
        back = threading.Thread(target=self._pump_back, args=(target, client, was_kept, is_doomed), daemon=True)
        back.start()
        self._pump(client, target, was_kept, is_doomed)
        back.join()
        with self._lock:
            self._sockets -= {client, target}
        client.close()
        target.close()

    def _pump(
        self, client: socket.socket, target: socket.socket, was_kept: threading.Event, is_doomed: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := client.recv(CHUNK):
                if self._kept is not None and self._kept in data:
                    self._kept = None
                    was_kept.set()
                    self.caught.set()
                    self._released.wait()
                if self._doomed is not None and self._doomed[0] in data:
                    (_, passes), self._doomed = self._doomed, None
                    is_doomed.set()
                    self.lost += 1
                    if not passes:
                        break
                self._open.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
            if is_doomed.is_set():
                client.shutdown(socket.SHUT_RDWR)

    def _pump_back(
        self, target: socket.socket, client: socket.socket, was_kept: threading.Event, is_doomed: threading.Event
    ) -> None:
        with suppress(OSError):
            while data := target.recv(CHUNK):
                if was_kept.is_set():
                    self.answers.append(data)
                if is_doomed.is_set():
                    break
                self._open.wait()
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR if is_doomed.is_set() else socket.SHUT_WR)
