"""One clip's way: bytes -> decode -> queue -> score -> verdict -> answer."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from model_store import audio
from model_store.detector import Detector, Prepared, Score
from model_store.manifest import OperatingPointName
from service import schemas
from service.access import Caller
from service.audit import Trail, decision_of
from service.engine import Engine
from service.problems import ProblemError
from service.settings import Settings
from service.telemetry import Telemetry

_GRAVITY = {"spoof": 2, "inconclusive": 1, "bonafide": 0}


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks for, besides its audio."""

    channel: int | None
    operating_point: OperatingPointName
    threshold: float | None
    explain: bool


class Pipeline:
    """The stages, and the threads that decode."""

    def __init__(self, settings: Settings, telemetry: Telemetry, engine: Engine, trail: Trail | None) -> None:
        self._telemetry = telemetry
        self._engine = engine
        self._trail = trail
        self._limits = audio.Limits(max_seconds=settings.max_clip_seconds)
        self._deadline_seconds = settings.deadline_seconds
        self._decoders = ThreadPoolExecutor(settings.threads, thread_name_prefix="decode")

    async def detect(
        self,
        data: bytes,
        media_type: str | None,
        detector: Detector,
        options: Options,
        *,
        request_id: str,
        caller: Caller | None = None,
    ) -> schemas.DetectResult:
        """Answer for one clip.

        Raises
        ------
        AudioError
            The clip cannot be scored.
        ProblemError
            ``overloaded``, ``deadline_exceeded`` or ``audit_unavailable``.
        """
        with self._engine.admitted():
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    result, signed = await self._detect(data, media_type, detector, options, request_id=request_id)
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
        self, data: bytes, media_type: str | None, detector: Detector, options: Options, *, request_id: str
    ) -> tuple[schemas.DetectResult, str]:
        arrived = time.perf_counter()
        clip, prepared, signed, decode_seconds = await asyncio.get_running_loop().run_in_executor(
            self._decoders, self._prepare, data, media_type, detector, options.channel
        )
        scored = await self._engine.score(detector, list(prepared.values()))
        queue_seconds = time.perf_counter() - arrived - decode_seconds - scored.infer_seconds
        self._telemetry.stages.labels("queue").observe(queue_seconds)
        timing = schemas.Timing(
            decode=round(1e3 * decode_seconds, 3),
            queue=round(1e3 * queue_seconds, 3),
            infer=round(1e3 * scored.infer_seconds, 3),
        )
        scores = dict(zip(prepared, scored.scores, strict=True))
        return _answer(clip, scores, detector, options, timing, request_id=request_id), signed

    def _prepare(
        self, data: bytes, media_type: str | None, detector: Detector, channel: int | None
    ) -> tuple[audio.Clip, dict[int, Prepared], str, float]:
        begun = time.perf_counter()
        clip = audio.decode(
            data,
            sample_rate=detector.manifest.input.sample_rate,
            channel=channel,
            media_type=media_type,
            limits=self._limits,
        )
        prepared = {
            which: detector.prepare(waveform, coded=clip.coded, clipped_fraction=clip.clipped_fractions[which])
            for which, waveform in clip.waveforms.items()
        }
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


def _answer(
    clip: audio.Clip,
    scores: dict[int, Score],
    detector: Detector,
    options: Options,
    timing: schemas.Timing,
    *,
    request_id: str,
) -> schemas.DetectResult:
    manifest = detector.manifest
    point = _operating_point(detector, options)
    results = [_channel(which, score, threshold=point.threshold) for which, score in scores.items()]
    deciding = _deciding(results)
    return schemas.DetectResult(
        request_id=request_id,
        verdict=deciding.verdict,
        reasons=deciding.reasons,
        score=deciding.score,
        bonafide=deciding.bonafide,
        spoof=deciding.spoof,
        operating_point=point,
        segments=deciding.segments,
        audio=schemas.AudioInfo(
            format=clip.format,
            sample_rate_hz=clip.sample_rate,
            channels=clip.channels,
            channel=deciding.channel,
            channel_class=deciding.channel_class,
            duration_seconds=round(clip.duration_seconds, 4),
            speech_seconds=deciding.speech_seconds,
            bandwidth_hz=deciding.bandwidth_hz,
        ),
        model=schemas.ModelInfo(family=manifest.family, version=manifest.version, sha256=manifest.sha256),
        timing_ms=timing,
        channels=results if len(results) > 1 else [],
        explanation=_explanation(detector, scores[deciding.channel]) if options.explain else None,
    )


def _operating_point(detector: Detector, options: Options) -> schemas.AppliedOperatingPoint:
    if options.threshold is not None:
        return schemas.AppliedOperatingPoint(
            name="custom",
            threshold=options.threshold,
            false_accept_rate=None,
            false_accept_interval=None,
            false_reject_rate=None,
            false_reject_interval=None,
            measured_on=None,
        )
    point = detector.manifest.output.operating_points[options.operating_point]
    return schemas.AppliedOperatingPoint(name=options.operating_point, **point.model_dump())


def _channel(which: int, score: Score, *, threshold: float) -> schemas.ChannelResult:
    return schemas.ChannelResult(
        channel=which,
        verdict=score.verdict(threshold=threshold),
        reasons=list(score.reasons),
        score=score.value,
        bonafide=score.bonafide,
        spoof=1 - score.bonafide,
        segments=[
            schemas.SegmentScore(
                start_seconds=round(segment.start_seconds, 4),
                end_seconds=round(segment.end_seconds, 4),
                score=segment.score,
            )
            for segment in score.segments
        ],
        channel_class=score.channel_class,
        speech_seconds=round(score.speech_seconds, 3),
        bandwidth_hz=round(score.bandwidth_hz, 1),
    )


def _deciding(results: list[schemas.ChannelResult]) -> schemas.ChannelResult:
    """The gravest channel that is not silent; of equal ones, the one that scores lowest."""
    audible = [result for result in results if "silence" not in result.reasons] or results
    return max(audible, key=lambda result: (_GRAVITY[result.verdict], -result.score))


def _explanation(detector: Detector, score: Score) -> schemas.Explanation:
    calibration = detector.manifest.output.calibration[score.channel_class]
    return schemas.Explanation(
        logit=score.logit,
        calibration_slope=calibration.slope,
        calibration_intercept=calibration.intercept,
        level_dbfs=round(score.level_dbfs, 2) if score.level_dbfs > float("-inf") else None,
        windows=[
            schemas.WindowDetail(
                start_seconds=round(segment.start_seconds, 4),
                end_seconds=round(segment.end_seconds, 4),
                score=segment.score,
                logit=segment.logit,
                speech_seconds=round(segment.speech_seconds, 3),
            )
            for segment in score.segments
        ],
    )
