"""The HTTP contract's routes: thin handlers over the pipeline and the registry."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from model_store.manifest import OperatingPointName
from service import problems, schemas
from service.access import ACCESS_PROBLEMS, needs
from service.answers import Options
from service.bodies import AUDIO_TYPES, multipart_schema, read_clip, read_clips
from service.document import examples
from service.pipeline import Pipeline
from service.problems import ProblemError
from service.registry import Loaded, Registry

NDJSON = "application/x-ndjson"
_BATCH_IN_FLIGHT = 16  # clips of one batch that ask for a place at a time: batches take turns
AUDIO_PROBLEMS = (
    "unsupported_format",
    "empty_audio",
    "too_short",
    "too_long",
    "non_finite_samples",
    "sample_rate_out_of_range",
    "too_many_channels",
    "no_such_channel",
    "undecodable",
)
REQUEST_PROBLEMS = (
    *ACCESS_PROBLEMS,
    "rate_limited",
    "overloaded",
    "malformed_request",
    "unknown_model",
    "body_too_large",
    "invalid_parameter",
    "not_ready",
    "audit_unavailable",
    "deadline_exceeded",
)

T = TypeVar("T")
router = APIRouter()


# Coroutines, though nothing is awaited: FastAPI would hand plain functions to a thread, each request anew.
async def loaded_registry(request: Request) -> Registry:
    """What is loaded, or a 503."""
    registry: Registry | None = request.app.state.registry
    if registry is None:
        raise _not_ready()
    return registry


async def loaded_model(
    request: Request,
    registry: Annotated[Registry, Depends(loaded_registry)],
    model: Annotated[
        str | None,
        Query(
            description="family, of which a canary may answer a share; family@version, family@stable or family@canary, "
            "of those in /models; by default the first of all"
        ),
    ] = None,
) -> Loaded:
    """The model that a request names."""
    return registry.get(model, request_id=request.scope["request_id"])


async def shadow_model(
    request: Request,
    registry: Annotated[Registry, Depends(loaded_registry)],
    model: Annotated[Loaded, Depends(loaded_model)],
) -> Loaded | None:
    """The model that is to score the request in silence besides, if any."""
    return registry.shadow_of(model, request_id=request.scope["request_id"])


async def options(
    request: Request,
    channel: Annotated[
        Literal["0", "1", "each"],
        Query(description="channels are never mixed; each is scored unless one is named"),
    ] = "each",
    operating_point: Annotated[
        OperatingPointName | None,
        Query(description="which threshold makes the verdict; see /models for their error rates"),
    ] = None,
    threshold: Annotated[
        float | None,
        Query(allow_inf_nan=False, description="a threshold on the score, instead of an operating point"),
    ] = None,
    explain: Annotated[bool, Query(description="also tell how the score came about")] = False,
) -> Options:
    """What a request asks for."""
    if operating_point is not None and threshold is not None:
        raise ProblemError("invalid_parameter", "A request names operating_point or threshold. Received: both.")
    return Options(
        channel=None if channel == "each" else int(channel),
        operating_point=operating_point or request.app.state.settings.operating_point,
        threshold=threshold,
        explain=explain,
    )


@router.post(
    "/detect",
    dependencies=[Depends(needs("detect"))],
    response_model=schemas.DetectResult,
    responses=problems.responses(*REQUEST_PROBLEMS, *AUDIO_PROBLEMS) | examples("telephone", "silence", "two_channels"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                **multipart_schema("file", repeated=False),
                **{media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in AUDIO_TYPES},
            },
        }
    },
)
async def detect(
    request: Request,
    model: Annotated[Loaded, Depends(loaded_model)],
    shadow: Annotated[Loaded | None, Depends(shadow_model)],
    wanted: Annotated[Options, Depends(options)],
) -> Response:
    """Score one clip: the multipart field `file`, or the audio itself as the body."""
    data, media_type = await read_clip(request)
    pipeline: Pipeline = request.app.state.pipeline
    work = pipeline.detect(
        data,
        media_type,
        model.detector,
        wanted,
        request_id=request.scope["request_id"],
        caller=request.scope["caller"],
        reservation=request.scope.get("reservation"),
    )
    result = await _while_connected(request, work)
    request.scope["log"] |= {"verdict": result.verdict, "model": model.name}
    if shadow is not None:
        request.app.state.shadow.offer(data, media_type, shadow, wanted, result)
    return Response(result.model_dump_json(), media_type="application/json")


@router.post(
    "/batch",
    dependencies=[Depends(needs("batch"))],
    response_model=schemas.BatchResult,
    responses=problems.responses(*REQUEST_PROBLEMS)
    | examples("batch", content={NDJSON: {"schema": {"$ref": "#/components/schemas/BatchItem"}}}),
    openapi_extra={"requestBody": {"required": True, "content": multipart_schema("files", repeated=True)}},
)
async def batch(
    request: Request,
    model: Annotated[Loaded, Depends(loaded_model)],
    shadow: Annotated[Loaded | None, Depends(shadow_model)],
    wanted: Annotated[Options, Depends(options)],
) -> Response:
    """Score many clips: the multipart field `files`, repeated. A clip that fails does not fail the others.

    The results are in the order sent; with `Accept: application/x-ndjson`, a line for each as soon as it is ready.
    """
    state, request_id = request.app.state, request.scope["request_id"]
    state.admission.check_batches()
    clips = await read_clips(request, most=state.settings.max_batch_clips)
    request.scope["log"] |= {"clips": len(clips), "model": model.name}
    turns = asyncio.Semaphore(_BATCH_IN_FLIGHT)

    async def one(index: int) -> str:
        async with turns:
            data, media_type = clips[index]
            clips[index] = (b"", None)  # once scored, it need not be kept for the others
            try:
                result = await state.pipeline.detect(
                    data,
                    media_type,
                    model.detector,
                    wanted,
                    request_id=request_id,
                    caller=request.scope["caller"],
                    lane="bulk",
                )
                if shadow is not None:
                    state.shadow.offer(data, media_type, shadow, wanted, result)
                item = schemas.BatchItem(index=index, result=result, problem=None)
            except Exception as error:
                problem = problems.report(error, request_id=request_id, telemetry=state.telemetry)
                item = schemas.BatchItem(index=index, result=None, problem=problem)
            return item.model_dump_json()  # each by itself: all at once would hold other requests up

    in_work = state.admission.batch()
    if NDJSON in request.headers.get("accept", ""):
        return _BatchStream(_lines(one, len(clips)), in_work)
    with in_work:
        items = await _while_connected(request, _all(map(one, range(len(clips)))))
    body = f'{{"request_id":"{request_id}","results":[{",".join(items)}]}}'  # a schemas.BatchResult
    return Response(body, media_type="application/json")


@router.get("/models", dependencies=[Depends(needs(None))], responses=problems.responses("not_ready", *ACCESS_PROBLEMS))
async def models(registry: Annotated[Registry, Depends(loaded_registry)]) -> schemas.ModelList:
    """What is loaded; the default first."""
    found = []
    for place, (role, item, share) in enumerate(registry.roles()):
        manifest = item.detector.manifest
        found.append(
            schemas.LoadedModel(
                family=manifest.family,
                version=manifest.version,
                sha256=manifest.sha256,
                created=manifest.created,
                default=place == 0,
                role=role,
                share=share,
                sample_rate_hz=manifest.input.sample_rate,
                window_seconds=manifest.input.window_samples / manifest.input.sample_rate,
                operating_points=dict(manifest.output.operating_points),
                metrics=manifest.metrics,
            )
        )
    return schemas.ModelList(models=found, store=_store_state(registry), behind=list(registry.behind))


@router.get(
    "/models/{family}/versions/{version}",
    dependencies=[Depends(needs(None))],
    responses=problems.responses("unknown_model", "not_ready", "invalid_parameter", *ACCESS_PROBLEMS),
)
async def model_version(
    family: str,
    version: Annotated[int, Path(ge=1)],
    registry: Annotated[Registry, Depends(loaded_registry)],
) -> schemas.ModelDetail:
    """A loaded model's manifest and card."""
    item = registry.get(f"{family}@{version}")
    return schemas.ModelDetail(manifest=item.detector.manifest, card=item.card)


@router.get("/health/live")
async def live() -> schemas.Health:
    """The process runs and answers."""
    return schemas.Health(status="alive")


@router.get("/health/ready", responses=problems.responses("not_ready"))
async def ready(request: Request, registry: Annotated[Registry, Depends(loaded_registry)]) -> schemas.Readiness:
    """The models are loaded and warm, and the process is not about to stop.

    While it drains, requests are still answered: a balancer that asks here has the time to send them elsewhere.
    """
    if request.app.state.draining:
        raise _not_ready()
    return schemas.Readiness(status="ready", store=_store_state(registry))


@router.get(
    "/metrics",
    dependencies=[Depends(needs("metrics"))],
    response_class=Response,
    responses=problems.responses(*ACCESS_PROBLEMS)
    | {200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """Metrics, for Prometheus to scrape."""
    return Response(generate_latest(request.app.state.telemetry.registry), media_type=CONTENT_TYPE_LATEST)


def _store_state(registry: Registry) -> Literal["current", "stale"]:
    return "stale" if registry.behind else "current"


def _not_ready() -> ProblemError:
    return ProblemError(
        "not_ready",
        "/health/ready says when the service is. Received: a request before that, or while it drains.",
        headers={"Retry-After": "1"},
    )


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """Do `work` for a request whose body has been read, and give it up when the client does."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _all(work: Iterable[Awaitable[T]]) -> list[T]:
    return await asyncio.gather(*work)


async def _lines(one: Callable[[int], Coroutine[Any, Any, str]], count: int) -> AsyncIterator[str]:
    tasks = [asyncio.create_task(one(index)) for index in range(count)]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done + "\n"
    finally:
        for task in tasks:  # the client is gone: what has not been scored need not be
            task.cancel()


class _BatchStream(StreamingResponse):
    """A batch's lines, and its place among batches until the last of them."""

    def __init__(self, lines: AsyncIterator[str], in_work: AbstractContextManager[None]) -> None:
        super().__init__(lines, media_type=NDJSON)
        self.in_work = in_work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.in_work:
            await super().__call__(scope, receive, send)
