"""create_app: settings -> the application, wired."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from model_store.errors import StoreError
from service import console, explain, pages, problems, status
from service.access import Keyring
from service.admission import Admission
from service.audit import Trail
from service.catalogue import Catalogue
from service.document import document
from service.engine import Engine
from service.explainer import Explainer
from service.gate import Gate, Gated
from service.middleware import BodyBounds, RequestContext
from service.pipeline import Pipeline
from service.priority import give_way
from service.registry import Registry
from service.routes import router
from service.settings import Settings
from service.shadow import Shadow
from service.telemetry import Telemetry, log
from service.watch import Watcher
from service.workers import Workers

VERSION = "0.1.0"
_DESCRIPTION = (
    "Tells a person's voice from a synthetic or converted one. Send a few seconds of one caller's speech; "
    "branch on `verdict`, keep the rest for your audit. A `score` above 0 speaks for bonafide. Errors are "
    "problem+json with a stable `code`."
)


def create_app(settings: Settings, *, once_loaded: Callable[[], None] = lambda: None) -> FastAPI:
    """The application. It answers as soon as it starts, and is ready when its models are loaded and warm.

    A configured model that cannot be believed sets `app.state.failed`: whoever serves the app is to stop then, as
    `service.__main__` does.

    Parameters
    ----------
    once_loaded
        What to do, on the thread that loads, when the first models are loaded: it is ready then.

    Raises
    ------
    KeysError, AuditError
        The keys file, or the audit trail's folder or key, cannot be used.
    """
    app = FastAPIOffline(
        title="Bonafide",
        version=VERSION,
        description=_DESCRIPTION,
        responses=problems.responses("internal_error"),
        telemetry={"tracing": False, "metrics": False, "logs": False},  # service.telemetry has ours
        lifespan=_lifespan,
        docs_url=None,  # service.pages has it, under a policy
        redoc_url=None,
        redirect_slashes=False,  # behind a balancer that ends TLS, it would send clips and keys to http
    )
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    telemetry = Telemetry()
    admission = Admission(
        telemetry,
        max_clips=settings.max_queue_clips,
        max_seconds=settings.max_queue_seconds,
        max_batches=settings.max_batches,
        deadline_seconds=settings.deadline_seconds,
    )
    workers = Workers(telemetry, admission, threads=settings.threads)
    engine = Engine(telemetry, threads=settings.threads)
    app.state.settings = settings
    app.state.once_loaded = once_loaded
    app.state.telemetry = telemetry
    app.state.admission = admission
    app.state.gate = gate = Gate(admission, telemetry)
    app.state.workers = workers
    app.state.engine = engine
    app.state.trail = Trail.of(settings, telemetry)
    app.state.pipeline = Pipeline(
        settings, telemetry, admission=admission, workers=workers, engine=engine, trail=app.state.trail
    )
    app.state.explainer = Explainer(settings, admission, workers, engine)
    app.state.shadow = Shadow(telemetry, admission, workers, engine)
    app.state.keyring = Keyring(settings.keys, telemetry) if settings.keys else None
    app.state.registry = None
    app.state.catalogue = Catalogue(settings, telemetry)
    app.state.watcher = Watcher(
        app.state.catalogue, seconds=settings.store_poll_seconds, switch=lambda registry: _switch(app, registry)
    )
    app.state.draining = False
    app.state.failed = False
    app.include_router(router)
    app.include_router(status.router)
    app.include_router(explain.router)
    app.include_router(pages.router)
    app.include_router(console.router)
    problems.install(app)
    app.add_middleware(
        BodyBounds,
        max_bytes=settings.max_body_bytes,
        max_seconds=settings.body_seconds,
        max_bytes_together=settings.max_bodies_bytes,
    )
    app.add_middleware(Gated, gate=gate)
    app.add_middleware(RequestContext, telemetry=telemetry)
    return app


def drain(app: FastAPI) -> None:
    """Say at /health/ready that the process is about to stop; what still comes is answered."""
    app.state.draining = True
    app.state.telemetry.ready.set(0)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    trail: Trail | None = app.state.trail
    if trail is not None:
        trail.start()
    app.state.workers.start()
    app.state.engine.start()
    loading = asyncio.create_task(_load(app))
    yield
    drain(app)
    app.state.shadow.stop()
    await loading
    for threads in (app.state.watcher, app.state.workers, app.state.engine):
        await asyncio.to_thread(threads.stop)
    if trail is not None:
        await asyncio.to_thread(trail.stop)


async def _load(app: FastAPI) -> None:
    def first() -> Registry:
        give_way()  # and so do the threads that a runtime makes for a model's calls
        registry: Registry = app.state.catalogue.refresh()
        app.state.once_loaded()
        return registry

    try:
        registry = await asyncio.to_thread(first)
    except Exception as error:
        # A StoreError is a sentence that says it all; of anything else, the traceback is needed.
        log.critical("cannot start: %s", error, exc_info=None if isinstance(error, StoreError) else error)
        app.state.failed = True
        return
    _switch(app, registry)
    if not app.state.draining:
        app.state.telemetry.ready.set(1)
    app.state.watcher.start(registry)


def _switch(app: FastAPI, registry: Registry) -> None:
    """From now on, requests get their model from this registry. Those in work keep the one that they have."""
    first = app.state.registry is None
    app.state.registry = registry
    roles = registry.roles()
    app.state.telemetry.serving(
        [(role, model.detector.manifest, share) for role, model, share in roles], registry.behind
    )
    settings = app.state.settings
    log.info(
        "ready" if first else "models changed",
        extra={
            "models": [model.name for role, model, _ in roles if role == "stable"],
            "others": [f"{role} {model.name} {share:g}" for role, model, share in roles if role != "stable"],
            "behind": list(registry.behind),
            "runtime": settings.runtime,
            "threads": settings.threads,
        },
    )
