"""create_app: settings -> the application, wired."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from model_store.errors import StoreError
from service import problems
from service.engine import Engine
from service.middleware import BodyLimit, RequestContext
from service.pipeline import Pipeline
from service.registry import Registry
from service.routes import router
from service.settings import Settings
from service.telemetry import Telemetry, log

VERSION = "0.1.0"
_DESCRIPTION = (
    "Tells a person's voice from a synthetic or converted one. Send a few seconds of one caller's speech; "
    "branch on `verdict`, keep the rest for your audit. A `score` above 0 speaks for bonafide. Errors are "
    "problem+json with a stable `code`."
)


def create_app(settings: Settings) -> FastAPI:
    """The application. It answers as soon as it starts, and is ready when its models are loaded and warm.

    A configured model that cannot be believed ends the process: `app.state.failed` is set, and the signal that
    asks a server to stop is raised.
    """
    app = FastAPIOffline(
        title="Bonafide", version=VERSION, description=_DESCRIPTION, lifespan=_lifespan, redoc_url=None
    )
    telemetry = Telemetry()
    engine = Engine(telemetry, max_clips=settings.max_queue_clips)
    app.state.settings = settings
    app.state.telemetry = telemetry
    app.state.engine = engine
    app.state.pipeline = Pipeline(settings, telemetry, engine)
    app.state.registry = None
    app.state.draining = False
    app.state.failed = False
    app.include_router(router)
    problems.install(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(RequestContext, telemetry=telemetry)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.engine.start()
    loading = asyncio.create_task(_load(app))
    yield
    app.state.telemetry.ready.set(0)
    await loading
    await asyncio.to_thread(app.state.engine.stop)


async def _load(app: FastAPI) -> None:
    try:
        app.state.registry = await asyncio.to_thread(Registry.load, app.state.settings, app.state.telemetry)
    except StoreError as error:
        log.critical("cannot start: %s", error)
        app.state.failed = True
        signal.raise_signal(signal.SIGTERM)
        return
    app.state.telemetry.ready.set(1)
    names = [item.detector.manifest.name for item in app.state.registry.all()]
    log.info("ready", extra={"models": names, "threads": app.state.settings.threads})
