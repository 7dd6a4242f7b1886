"""What a score came from: POST /explain, and POST /waveform, the clip as the model hears it."""

import asyncio
import io
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, TypeVar

import numpy as np
import soundfile
from fastapi import APIRouter, Depends, Query, Request, Response

from model_store import audio, occlusion
from model_store.detector import Detector, Score
from model_store.occlusion import Occlusion
from service import problems, schemas
from service.access import Caller, needs
from service.admission import Admission, Place
from service.bodies import AUDIO_TYPES, multipart_schema, read_clip
from service.engine import Engine
from service.pipeline import decoded
from service.problems import ProblemError
from service.registry import Loaded
from service.routes import AUDIO_PROBLEMS, REQUEST_PROBLEMS, loaded_model
from service.settings import Settings
from service.workers import Workers

_DEADLINE_SECONDS = 60.0  # on an idle machine it takes a few; how many windows it may cost is bounded besides
_PART_WINDOWS = 64  # silenced at a time: each is as large as a window

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **multipart_schema("file", repeated=False),
            **{media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in AUDIO_TYPES},
        },
    }
}

T = TypeVar("T")
router = APIRouter()


@dataclass(frozen=True, slots=True)
class Explained:
    """A channel, its regions, and the logits of the windows in which they were silenced."""

    channel: int
    grid: Occlusion
    logits: dict[tuple[int, int, int], float]


class Explainer:
    """Explains one clip at a time, behind whoever waits for a verdict."""

    def __init__(self, settings: Settings, admission: Admission, workers: Workers, engine: Engine) -> None:
        self._admission = admission
        self._workers = workers
        self._engine = engine
        self._limits = audio.Limits(max_seconds=settings.max_clip_seconds)
        self._busy = False

    async def waveform(self, data: bytes, media_type: str | None, detector: Detector) -> bytes:
        """The clip as the detector hears it, as a WAV.

        Raises
        ------
        AudioError
            The clip cannot be decoded.
        """
        rate = detector.manifest.input.sample_rate

        def decode() -> bytes:
            return _wav(audio.decode(data, sample_rate=rate, media_type=media_type, limits=self._limits), rate)

        async with self._in_time("decoded"):
            with await self._admission.bulk_place(len(data)) as place:
                return await self._work(decode, place)

    async def explain(
        self,
        data: bytes,
        media_type: str | None,
        detector: Detector,
        *,
        channel: int | None,
        start_seconds: float | None,
    ) -> Explained:
        """Which regions moved the score of a channel; by default, of the one that scores lowest.

        Raises
        ------
        AudioError
            The clip cannot be scored.
        ProblemError
            ``overloaded``: another is being explained; or ``deadline_exceeded``.
        """
        if self._busy:
            raise ProblemError(
                "overloaded", "One clip is explained at a time. Received: one more.", headers={"Retry-After": "2"}
            )
        self._busy = True
        try:
            async with self._in_time("explained"):
                with await self._admission.bulk_place(len(data)) as place:
                    clip, prepared = await self._work(
                        lambda: decoded(data, media_type, detector, channel, self._limits), place
                    )
                    place.lasts(clip.duration_seconds * len(prepared))
                    scored = await self._engine.score(detector, list(prepared.values()), lane="bulk", place=place)
                    scores = dict(zip(prepared, scored.scores, strict=True))
                    which = _lowest(scores)
                    grid = Occlusion(
                        clip.waveforms[which],
                        prepared[which],
                        scores[which],
                        detector.manifest,
                        start_seconds=start_seconds,
                    )
                    return Explained(which, grid, await self._logits(grid, detector, place))
        finally:
            self._busy = False

    async def _logits(self, grid: Occlusion, detector: Detector, place: Place) -> dict[tuple[int, int, int], float]:
        found: dict[tuple[int, int, int], float] = {}
        remaining = grid.variants()
        while part := await self._work(lambda: list(islice(remaining, _PART_WINDOWS)), place):
            scored = await self._engine.score(
                detector, [variant.prepared for variant in part], lane="bulk", place=place
            )
            found |= {variant.place: score.logit for variant, score in zip(part, scored.scores, strict=True)}
        return found

    async def _work(self, function: Callable[[], T], place: Place) -> T:
        return await self._workers.run(function, lane="bulk", place=place, deadline=math.inf)

    @asynccontextmanager
    async def _in_time(self, done: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                yield
        except TimeoutError:
            rule = f"A clip is {done} within {_DEADLINE_SECONDS:g} s of its arrival"
            raise ProblemError("deadline_exceeded", f"{rule}. Received: one that was not.") from None


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
    found = await explainer.explain(
        data, media_type, model.detector, channel=channel, start_seconds=start_seconds
    )
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
    | {200: {"description": "WAV, 16-bit PCM.", "content": {"audio/wav": {}}}},
    openapi_extra=_BODY,
)
async def waveform(request: Request, model: Annotated[Loaded, Depends(loaded_model)]) -> Response:
    """The clip as the model hears it, at its sample rate: for players that cannot read what was sent."""
    data, media_type = await read_clip(request)
    explainer: Explainer = request.app.state.explainer
    return Response(await explainer.waveform(data, media_type, model.detector), media_type="audio/wav")


def _lowest(scores: dict[int, Score]) -> int:
    audible = [which for which, score in scores.items() if "silence" not in score.reasons] or list(scores)
    return min(audible, key=lambda which: scores[which].value)


def _wav(clip: audio.Clip, sample_rate: int) -> bytes:
    buffer = io.BytesIO()
    samples = np.stack([clip.waveforms[which] for which in sorted(clip.waveforms)], axis=1)
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
