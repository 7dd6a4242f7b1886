"""The routes that look into a clip: POST /explain, and POST /waveform, the clip as the model hears it."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from model_store import occlusion
from service import problems, schemas
from service.access import Caller, needs
from service.asked import AUDIO_PROBLEMS, REQUEST_PROBLEMS, loaded_model
from service.bodies import AUDIO_TYPES, multipart_schema, read_clip
from service.connected import while_connected
from service.explainer import Explainer
from service.registry import Loaded

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **multipart_schema("file", repeated=False),
            **{media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in AUDIO_TYPES},
        },
    }
}

router = APIRouter()


@router.post(
    "/explain",
    dependencies=[Depends(needs("detect"))],
    response_model=schemas.Regions,
    responses=problems.responses(*REQUEST_PROBLEMS, *AUDIO_PROBLEMS),
    openapi_extra=_BODY,
)
async def explain(
    request: Request,
    model: Annotated[Loaded, Depends(loaded_model)],
    channel: Annotated[int | None, Query(ge=0, le=1, description="by default, the one that scores lowest")] = None,
    start_seconds: Annotated[
        float | None,
        Query(
            ge=0,
            allow_inf_nan=False,
            description=f"where in a clip of more than {occlusion.MOST_SECONDS:g} s the explained part begins; by "
            "default, it is around the window that scores lowest",
        ),
    ] = None,
) -> Response:
    """Which regions of time and frequency moved the score of a clip, sent as to /detect.

    Each is made almost silent in turn, and the clip scored again: some 20 windows are scored for each second, and
    count for the client's seconds of audio. It is no decision, and the audit trail has no line of it.
    """
    begun = time.perf_counter()
    data, media_type = await read_clip(request)
    explainer: Explainer = request.app.state.explainer
    work = explainer.explain(data, media_type, model.detector, channel=channel, start_seconds=start_seconds)
    found = await while_connected(request, work)
    manifest = model.detector.manifest
    caller: Caller | None = request.scope["caller"]
    if caller is not None:
        caller.charge(len(found.logits) * manifest.input.window_samples / manifest.input.sample_rate)
    request.scope["log"] |= {"model": manifest.name, "windows": len(found.logits)}
    answer = schemas.Regions(
        request_id=request.scope["request_id"],
        model=schemas.ModelInfo(family=manifest.family, version=manifest.version, sha256=manifest.sha256),
        channel=found.channel,
        times_seconds=[round(edge, 4) for edge in found.grid.times_seconds.tolist()],
        bands_hz=[round(edge, 1) for edge in found.grid.bands_hz.tolist()],
        effects=[[round(effect, 4) for effect in row] for row in found.grid.effects(found.logits).tolist()],
        attenuation_db=occlusion.ATTENUATION_DB,
        windows_scored=len(found.logits),
        milliseconds=round(1e3 * (time.perf_counter() - begun), 3),
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.post(
    "/waveform",
    dependencies=[Depends(needs("detect"))],
    response_class=Response,
    responses=problems.responses(*REQUEST_PROBLEMS, *AUDIO_PROBLEMS)
    | {
        200: {
            "description": "WAV, 16-bit PCM.",
            "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    openapi_extra=_BODY,
)
async def waveform(request: Request, model: Annotated[Loaded, Depends(loaded_model)]) -> Response:
    """The clip as the model hears it, at its sample rate: for players that cannot read what was sent."""
    data, media_type = await read_clip(request)
    explainer: Explainer = request.app.state.explainer
    wav = await while_connected(request, explainer.waveform(data, media_type, model.detector))
    return Response(wav, media_type="audio/wav")
