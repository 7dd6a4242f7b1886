"""One clip's way: bytes -> place -> decode -> score -> verdict -> answer."""

import asyncio
import math
import time

from model_store import audio, decoders
from model_store.detector import Detector, Prepared
from service import schemas
from service.access import Caller
from service.admission import Admission, Place
from service.answers import Options, answer
from service.audit import Trail, decision_of
from service.engine import Engine
from service.gate import Reservation
from service.lanes import Lane
from service.problems import ProblemError
from service.settings import Settings
from service.telemetry import Telemetry
from service.workers import Workers

_BRIEF_SAMPLES = 2**17  # of plain audio: decoded and measured in 1 ms where they are speech at 16 kHz, in 4 ms at worst


class Pipeline:
    """The stages."""

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        *,
        admission: Admission,
        workers: Workers,
        engine: Engine,
        trail: Trail | None,
    ) -> None:
        self._telemetry = telemetry
        self._admission = admission
        self._workers = workers
        self._engine = engine
        self._trail = trail
        self._limits = audio.Limits(max_seconds=settings.max_clip_seconds)
        self._deadline_seconds = settings.deadline_seconds

    async def detect(
        self,
        data: bytes,
        media_type: str | None,
        detector: Detector,
        options: Options,
        *,
        request_id: str,
        caller: Caller | None = None,
        lane: Lane = "single",
        reservation: Reservation | None = None,
    ) -> schemas.DetectResult:
        """Answer for one clip.

        Parameters
        ----------
        lane : bulk for a batch's clip, which waits for its place
        reservation : of the place that was kept for a single clip while it came in

        Raises
        ------
        AudioError
            The clip cannot be scored.
        ProblemError
            ``overloaded``, ``deadline_exceeded`` or ``audit_unavailable``.
        """
        place = reservation.claim() if reservation is not None else None
        if place is None and lane == "bulk":
            place = await self._admission.bulk_place(len(data))
        with place or self._admission.place(len(data)) as held:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    result, signed = await self._detect(
                        data, media_type, detector, options, place=held, request_id=request_id
                    )
            except TimeoutError:
                rule = f"A clip is scored within {self._deadline_seconds:g} s of its arrival"
                raise ProblemError("deadline_exceeded", f"{rule}. Received: one that was not.") from None
        if self._trail is not None:
            key = caller.key.id if caller is not None else None
            self._trail.record(decision_of(result, key=key, asked_channel=options.channel, audio=signed))
        self._count(result)
        if caller is not None:
            caller.charge(result.audio.duration_seconds)
        return result

    async def _detect(
        self,
        data: bytes,
        media_type: str | None,
        detector: Detector,
        options: Options,
        *,
        place: Place,
        request_id: str,
    ) -> tuple[schemas.DetectResult, str]:
        arrived = time.perf_counter()
        deadline = time.monotonic() + self._deadline_seconds
        clip, prepared, signed, decode_seconds = await self._workers.run(
            lambda: self._prepare(data, media_type, detector, options.channel, place),
            lane=place.lane,
            place=place,
            deadline=deadline,
            brief=(decoders.plain_samples(data, media_type) or math.inf) <= _BRIEF_SAMPLES,
        )
        scored = await self._engine.score(
            detector, list(prepared.values()), lane=place.lane, place=place, deadline=deadline
        )
        place.scored = True
        # Calls side by side, of a long clip, took less than their sum.
        queue_seconds = max(0.0, time.perf_counter() - arrived - decode_seconds - scored.infer_seconds)
        self._telemetry.stages.labels("queue").observe(queue_seconds)
        timing = schemas.Timing(
            decode=round(1e3 * decode_seconds, 3),
            queue=round(1e3 * queue_seconds, 3),
            infer=round(1e3 * scored.infer_seconds, 3),
        )
        scores = dict(zip(prepared, scored.scores, strict=True))
        return answer(clip, scores, detector, options, timing, request_id=request_id), signed

    def _prepare(
        self, data: bytes, media_type: str | None, detector: Detector, channel: int | None, place: Place
    ) -> tuple[audio.Clip, dict[int, Prepared], str, float]:
        begun = time.perf_counter()
        clip, prepared = decoded(data, media_type, detector, channel, self._limits)
        place.lasts(clip.duration_seconds * len(prepared))
        signed = self._trail.key.of_audio(data) if self._trail is not None else ""
        seconds = time.perf_counter() - begun
        self._telemetry.stages.labels("decode").observe(seconds)
        return clip, prepared, signed, seconds

    def _count(self, result: schemas.DetectResult) -> None:
        labels = (result.model.family, str(result.model.version))
        self._telemetry.verdicts.labels(*labels, result.verdict).inc()
        self._telemetry.audio.labels(*labels).inc(result.audio.duration_seconds)
        for reason in result.reasons:
            self._telemetry.reasons.labels(reason).inc()


def decoded(
    data: bytes, media_type: str | None, detector: Detector, channel: int | None, limits: audio.Limits
) -> tuple[audio.Clip, dict[int, Prepared]]:
    """A clip as a detector takes it: what was sent, and each channel asked for, prepared."""
    clip = audio.decode(
        data,
        sample_rate=detector.manifest.input.sample_rate,
        channel=channel,
        media_type=media_type,
        limits=limits,
    )
    return clip, {
        which: detector.prepare(waveform, coded=clip.coded, clipped_fraction=clip.clipped_fractions[which])
        for which, waveform in clip.waveforms.items()
    }
