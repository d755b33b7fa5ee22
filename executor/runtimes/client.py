"""The SDK's client, made to cost less. Imported when an engine is first asked for something: it loads the SDK."""

from __future__ import annotations

from typing import Any

import docker
import docker.utils
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnectionPool

_CALL_S = 60.0  # for one answer of the engine
_CONNECTIONS = 100  # kept; each container holds one while it runs


class _Adapter(UnixHTTPAdapter):
    """One pool of connections: the SDK makes one for each URL, so for every call that names a container a new one."""

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        if "/attach?" in url:  # the engine has turned this connection into a stream: nobody else may be given it
            return UnixHTTPConnectionPool(url, self.socket_path, self.timeout, maxsize=1)
        return super().get_connection("http+docker://engine", proxies)


class Client(docker.APIClient):
    """A client whose streams may be silent for so long; None for as long as they like."""

    def __init__(self, silence_s: float | None, **settings: Any) -> None:
        many: dict[str, Any] = {"num_pools": _CONNECTIONS, "max_pool_size": _CONNECTIONS}
        super().__init__(**settings, version="auto", timeout=int(_CALL_S), **many)
        self._silence_s = silence_s
        adapter = self.get_adapter(self.base_url)
        if isinstance(adapter, UnixHTTPAdapter):
            self.trust_env = (
                False  # proxies are no way to a socket of this machine; to look for them costs a quarter of a call
            )
            path = f"http+unix://{adapter.socket_path}"
            self.mount("http+docker://", _Adapter(path, int(_CALL_S), max_pool_size=_CONNECTIONS))

    def post(self, *given: Any, **named: Any) -> Any:
        """As the SDK does, which lets a pull take its time."""
        return super().post(*given, **(named if self._silence_s is None else {**named, "timeout": self._silence_s}))

    def _check_is_tty(self, container: str) -> bool:
        """No container of ours has one; the SDK would ask the engine each time before it attaches."""
        return False


def make_client(silence_s: float | None) -> Client:
    """A client of the engine that the environment names."""
    return Client(silence_s, **docker.utils.kwargs_from_env())
