"""What the routes work with: one value, made once and handed to every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from api.archive import Archive
from api.auth import CALLER
from api.catalogue import Catalogue
from api.image_gate import ImageGate
from api.inputs import FileCheck
from api.logs import SandboxReader
from api.lookout import Lookout
from api.observation import Metrics
from api.observe import Observer
from api.outlook import Outlook
from api.recurring import Recurring
from api.remote_outputs import RemoteOutputs
from api.secrets import Secrets
from api.settings import Settings
from api.verification import Verifier
from swath.domain.rights import Caller
from swath.registry.client import RegistryClient
from swath.store.api_store import ApiStore
from swath.store.database import Database
from swath.store.token_store import TokenStore


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """The parts of the job service."""

    settings: Settings
    database: Database
    store: ApiStore
    observer: Observer
    recurring: Recurring
    sandboxes: SandboxReader
    archive: Archive | None  # of logs
    remote_outputs: RemoteOutputs
    metrics: Metrics
    outlook: Outlook
    tokens: TokenStore
    registries: RegistryClient
    catalogue: Catalogue
    verifier: Verifier
    lookout: Lookout
    image_gate: ImageGate
    secrets: Secrets
    now: Callable[[], datetime]  # aware, UTC

    def make_file_check(self) -> FileCheck | None:
        """A check of input files for one request; None where the service does not see them."""
        return make_file_check(self.settings)


def make_file_check(settings: Settings) -> FileCheck | None:
    """A check of input files; None where the service does not see them."""
    return FileCheck(settings.input_roots, settings.input_schemes) if settings.check_inputs else None


async def _get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _get_caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


async def _read_body(request: Request) -> bytes:
    """The raw body. It is parsed in the route's thread: a large job would hold up the event loop for everybody."""
    return await request.body()


Known = Annotated[Caller, Depends(_get_caller)]
Injected = Annotated[Service, Depends(_get_service)]
Body = Annotated[bytes, Depends(_read_body)]
