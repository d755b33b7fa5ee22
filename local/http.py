"""Mesos' HTTP conduct as a raw ASGI application: which path, which headers, which refusal (transcripts 01, 12, 15)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from local.access import Access
from local.calls import CallError, read_executor_call, read_scheduler_call
from local.faults import Instead
from local.files import FilesApi
from local.master import Master
from local.messages import Call
from local.operator_api import Later, answer_agent, answer_master
from local.replies import JSON, FileReply, Header, Reply, make_text, refuse_method
from local.runtime import AgentHost, Machine, Runtime
from local.streams import Stream
from local.tokens import make_claims

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LARGEST_BODY = 64 * 1024 * 1024
_PIECE = 1024 * 1024  # bytes of a file that are sent at once
_GZIP_FROM = 1024  # bytes; shorter bodies are sent as they are (surprise 37)
_MEDIA_PROBLEM = "Expecting 'Content-Type' of application/json or application/x-protobuf"
_ACCEPT_PROBLEM = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"


class Application:
    """All machines of one process; the listening port tells which one is meant."""

    def __init__(self, runtime: Runtime, machines: Mapping[int, Machine], access: Access) -> None:
        self._runtime = runtime
        self._access = access
        self._machines = machines
        self._files = {
            port: FilesApi(machine.agent.settings.work_dir, machine.agent.state.agent_id)
            for port, machine in machines.items()
            if isinstance(machine, AgentHost)
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        port = scope["server"][1]
        host = self._machines[port]
        is_master = isinstance(host, Master)
        path = _strip(scope["path"], "/master" if is_master else "/slave(1)")
        headers = dict(scope["headers"])
        refusal = self._access.find_refusal(path, scope["headers"])
        if refusal is not None:
            await _send_reply(send, refusal)
            return
        if isinstance(host, AgentHost) and host.down:
            await _send_reply(send, make_text(503, "Agent has not finished recovery"))
            return
        if path in ("/api/v1/scheduler", "/api/v1/executor") and is_master == path.endswith("scheduler"):
            await self._serve_call(scope, headers, receive, send, port, is_master)
            return
        body = await _read_body(receive) if scope["method"] == "POST" else b""
        answer = self._answer(port, scope["method"], path, parse_qs(scope["query_string"].decode("latin-1")), body)
        reply = answer if isinstance(answer, Reply) else await asyncio.to_thread(answer)
        if isinstance(reply, FileReply):
            await _send_file(receive, send, reply)
        else:
            await _send_reply(send, _compress(reply, headers))

    def _find_machine(self, port: int) -> Machine:
        """After a failover another master answers at the same port."""
        machine = self._machines[port]
        return self._runtime.master if isinstance(machine, Master) else machine

    def _answer(self, port: int, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Reply | Later:
        machine, now = self._find_machine(port), self._runtime.now()
        if isinstance(machine, Master):
            reply = answer_master(machine, method, path, query, body, now)
            if isinstance(reply, Reply):
                return reply
            answer = self._runtime.call(machine, reply)
            return make_text(answer.status, answer.text)
        return answer_agent(machine.agent, self._files[port], method, path, query, body, now)

    async def _serve_call(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send, port: int, is_master: bool
    ) -> None:
        if scope["method"] != "POST":
            await _send_reply(send, refuse_method(scope["method"]))
            return
        body = await _read_body(receive)
        refusal = _check_headers(headers)
        try:
            body = _decode(headers, body)
            call = None if refusal else (read_scheduler_call if is_master else read_executor_call)(body)
        except CallError as error:
            refusal = make_text(400, str(error))
        except zlib.error:
            refusal = make_text(500, "failed to decode body")
        if refusal is None and call is not None and call["type"] == "SUBSCRIBE" and not _accepts_json(headers):
            refusal = make_text(406, _ACCEPT_PROBLEM)
        machine = self._find_machine(port)
        if refusal is None and call is not None:
            if isinstance(machine, AgentHost):
                refusal = _find_stranger(machine, call, self._access.read_claims(headers))
            elif (instead := self._runtime.mishaps.answer(call)) is not None:
                refusal = _make_fault(instead, port)
        if refusal is not None or call is None:
            await _send_reply(send, refusal or make_text(400, ""))
            return
        stream_id = headers.get(b"mesos-stream-id")
        answer = self._runtime.call(
            machine, Call(call=call, stream=None if stream_id is None else stream_id.decode("latin-1"))
        )
        if answer.stream is None or answer.stream_id is None:
            await _send_reply(send, make_text(answer.status, answer.text))
            return
        shown = ((b"mesos-stream-id", answer.stream_id.encode()),) if answer.shows_stream_id else ()
        try:
            await self._send_stream(receive, send, answer.stream, shown)
        finally:
            self._runtime.drop_stream(machine, answer.stream_id)

    async def _send_stream(self, receive: Receive, send: Send, stream: Stream, headers: tuple[Header, ...]) -> None:
        """One record per HTTP chunk; ends with the 0-chunk when the machine closes it, else when the peer goes.

        Closing the write side ends the subscription as well (surprise 37).
        """
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, JSON]})
        async with _watching(receive, stream.close) as watcher:
            while records := await stream.take():
                for record in records:
                    await send({"type": "http.response.body", "body": record, "more_body": True})
            if not (watcher.done() or stream.broken):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


@contextlib.asynccontextmanager
async def _watching(receive: Receive, on_gone: Callable[[], None]) -> AsyncIterator[asyncio.Future[None]]:
    """What is done once the peer has gone; `on_gone` is called then."""

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        on_gone()

    watcher = asyncio.ensure_future(watch())
    try:
        yield watcher
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


def _strip(path: str, prefix: str) -> str:
    path = path.removeprefix(prefix) if path.startswith(prefix + "/") else path
    return path.rstrip("/") or "/"


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= LARGEST_BODY:
            parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _check_headers(headers: Mapping[bytes, bytes]) -> Reply | None:
    """Media types are compared literally: a charset or upper case letters are refused (surprise 37)."""
    content_type = headers.get(b"content-type")
    if content_type is None:
        return make_text(400, "Expecting 'Content-Type' to be present")
    return None if content_type == b"application/json" else make_text(415, _MEDIA_PROBLEM)


def _make_fault(instead: Instead, port: int) -> Reply:
    """The answer of an injected fault; a redirect leads here again."""
    location = ((b"location", b"//127.0.0.1:%d/api/v1/scheduler" % port),) if instead.redirects else ()
    return make_text(instead.status, instead.text, *location)


def _find_stranger(host: AgentHost, call: dict[str, Any], claims: dict[str, Any] | None) -> Reply | None:
    """403 where the token is another executor's, or an earlier run's of this one."""
    if not claims:
        return None
    framework_id, executor_id = call["framework_id"]["value"], call["executor_id"]["value"]
    executor = host.agent.state.find_executor(framework_id, executor_id)
    # What the agent does not know it refuses in its own words.
    if executor is None or claims == make_claims(framework_id, executor_id, executor.container_id):
        return None
    return make_text(403, "The executor is not the one that the token was made for")


def _accepts_json(headers: Mapping[bytes, bytes]) -> bool:
    accept = headers.get(b"accept", b"*/*").decode("latin-1")
    return any(part.split(";")[0].strip() in ("*/*", "application/*", "application/json") for part in accept.split(","))


def _decode(headers: Mapping[bytes, bytes], body: bytes) -> bytes:
    if headers.get(b"content-encoding") != b"gzip":
        return body
    return zlib.decompress(body, wbits=zlib.MAX_WBITS | 16)


def _compress(reply: Reply, headers: Mapping[bytes, bytes]) -> Reply:
    if len(reply.body) <= _GZIP_FROM or b"gzip" not in headers.get(b"accept-encoding", b""):
        return reply
    return Reply(reply.status, gzip.compress(reply.body, 1), ((b"content-encoding", b"gzip"), *reply.headers))


async def _send_reply(send: Send, reply: Reply) -> None:
    headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _send_file(receive: Receive, send: Send, reply: FileReply) -> None:
    """Piece by piece, each read on a thread; a file that has shrunk meanwhile breaks the connection off, as in Mesos."""
    headers = [*reply.headers, (b"content-length", b"%d" % reply.size)]
    left = reply.size
    with reply.file as file:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        async with _watching(receive, lambda: None) as watcher:
            while left and not watcher.done():
                part = await asyncio.to_thread(file.read, min(left, _PIECE))
                if not part:
                    return
                left -= len(part)
                await send({"type": "http.response.body", "body": part, "more_body": left > 0})
    if not reply.size:
        await send({"type": "http.response.body", "body": b""})
