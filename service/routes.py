"""The routes that score: POST /detect and POST /batch, thin handlers over the pipeline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractContextManager
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service import problems, schemas
from service.access import needs
from service.asked import AUDIO_PROBLEMS, REQUEST_PROBLEMS, Asked, asked
from service.bodies import AUDIO_TYPES, multipart_schema, read_clip, read_clips
from service.connected import while_connected
from service.document import examples
from service.pipeline import Pipeline

NDJSON = "application/x-ndjson"
_BATCH_IN_FLIGHT = 4  # clips of one batch that ask for a place at a time, for each thread: batches take turns

T = TypeVar("T")
router = APIRouter()


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
async def detect(request: Request, wanted: Annotated[Asked, Depends(asked)]) -> Response:
    """Score one clip: the multipart field `file`, or the audio itself as the body."""
    data, media_type = await read_clip(request)
    pipeline: Pipeline = request.app.state.pipeline
    work = pipeline.detect(
        data,
        media_type,
        wanted.model.detector,
        wanted.options,
        request_id=request.scope["request_id"],
        caller=request.scope["caller"],
        reservation=request.scope.get("reservation"),
    )
    result = await while_connected(request, work)
    request.scope["log"] |= {"verdict": result.verdict, "model": wanted.model.name}
    if wanted.shadow is not None:
        request.app.state.shadow.offer(data, media_type, wanted.shadow, wanted.options, result)
    return Response(result.model_dump_json(), media_type="application/json")


@router.post(
    "/batch",
    dependencies=[Depends(needs("batch"))],
    response_model=schemas.BatchResult,
    responses=problems.responses(*REQUEST_PROBLEMS)
    | examples("batch", content={NDJSON: {"schema": {"$ref": "#/components/schemas/BatchItem"}}}),
    openapi_extra={"requestBody": {"required": True, "content": multipart_schema("files", repeated=True)}},
)
async def batch(request: Request, wanted: Annotated[Asked, Depends(asked)]) -> Response:
    """Score many clips: the multipart field `files`, repeated. A clip that fails does not fail the others.

    The results are in the order sent; with `Accept: application/x-ndjson`, a line for each as soon as it is ready.
    """
    state, request_id = request.app.state, request.scope["request_id"]
    state.admission.check_batches()
    clips = await read_clips(request, most=state.settings.max_batch_clips)
    request.scope["log"] |= {"clips": len(clips), "model": wanted.model.name}
    turns = asyncio.Semaphore(_BATCH_IN_FLIGHT * state.settings.threads)

    async def one(index: int) -> str:
        async with turns:
            data, media_type = clips[index]
            clips[index] = (b"", None)  # once scored, it need not be kept for the others
            try:
                result = await state.pipeline.detect(
                    data,
                    media_type,
                    wanted.model.detector,
                    wanted.options,
                    request_id=request_id,
                    caller=request.scope["caller"],
                    lane="bulk",
                )
                if wanted.shadow is not None:
                    state.shadow.offer(data, media_type, wanted.shadow, wanted.options, result)
                item = schemas.BatchItem(index=index, result=result, problem=None)
            except Exception as error:
                problem = problems.report(error, request_id=request_id, telemetry=state.telemetry)
                item = schemas.BatchItem(index=index, result=None, problem=problem)
            return item.model_dump_json()  # each by itself: all at once would hold other requests up

    in_work = state.admission.batch()
    if NDJSON in request.headers.get("accept", ""):
        return _BatchStream(_lines(one, len(clips)), in_work)
    with in_work:
        items = await while_connected(request, _all(map(one, range(len(clips)))))
    body = f'{{"request_id":"{request_id}","results":[{",".join(items)}]}}'  # a schemas.BatchResult
    return Response(body, media_type="application/json")


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
