"""What goes over the wire. Names and meaning are the contract: fields are added, never changed."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from model_store.channel_class import ChannelClass
from model_store.detector import Reason, Verdict
from model_store.manifest import METRICS, Interval, Manifest, OperatingPoint
from service.problems import Problem

# Finite: JSON has no other numbers, and pydantic would write null.
Score = Annotated[
    FiniteFloat, Field(description="calibrated log-likelihood ratio, natural logarithm: above 0 speaks for bonafide")
]


_CHANNEL_CLASS = (
    "which calibration made the score: coded by its format, else narrowband with nothing above 4 kHz, else wideband"
)


class _Wire(BaseModel):
    model_config = ConfigDict(protected_namespaces=(), frozen=True)


class AppliedOperatingPoint(_Wire):
    """The threshold that made the verdict, and the errors that were measured at it."""

    name: str = Field(description="low_friction, balanced, high_security; or custom for a threshold of the request")
    threshold: float = Field(description="a score at or above it is called bonafide")
    false_accept_rate: float | None = Field(
        description="spoofs called bonafide, each attack counting the same; null for custom"
    )
    false_accept_interval: Interval | None = Field(
        description="where it lies, in 95 of 100 cases, for as many other attacks: low, high; null for custom"
    )
    false_reject_rate: float | None = Field(
        description="bonafide speech called spoof, each speaker counting the same; null for custom"
    )
    false_reject_interval: Interval | None = Field(
        description="where it lies, in 95 of 100 cases, for as many other speakers: low, high; null for custom"
    )
    measured_on: str | None = Field(description="the clips that the rates were measured on; null for custom")


class SegmentScore(_Wire):
    """A window of the clip."""

    start_seconds: float
    end_seconds: float
    score: Score


class ChannelResult(_Wire):
    """One channel's answer."""

    channel: int
    verdict: Verdict
    reasons: list[Reason]
    score: Score
    bonafide: float = Field(description="posterior at equal priors")
    spoof: float = Field(description="posterior at equal priors; the two sum to 1")
    segments: list[SegmentScore]
    channel_class: ChannelClass = Field(description=_CHANNEL_CLASS)
    speech_seconds: float
    bandwidth_hz: float = Field(description="99.9 % of the energy lies below")


class AudioInfo(_Wire):
    """The clip as it was sent."""

    format: str = Field(description="container and codec")
    sample_rate_hz: int
    channels: int
    channel: int = Field(description="the one that the verdict is of")
    channel_class: ChannelClass = Field(description=_CHANNEL_CLASS)
    duration_seconds: float
    speech_seconds: float
    bandwidth_hz: float


class ModelInfo(_Wire):
    """The artifact that gave the score."""

    family: str
    version: int
    sha256: str


class Timing(_Wire):
    """Milliseconds."""

    decode: float
    queue: float
    infer: float


class WindowDetail(SegmentScore):
    """A window, with what its score came from."""

    logit: float
    speech_seconds: float = Field(description="its weight in the clip's logit, in frames of 32 ms")


class Explanation(_Wire):
    """How the score came about, for the channel that the verdict is of."""

    logit: float = Field(description="the windows' logits, by the manifest's `pooling`")
    calibration_slope: float = Field(description="of the clip's class of channel")
    calibration_intercept: float = Field(description="score = slope * logit + intercept")
    level_dbfs: float | None = Field(description="RMS; null for digital silence")
    windows: list[WindowDetail]


class DetectResult(_Wire):
    """The answer for one clip.

    Of a clip with several channels, the fields outside `channels` are of the one that decides: spoof comes before
    inconclusive before bonafide, and a silent channel decides only when all are silent.
    """

    request_id: str
    verdict: Verdict
    reasons: list[Reason] = Field(description="why the verdict is inconclusive; empty otherwise")
    score: Score
    bonafide: float = Field(description="posterior at equal priors")
    spoof: float = Field(description="posterior at equal priors; the two sum to 1")
    operating_point: AppliedOperatingPoint
    segments: list[SegmentScore]
    audio: AudioInfo
    model: ModelInfo
    timing_ms: Timing
    channels: list[ChannelResult] = Field(description="each channel, if more than one was scored; else empty")
    explanation: Explanation | None = Field(description="with explain=true; else null")


class BatchItem(_Wire):
    """One clip of a batch: a result or a problem."""

    index: int = Field(description="place in the batch as sent, from 0")
    result: DetectResult | None
    problem: Problem | None


class BatchResult(_Wire):
    """The answers of a batch, in the order sent."""

    request_id: str
    results: list[BatchItem]


class Regions(_Wire):
    """What each region of time and frequency did to a channel's score."""

    request_id: str
    model: ModelInfo
    channel: int
    times_seconds: list[float] = Field(description="m + 1 edges, in the clip as it came")
    bands_hz: list[float] = Field(description="n + 1 edges")
    effects: list[list[FiniteFloat]] = Field(
        description="n rows of m: the score less what it is without the region. Below 0, the region spoke for spoof. "
        "Regions lean on each other: effects do not add up to the score"
    )
    attenuation_db: float = Field(description="how much quieter a region was made, to be without it")
    windows_scored: int
    milliseconds: float


class LoadedModel(_Wire):
    """A model that requests may name."""

    family: str
    version: int
    sha256: str
    created: datetime
    default: bool = Field(description="whether a request without model= gets this one")
    role: Literal["stable", "canary", "shadow"] = Field(
        description="what its family means; what a share of requests gets instead; what is scored and answers none"
    )
    share: float = Field(description="of the requests for its family")
    sample_rate_hz: int
    window_seconds: float
    operating_points: dict[str, OperatingPoint]
    metrics: dict[str, Any] = Field(description=METRICS)


StoreState = Annotated[
    Literal["current", "stale"],
    Field(description="stale: the store asks for what cannot be loaded, and what was there before serves on"),
]


class ModelList(_Wire):
    """What is loaded."""

    models: list[LoadedModel]
    store: StoreState
    behind: list[str] = Field(description="what the store asks for and cannot be loaded")


class ModelDetail(_Wire):
    """A loaded model, whole."""

    manifest: Manifest
    card: str = Field(description="Markdown")


class Health(_Wire):
    """The service's word on itself."""

    status: str


class Readiness(Health):
    """Whether requests are taken, and whether by what the store asks for."""

    store: StoreState
