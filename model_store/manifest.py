"""manifest.json: what an artifact is. Nothing else in the project knows the file's keys."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from model_store.channel_class import CHANNEL_CLASSES, ChannelClass

# The whole string, and nothing like "1\n": pydantic's patterns are Rust's, whose $ is the end of the text.
FamilyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1)]
OpenRate = Annotated[float, Field(gt=0, lt=1)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]

Interval = Annotated[list[Rate], Field(min_length=2, max_length=2, description="95 %: low, high")]

Pooling = Literal["speech_weighted_mean", "speech_weighted_soft_minimum"]  # of windows.POOLINGS
OperatingPointName = Literal["low_friction", "balanced", "high_security"]
MODEL_FILE = "model.keras"
ONNX_FILE = "model.onnx"
CARD_FILE = "card.md"
MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "manifest.sig"


METRICS = (
    "figures at publishing, by corpus, partition and channel. `det_curve`, where it is among them, has "
    "`false_accept_rate` and `false_reject_rate` over clips as the threshold rises, points to be joined by lines on "
    "normal deviate scales, and `operating_points`, the place of each one's rates in the two lists"
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class Input(_Part):
    """The waveform that the model takes."""

    sample_rate: int = Field(gt=0, description="Hz")
    window_samples: int = Field(gt=0)
    hop_samples: int = Field(gt=0)
    fill: Literal["repeat"] = Field(description="how a clip shorter than a window is brought to its length")
    trim_below_db: PositiveFloat | None = Field(
        description="silence this far below a clip's loud samples is cut from its ends, and the mean is removed; "
        "null: neither"
    )


class Calibration(_Part):
    """logit -> score, a log-likelihood ratio (natural logarithm): ``score = slope * logit + intercept``.

    There is one for each class of channel that a clip may have come through.
    """

    slope: PositiveFloat
    intercept: FiniteFloat
    fitted_on: str


class OperatingPoint(_Part):
    """A threshold on the score and the errors that it made where it was measured.

    A score at or above the threshold is called bonafide. A false accept is a spoof called bonafide. Each attack counts
    the same among false accepts, however many clips it has, and each speaker among false rejects. The intervals are
    for as many *other* attacks, and *other* speakers, of the kind that they were measured on.
    """

    threshold: FiniteFloat
    false_accept_rate: Rate
    false_accept_interval: Interval
    false_reject_rate: Rate
    false_reject_interval: Interval
    measured_on: str

    @model_validator(mode="after")
    def _ordered(self) -> "OperatingPoint":
        for interval in (self.false_accept_interval, self.false_reject_interval):
            if interval != sorted(interval):
                raise ValueError(f"An interval is its low end and its high one. Received: {interval}.")
        return self


class DetCurve(_Part):
    """Both error rates over clips as the threshold rises, thinned: a DET curve (Martin et al. 1997).

    Lines between the points on normal deviate scales are the curve, to within 0.5 % of either rate where 80 points
    can say it. No rate is 0 or 1: those have no place on such scales.
    """

    false_accept_rate: list[OpenRate] = Field(min_length=2, description="never rises")
    false_reject_rate: list[OpenRate] = Field(min_length=2, description="of the same thresholds; never falls")
    operating_points: dict[OperatingPointName, int] = Field(description="the place of each one's rates in the lists")

    @model_validator(mode="after")
    def _monotone(self) -> "DetCurve":
        accept, reject = self.false_accept_rate, self.false_reject_rate
        if len(accept) != len(reject):
            raise ValueError(f"A threshold has two error rates. Received: {len(accept)} and {len(reject)} of them.")
        if accept != sorted(accept, reverse=True) or reject != sorted(reject):
            raise ValueError("As a threshold rises, false accepts fall and false rejects rise. Received: others.")
        if not all(0 <= place < len(accept) for place in self.operating_points.values()):
            raise ValueError(f"An operating point is one of {len(accept)}. Received: {self.operating_points}.")
        return self


class Policy(_Part):
    """When there is not enough to say: the verdict is then inconclusive, whatever the score."""

    min_speech_seconds: float = Field(ge=0)
    max_clipped_fraction: Rate = Field(description="of the samples of a clip, as sent, in flat tops")
    min_bandwidth_hz: float = Field(ge=0, description="99.9 % of the energy of the speech lies below")


class Output(_Part):
    """From the logits of windows to a verdict."""

    convention: Literal["higher is bonafide"]
    pooling: Pooling
    calibration: dict[ChannelClass, Calibration]
    operating_points: dict[OperatingPointName, OperatingPoint]
    policy: Policy

    @model_validator(mode="after")
    def _complete(self) -> "Output":
        names = {"low_friction", "balanced", "high_security"}
        if set(self.operating_points) != names:
            raise ValueError(f"The operating points are {sorted(names)}. Received: {sorted(self.operating_points)}.")
        if set(self.calibration) != set(CHANNEL_CLASSES):
            raise ValueError(f"Calibrated are {sorted(CHANNEL_CLASSES)}. Received: {sorted(self.calibration)}.")
        thresholds = [self.operating_points[n].threshold for n in ("low_friction", "balanced", "high_security")]
        if thresholds != sorted(thresholds):
            raise ValueError(f"Thresholds rise from low_friction to high_security. Received: {thresholds}.")
        return self


class Probe(_Part):
    """A waveform made from a seed, and the logit of its first window at publishing."""

    seed: int = Field(ge=0)
    logit: FiniteFloat
    tolerance: PositiveFloat


class Corpus(_Part):
    """What a model was made from. The protocols' hashes say it to the utterance."""

    name: str
    licence: str
    protocols: dict[str, Sha256]


class Manifest(_Part):
    """The whole of manifest.json, written once, last, and never edited."""

    schema_version: Literal[2]
    family: FamilyName
    version: int = Field(ge=1, lt=10**9)
    created: datetime
    commit: str = Field(description="of the code that trained it, or 'unknown'")
    keras: str
    tensorflow: str
    files: dict[str, Sha256]
    input: Input
    output: Output
    probe: Probe
    data: list[Corpus]
    training: dict[str, Any] = Field(description="the whole configuration")
    metrics: dict[str, Any] = Field(description=METRICS)

    @model_validator(mode="after")
    def _files_named(self) -> "Manifest":
        if set(self.files) - {ONNX_FILE} != {MODEL_FILE, CARD_FILE}:
            raise ValueError(
                f"The files are {MODEL_FILE}, {CARD_FILE} and, if there is one, {ONNX_FILE}. "
                f"Received: {sorted(self.files)}."
            )
        return self

    @model_validator(mode="after")
    def _curves_whole(self) -> "Manifest":
        for curve in _curves(self.metrics):
            DetCurve.model_validate(curve)
        return self

    @property
    def name(self) -> str:
        """``family@version``, as `model=` and the store's commands take it."""
        return f"{self.family}@{self.version}"

    @property
    def sha256(self) -> str:
        """The hash of the Keras model's file: the identity of what gave a score, in whichever runtime."""
        return self.files[MODEL_FILE]


def _curves(figures: object) -> Iterator[object]:
    """Whatever is called `det_curve`, however deep."""
    if isinstance(figures, dict):
        for name, value in figures.items():
            if name == "det_curve":
                yield value
            else:
                yield from _curves(value)
