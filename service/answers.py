"""Scores -> the answer: verdicts at an operating point, the channel that decides, what is told besides."""

from dataclasses import dataclass

from model_store import audio
from model_store.detector import Detector, Score
from model_store.manifest import OperatingPointName
from service import schemas

_GRAVITY = {"spoof": 2, "inconclusive": 1, "bonafide": 0}


@dataclass(frozen=True, slots=True)
class Options:
    """What a request asks for, besides its audio."""

    channel: int | None
    operating_point: OperatingPointName
    threshold: float | None
    explain: bool


def answer(
    clip: audio.Clip,
    scores: dict[int, Score],
    detector: Detector,
    options: Options,
    timing: schemas.Timing,
    *,
    request_id: str,
) -> schemas.DetectResult:
    """The answer for a clip, from the scores of its channels."""
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
