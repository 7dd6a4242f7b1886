"""The HTTP contract's routes: thin handlers over the pipeline and the registry."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from model_store.manifest import OperatingPointName
from service import problems, schemas
from service.bodies import AUDIO_TYPES, multipart_schema, read_clip, read_clips
from service.pipeline import Options, Pipeline
from service.problems import ProblemError
from service.registry import Loaded, Registry
from service.telemetry import log

NDJSON = "application/x-ndjson"
_BATCH_IN_FLIGHT = 16  # clips of one batch at work at a time, so that other callers' clips get between them
_AUDIO_PROBLEMS = (
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
_REQUEST_PROBLEMS = (
    "malformed_request",
    "unknown_model",
    "body_too_large",
    "invalid_parameter",
    "overloaded",
    "internal_error",
    "not_ready",
    "deadline_exceeded",
)

router = APIRouter()


def ready_registry(request: Request) -> Registry:
    """What is loaded, or a 503."""
    registry: Registry | None = request.app.state.registry
    if registry is None or request.app.state.draining:
        raise ProblemError("not_ready", "Requests are taken when /health/ready says so.", headers={"Retry-After": "1"})
    return registry


def loaded_model(
    registry: Annotated[Registry, Depends(ready_registry)],
    model: Annotated[
        str | None, Query(description="family or family@version; see /models", examples=["simple_cnn@1"])
    ] = None,
) -> Loaded:
    """The model that a request names."""
    return registry.get(model)


def options(
    request: Request,
    channel: Annotated[
        Literal["0", "1", "each"],
        Query(description="channels are never mixed; each is scored unless one is named"),
    ] = "each",
    operating_point: Annotated[
        OperatingPointName | None, Query(description="which threshold makes the verdict; see /models")
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
    response_model=schemas.DetectResult,
    responses=problems.responses(*_REQUEST_PROBLEMS, *_AUDIO_PROBLEMS),
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
    wanted: Annotated[Options, Depends(options)],
) -> Response:
    """Score one clip: the multipart field `file`, or the audio itself as the body."""
    data, media_type = await read_clip(request)
    pipeline: Pipeline = request.app.state.pipeline
    result = await pipeline.detect(data, media_type, model.detector, wanted, request_id=request.scope["request_id"])
    request.scope["log"] |= {"verdict": result.verdict, "model": model.detector.manifest.name}
    return Response(result.model_dump_json(), media_type="application/json")


@router.post(
    "/batch",
    response_model=schemas.BatchResult,
    responses=problems.responses(*_REQUEST_PROBLEMS)
    | {
        200: {
            "description": "The results in the order sent; with `Accept: application/x-ndjson` each as it is ready.",
            "content": {NDJSON: {"schema": {"$ref": "#/components/schemas/BatchItem"}}},
        }
    },
    openapi_extra={"requestBody": {"required": True, "content": multipart_schema("files", repeated=True)}},
)
async def batch(
    request: Request,
    model: Annotated[Loaded, Depends(loaded_model)],
    wanted: Annotated[Options, Depends(options)],
) -> Response:
    """Score many clips: the multipart field `files`, repeated. A clip that fails does not fail the others."""
    state, request_id = request.app.state, request.scope["request_id"]
    clips = await read_clips(request, most=state.settings.max_batch_clips)
    request.scope["log"] |= {"clips": len(clips), "model": model.detector.manifest.name}
    turns = asyncio.Semaphore(_BATCH_IN_FLIGHT)

    async def one(index: int) -> schemas.BatchItem:
        async with turns:
            try:
                data, media_type = clips[index]
                result = await state.pipeline.detect(data, media_type, model.detector, wanted, request_id=request_id)
                return schemas.BatchItem(index=index, result=result, problem=None)
            except Exception as error:
                problem = problems.of(error, request_id=request_id)
                state.telemetry.errors.labels(problem.code).inc()
                if problem.status >= 500:
                    log.error("problem", extra={"request_id": request_id, "code": problem.code}, exc_info=error)
                return schemas.BatchItem(index=index, result=None, problem=problem)
            finally:
                clips[index] = (b"", None)

    tasks = [asyncio.create_task(one(index)) for index in range(len(clips))]
    if NDJSON in request.headers.get("accept", ""):
        return StreamingResponse(_lines(tasks), media_type=NDJSON)
    results = await asyncio.gather(*tasks)
    body = schemas.BatchResult(request_id=request_id, results=results)
    return Response(body.model_dump_json(), media_type="application/json")


async def _lines(tasks: list[asyncio.Task[schemas.BatchItem]]) -> AsyncIterator[str]:
    try:
        for done in asyncio.as_completed(tasks):
            yield (await done).model_dump_json() + "\n"
    finally:
        for task in tasks:  # the client is gone: what has not been scored need not be
            task.cancel()


@router.get("/models", responses=problems.responses("not_ready"))
async def models(registry: Annotated[Registry, Depends(ready_registry)]) -> schemas.ModelList:
    """What is loaded; the default first."""
    found = []
    for place, item in enumerate(registry.all()):
        manifest = item.detector.manifest
        found.append(
            schemas.LoadedModel(
                family=manifest.family,
                version=manifest.version,
                sha256=manifest.sha256,
                created=manifest.created,
                default=place == 0,
                sample_rate_hz=manifest.input.sample_rate,
                window_seconds=manifest.input.window_samples / manifest.input.sample_rate,
                operating_points=dict(manifest.output.operating_points),
                metrics=manifest.metrics,
            )
        )
    return schemas.ModelList(models=found)


@router.get(
    "/models/{family}/versions/{version}",
    responses=problems.responses("unknown_model", "not_ready", "invalid_parameter"),
)
async def model_version(
    family: str, version: int, registry: Annotated[Registry, Depends(ready_registry)]
) -> schemas.ModelDetail:
    """A loaded model's manifest and card."""
    item = registry.get(f"{family}@{version}")
    return schemas.ModelDetail(manifest=item.detector.manifest, card=item.card)


@router.get("/health/live")
async def live() -> schemas.Health:
    """The process runs and answers."""
    return schemas.Health(status="alive")


@router.get("/health/ready", dependencies=[Depends(ready_registry)], responses=problems.responses("not_ready"))
async def ready() -> schemas.Health:
    """The models are loaded and warm, and requests are taken."""
    return schemas.Health(status="ready")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """Metrics, for Prometheus to scrape."""
    return Response(generate_latest(request.app.state.telemetry.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """To the API's own pages."""
    return RedirectResponse("docs")
