"""The Python client of Swath's REST API.

    from swath.client import Client
    client = Client()                      # the cluster that `swath up` started here, or $SWATH_URL and $SWATH_TOKEN
    job = client.submit({"image": "ndvi", "inputs": {"SCENE": "scene.tif"}})
    job = client.wait(job["id"], on_progress=lambda job: print(job["counts"]))
    for output in client.outputs(job["id"]):
        client.download(output, f"results/{output['task']}/")

Documents are plain dictionaries, typed in `swath.documents`. Whatever the API refuses is raised as the error of
`swath.domain.errors` that the service itself raised, with its text; a service that does not answer is an InternalError.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote, urlsplit

import httpx

from swath.answers import ERRORS, PROBLEM_TYPE, parse_messages, to_error
from swath.client_images import ImageCalls
from swath.client_operators import OperatorCalls
from swath.client_schedules import ScheduleCalls
from swath.client_secrets import SecretCalls
from swath.client_tokens import TokenCalls
from swath.client_verification import VerificationCalls
from swath.documents import (
    Attempt,
    Event,
    Explanation,
    Job,
    Output,
    Task,
    has_text_items,
    with_hrefs,
)
from swath.domain import errors
from swath.domain.states import ENDED_JOB
from swath.tenants import Tenants

__all__ = ["ERRORS", "PROBLEM_TYPE", "Client", "parse_messages", "to_error"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_RETRY_DELAYS_S = (0.1, 0.5, 2.0)  # after a connection that broke; only for requests that may be said twice
_STREAM_TRIES = 15  # to open a broken stream again, a quarter of a minute in all
_FIRST_TRIES = 3  # as long as the service has never answered: its address may be wrong
_STREAM_SILENCE_S = 45.0  # three of the service's heartbeats
_STREAM_FAILURES = 3  # in a row, before `wait` goes over to polling
_POLL_S = 1.0
_PATIENCE_S = 120.0  # how long `wait` bears a service that does not answer


class Client(Tenants, ScheduleCalls, OperatorCalls, ImageCalls, SecretCalls, TokenCalls, VerificationCalls):
    """A connection to one Swath cluster; usable as a context manager, by one thread at a time."""

    def __init__(self, url: str | None = None, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        """`url` and `token` default to $SWATH_URL and $SWATH_TOKEN, then to those of `swath up` in $SWATH_VAR or ./var."""
        self.url, token = _locate(url, token)
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            trust_env=urlsplit(self.url).hostname not in _LOOPBACK,  # a proxy has nothing to do with one's own machine
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Jobs

    def submit(self, job: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Submit a job document and return the job.

        Files may be given as local paths (text or `Path`) wherever a href is expected; the cluster has to see the same path.
        Where an array holds texts, the image's manifest says whether they are files.
        With the same key and the same document the first job is returned, however often it is said.
        """
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return cast(Job, self._ask("POST", "/v1/jobs", json=with_hrefs(job, self._file_inputs(job)), headers=headers))

    def submit_together(self, jobs: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None) -> list[Job]:
        """Submit several job documents, all of them or none; those in `after` of another are called by their names."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        documents = [with_hrefs(job, self._file_inputs(job)) for job in jobs]
        return cast(list[Job], self._ask("POST", "/v1/jobs:batch", json={"jobs": documents}, headers=headers)["items"])

    def try_out(self, job: Mapping[str, Any]) -> Explanation:
        """What would become of a job document, submitting nothing: raises as `submit` does where it could never run."""
        document = with_hrefs(job, self._file_inputs(job))
        return cast(Explanation, self._ask("POST", "/v1/jobs", params={"dry_run": "true"}, json=document))

    def explain(self, job_id: str) -> Explanation:
        """Why tasks of the job wait, in numbers, and when they may start."""
        return cast(Explanation, self._ask("GET", f"/v1/jobs/{quote(job_id, safe='')}/explain"))

    def jobs(self, *, limit: int = 100, **filters: str | None) -> list[Job]:
        """The newest jobs; `filters` are project, state, image, name and label ("key=value")."""
        return cast(list[Job], list(self._pages("/v1/jobs", filters, limit)))

    def job(self, job_id: str) -> Job:
        """One job."""
        return cast(Job, self._ask("GET", f"/v1/jobs/{quote(job_id, safe='')}"))

    def cancel(self, job_id: str) -> Job:
        """Ask for the job's end; its running tasks get their grace."""
        return cast(Job, self._ask("POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel"))

    def retry(self, job_id: str) -> Job:
        """Run the job's failed tasks again; jobs that had failed because of it wait for it again."""
        return cast(Job, self._ask("POST", f"/v1/jobs/{quote(job_id, safe='')}/retry"))

    def rerun(self, job_id: str, *, idempotency_key: str | None = None) -> Job:
        """Submit the job once more: the same document, items and image digest."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return cast(Job, self._ask("POST", f"/v1/jobs/{quote(job_id, safe='')}/rerun", headers=headers))

    def wait(
        self, job_id: str, *, on_progress: Callable[[Job], None] | None = None, timeout_s: float | None = None
    ) -> Job:
        """Wait until the job has ended and return it; `on_progress` is called with the job whenever it has changed.

        Raises TimeoutError after `timeout_s`. A service that restarts meanwhile is waited for.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for job in self._watch(job_id, deadline):
            if job is not None and on_progress:
                on_progress(job)
            if job is not None and job["state"] in ENDED_JOB:
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {job_id} has not ended after {timeout_s:g} s")
        raise AssertionError("a watch ends with the job")  # pragma: no cover

    # Tasks

    def tasks(self, job_id: str, *, state: str | None = None, limit: int | None = None) -> Iterator[Task]:
        """The job's tasks in the order of their index."""
        return cast(Iterator[Task], self._pages(f"/v1/jobs/{quote(job_id, safe='')}/tasks", {"state": state}, limit))

    def task(self, job_id: str, index: int = 0) -> Task:
        """One task."""
        return cast(Task, self._ask("GET", _task_path(job_id, index)))

    def attempts(self, job_id: str, index: int = 0) -> list[Attempt]:
        """The task's attempts, the first one first."""
        return cast(list[Attempt], self._ask("GET", f"{_task_path(job_id, index)}/attempts")["items"])

    def log(
        self,
        job_id: str,
        index: int = 0,
        stream: str = "stdout",
        *,
        attempt: int | None = None,
        offset: int = 0,
        length: int | None = None,
    ) -> str:
        """A task's stdout or stderr, of its last attempt or of number `attempt`; a negative `offset` counts from the end."""
        parameters = _given(attempt=attempt, offset=offset, length=length)
        response = self._request("GET", f"{_task_path(job_id, index)}/logs/{stream}", params=parameters)
        return response.content.decode("utf-8", "replace")

    def follow_log(
        self, job_id: str, index: int = 0, stream: str = "stdout", *, attempt: int | None = None, offset: int = 0
    ) -> Iterator[bytes]:
        """The same as it is written, until the attempt has ended; waits for an attempt that has not started yet."""
        url, failures = f"{_task_path(job_id, index)}/logs/{stream}", _STREAM_TRIES - _FIRST_TRIES
        while True:
            try:
                parameters = _given(attempt=attempt, offset=offset, follow="true")
                with self._stream(url, params=parameters, timeout=httpx.Timeout(None, connect=5.0)) as response:
                    for chunk in response.iter_bytes():
                        offset, failures = offset + len(chunk), 0
                        yield chunk
                return
            except httpx.TransportError as error:
                failures = self._pause(failures, error)

    # Outputs

    def outputs(self, job_id: str, index: int | None = None, *, limit: int | None = None) -> Iterator[Output]:
        """The files that the job, or its task `index`, has published."""
        path = f"/v1/jobs/{quote(job_id, safe='')}" if index is None else _task_path(job_id, index)
        return cast(Iterator[Output], self._pages(f"{path}/outputs", {}, limit))

    def download(self, output: Output, to: str | os.PathLike[str]) -> Path:
        """Fetch an output into the directory `to`, or into the file `to`; an interrupted download leaves no file there.

        Raises InternalError for bytes that are not those which were published.
        """
        target = Path(to)
        if target.is_dir() or str(to).endswith(("/", os.sep)):
            target = target / PurePosixPath(output["path"]).name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
        digest, expected = hashlib.sha256(), output.get("sha256")
        try:
            with self._stream(urlsplit(output["href"]).path) as response, partial.open("wb") as file:
                for chunk in response.iter_bytes():
                    digest.update(chunk)
                    file.write(chunk)
            if expected is not None and digest.hexdigest() != expected:
                raise errors.InternalError(
                    f"{output['path']} was published with the SHA-256 {expected}, not {digest.hexdigest()}"
                )
            partial.replace(target)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        finally:
            partial.unlink(missing_ok=True)
        return target

    # Events

    def events(
        self, job_id: str | None = None, *, task: int | None = None, after: int | None = None, follow: bool = True
    ) -> Iterator[Event]:
        """What happened since event `after`, to all jobs, or to one or one task of it until the job has ended.

        Without `follow`, only what is past.
        """
        url = "/v1/events" if job_id is None else f"/v1/jobs/{quote(job_id, safe='')}/events"
        failures = _STREAM_TRIES - _FIRST_TRIES
        while True:
            heard = False
            try:
                for name, data in self._messages(url, _given(task=task, after=after, follow=str(follow).lower())):
                    if name:
                        event = cast(Event, data)
                        after, failures, heard = event["id"], 0, True
                        yield event
                if not follow or (job_id is not None and not heard and self.job(job_id)["state"] in ENDED_JOB):
                    return
            except httpx.TransportError as error:
                failures = self._pause(failures, error)

    # The wire

    def _file_inputs(self, job: Mapping[str, Any]) -> frozenset[str]:
        """The names that the job's image declares as files, asked for only where they matter."""
        if not has_text_items(job) or not isinstance(job.get("image"), str):
            return frozenset()
        try:
            interface = self.image(job["image"].partition("@")[0])["manifest"]["job"]["interface"]
        except (errors.UserError, KeyError):  # no such image: submitting it tells why
            return frozenset()
        return frozenset(entry["name"] for entry in interface.get("inputs", {}).get("files", ()))

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One answered request; said again where the connection broke and saying it twice does no harm."""
        repeatable = method in ("GET", "PUT") or "Idempotency-Key" in (arguments.get("headers") or {})
        for delay_s in (*_RETRY_DELAYS_S, None) if repeatable else (None,):
            try:
                response = self._http.request(method, path, **arguments)
                break
            except (
                httpx.ReadTimeout
            ) as error:  # a service that is stopped, or hangs: what it was told already is enough
                raise self._silent(error) from error
            except httpx.ConnectError as error:  # nobody listens: waiting seldom helps, and hides a wrong address
                raise self._unreachable(error) from error
            except httpx.TransportError as error:
                if delay_s is None:
                    raise self._unreachable(error) from error
                time.sleep(delay_s)
        if not response.is_success:
            raise to_error(response)
        return response

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        return cast(dict[str, Any], self._request(method, path, **arguments).json())

    def _pages(self, path: str, filters: Mapping[str, Any], limit: int | None) -> Iterator[dict[str, Any]]:
        """The items of a list, page after page, at most `limit`."""
        parameters, left = _given(**filters), limit
        while left is None or left > 0:
            page = self._ask("GET", path, params={**parameters, "limit": min(left or 1000, 1000)})
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            if page.get("next") is None:
                return
            parameters["cursor"] = page["next"]

    @contextmanager
    def _stream(self, path: str, **arguments: Any) -> Iterator[httpx.Response]:
        with self._http.stream("GET", path, **arguments) as response:
            if not response.is_success:
                response.read()
                raise to_error(response)
            yield response

    def _messages(
        self, path: str, parameters: Mapping[str, Any], silence_s: float = _STREAM_SILENCE_S
    ) -> Iterator[tuple[str, Any]]:
        """The (event, data) pairs of a stream of server-sent events; an empty answer (204) is one that has ended."""
        arguments = {"params": dict(parameters), "timeout": httpx.Timeout(silence_s, connect=5.0)}
        with self._stream(path, headers={"Accept": "text/event-stream"}, **arguments) as response:
            yield from parse_messages(response.iter_lines())

    def _watch(self, job_id: str, deadline: float | None) -> Iterator[Job | None]:
        """The job at once and whenever it changes; None now and then while the service does not answer."""
        path, failures = f"/v1/jobs/{quote(job_id, safe='')}/events", 0
        answered_at: float | None = None  # monotonic
        while True:
            try:
                if failures < _STREAM_FAILURES:
                    left_s = _STREAM_SILENCE_S if deadline is None else max(0.01, deadline - time.monotonic())
                    for name, data in self._messages(path, {"progress": "true"}, min(left_s, _STREAM_SILENCE_S)):
                        failures, answered_at = 0, time.monotonic()
                        yield cast(Job, data) if name == "job" else None
                yield self.job(job_id)
                answered_at = time.monotonic()
            except (httpx.TransportError, errors.InternalError) as error:
                failures += 1
                if answered_at is None or time.monotonic() - answered_at > _PATIENCE_S:
                    raise (error if isinstance(error, errors.InternalError) else self._unreachable(error)) from None
                yield None
            time.sleep(_POLL_S if failures >= _STREAM_FAILURES else 0.1)

    def _pause(self, failures: int, error: httpx.TransportError) -> int:
        """Wait before a stream is opened again; raises once it has failed too often without a byte between."""
        if failures >= _STREAM_TRIES:
            raise self._unreachable(error) from error
        time.sleep(min(0.1 * 2**failures, 1.0))
        return failures + 1

    def _silent(self, error: Exception) -> errors.InternalError:
        waited_s = self._http.timeout.read
        return errors.InternalError(
            f"the API at {self.url} has taken the request and not answered for {waited_s:g} s: it is stopped, hangs, or has too"
            f" much to do. `swath doctor` looks at it; try again, or start it anew"
        )

    def _unreachable(self, error: Exception) -> errors.InternalError:
        return errors.InternalError(f"the API at {self.url} does not answer ({error}); is it running?")


def _locate(url: str | None, token: str | None) -> tuple[str, str | None]:
    """The API's address and token: as given, as the environment says, or those of the cluster that `swath up` started."""
    url = url or os.environ.get("SWATH_URL")
    token = token or os.environ.get("SWATH_TOKEN")
    cluster = _read_cluster(Path(os.environ.get("SWATH_VAR", "var")) / "cluster.json")
    if url is None:
        if "api_url" not in cluster:
            raise errors.NotFoundError("no cluster: start one here with `swath up`, or set SWATH_URL and SWATH_TOKEN")
        url = str(cluster["api_url"])
    _check(url)
    # the local cluster's token is for nobody else
    if token is None and url.rstrip("/") == str(cluster.get("api_url", "")).rstrip("/") and cluster.get("token_file"):
        token = Path(cluster["token_file"]).read_text(encoding="utf-8").strip()
    return url.rstrip("/"), token


def _check(url: str) -> None:
    """Raise InvalidInputError for what is no address of a service."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or too large
        good = False
    if not good:
        raise errors.InvalidInputError.at("SWATH_URL", f"must look like http://127.0.0.1:8642, is {url!r}")


def _read_cluster(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _given(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


def _task_path(job_id: str, index: int) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}/tasks/{int(index)}"
