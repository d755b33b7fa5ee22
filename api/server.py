"""The server: uvicorn, that lets its followers go before it waits for anybody."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from api.service import Service

GRACE_S = 5  # for requests that are being answered


class Server(uvicorn.Server):
    """uvicorn waits for open connections before the application's own shutdown: streams would hold it up for all its grace."""

    def __init__(self, app: FastAPI, *, host: str, port: int) -> None:
        self._service: Service = app.state.service
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End every stream, then the rest."""
        self._service.observer.close()
        await super().shutdown(sockets)
