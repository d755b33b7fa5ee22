"""The application: routes, middleware and what they work with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio.to_thread
from fastapi import FastAPI
from sse_starlette.sse import AppStatus

from api.archive import find_archive
from api.auth import Gate
from api.body import BodyLimit
from api.catalogue import Catalogue
from api.errors import add_handlers
from api.image_gate import ImageGate
from api.keys import Keys
from api.logs import SandboxReader
from api.lookout import Lookout
from api.observation import Metrics, Observation
from api.observe import Observer
from api.openapi import describe
from api.outlook import Outlook
from api.presence import Presence
from api.recurring import Recurring
from api.remote_outputs import RemoteOutputs
from api.routes import (
    batch,
    cluster,
    events,
    health,
    images,
    jobs,
    logs,
    notifications,
    outputs,
    projects,
    scheduler,
    schedules,
    tasks,
    tokens,
    usage,
    verification,
)
from api.routes import secrets as secret_routes
from api.secrets import Secrets
from api.service import Service, make_file_check
from api.settings import Settings
from api.verification import Verifier
from swath.registry.client import RegistryClient
from swath.registry.settings import read_registries
from swath.store.api_store import ApiStore
from swath.store.database import Channel, Database
from swath.store.notification import Listener
from swath.store.scheduling import SchedulerStore
from swath.store.secret_store import SecretStore
from swath.store.sighting_store import SightingStore
from swath.store.token_store import TokenStore

VERSION = "0.1.0"
THREADS = 16
DESCRIPTION = """Runs processing images over scenes on an Apache Mesos cluster.

Every request but those to `/healthz` and `/readyz` carries `Authorization: Bearer TOKEN`. Refusals are problem documents
(RFC 9457) whose `errors` name each field. Times are RFC 3339 in UTC; memory and disk are MiB.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application of `settings`.

    Raises ValueError when the token file is missing, open to others or no secret, InvalidInputError for a file of registries
    that cannot be read.
    """
    token = settings.read_token()
    AppStatus.enable_automatic_graceful_drain = False  # it would cut streams off that the observer ends properly
    service = _make_service(settings)
    app = FastAPI(
        title="Swath",
        version=VERSION,
        description=DESCRIPTION,
        docs_url=None,  # the page would load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.service = service
    modules = (
        jobs,
        batch,
        tasks,
        logs,
        outputs,
        events,
        schedules,
        secret_routes,
        images,
        verification,
        notifications,
        cluster,
        projects,
        usage,
        scheduler,
        tokens,
        health,
    )
    for module in modules:
        app.include_router(module.router)
    add_handlers(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    # the last one added is the outermost
    app.add_middleware(BodyLimit, limit=settings.max_body)
    keys = Keys(token, settings.token_user, service.tokens, service.now)
    app.add_middleware(Gate, keys=keys, hosts=settings.hosts)
    app.add_middleware(Observation, metrics=service.metrics)
    return app


def _make_service(settings: Settings) -> Service:
    database = Database(settings.database_url)
    store = ApiStore(database)
    registries = RegistryClient(read_registries(settings.registries))
    secrets = Secrets(store=SecretStore(database), key_file=settings.secrets_key_file, now=_now)
    catalogue = _make_catalogue(settings, store, registries)
    gate = ImageGate(
        store=store,
        policy=settings.image_policy,
        presence=Presence(registries=registries, deadline_s=settings.image_registry_deadline_s),
        needs_registry=settings.image_registry_down == "refuse",
        secrets=secrets,
    )
    return Service(
        settings=settings,
        database=database,
        store=store,
        recurring=Recurring(store, lambda: make_file_check(settings), _now, gate),
        observer=Observer(store, lambda: Listener(database, Channel.OBSERVED)),
        sandboxes=SandboxReader(settings.agent_credential),
        archive=find_archive(settings.logs_root, settings.s3_file),
        remote_outputs=RemoteOutputs(settings.s3_file),
        metrics=Metrics(store.cluster_status),
        outlook=Outlook(store, SchedulerStore(database)),
        tokens=TokenStore(database),
        registries=registries,
        catalogue=catalogue,
        verifier=Verifier(store, automatic=settings.image_promotion == "automatic", now=_now),
        lookout=Lookout(SightingStore(database), registries, catalogue, every_s=settings.registry_check_s, now=_now),
        image_gate=gate,
        secrets=secrets,
        now=_now,
    )


def _make_catalogue(settings: Settings, store: ApiStore, registries: RegistryClient) -> Catalogue:
    return Catalogue(
        store=store,
        registries=registries,
        policy=settings.image_policy,
        automatic=settings.image_promotion == "automatic",
        signers=settings.read_signers(),
        approvers=settings.image_approvers,
        now=_now,
    )


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    # more threads than the store has connections would only wait for them, and each keeps memory of its own
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    service.recurring.watch.start()
    service.verifier.watch.start()
    service.lookout.watch.start()
    yield
    await anyio.to_thread.run_sync(service.recurring.watch.stop)
    await anyio.to_thread.run_sync(service.verifier.watch.stop)
    await anyio.to_thread.run_sync(service.lookout.watch.stop)
    service.observer.close()
    service.observer.join()
    await service.sandboxes.close()
    service.database.close()
