"""One configuration: what a training run needs to know, and what the manifest keeps of it, whole.

A file gives what differs from the defaults, as JSON (``--config``); ``--set fit.epochs=3`` overrides one value.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from model_store.manifest import FamilyName, Pooling
from training.channels import TRAINING_CODECS, named
from training.rawboost import Kind

T = TypeVar("T", bound=BaseModel)
Probability = Annotated[float, Field(ge=0, le=1)]

_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # what Keras takes for a layer, and no "/"
_LAYERS = ("waveform", "fusion", "logit")  # of the artifact's model, beside its branches


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputConfig(_Part):
    """What the model hears."""

    sample_rate: PositiveInt = Field(default=16_000, description="Hz")
    window_seconds: PositiveFloat = 2.0
    hop_seconds: PositiveFloat = 2.0

    @property
    def window_samples(self) -> int:
        return round(self.window_seconds * self.sample_rate)

    @property
    def hop_samples(self) -> int:
        return round(self.hop_seconds * self.sample_rate)


class FrontEndConfig(_Part):
    """How a branch looks at it: a short-time spectrum, in bands, in nats."""

    kind: str = Field(default="log_mel", description="one of training/front_ends.py")
    bands: PositiveInt = 80
    coefficients: PositiveInt = Field(default=20, description="of lfcc")
    lags: tuple[PositiveInt, ...] = Field(default=(1, 2, 3, 4, 6, 8), min_length=1, description="of correlation: bins")
    rates_hz: tuple[PositiveFloat, ...] = Field(
        default=(
            25, 40, 46.875, 50, 60, 62.5, 75, 80, 22_050 / 256, 93.75, 100, 120, 125, 22_050 / 128, 187.5, 200,
            22_050 / 32, 750,
        ),
        min_length=1,
        description="of frame_lines: at which synthesisers and codecs make frames, or parts of one, and the mains hum",
    )  # fmt: skip
    clocks_ppm: tuple[float, ...] = Field(
        default=(0, -300, -200, -100, 100, 200, 300),
        min_length=1,
        description="of frame_lines: how far a clock may be off by which it was played and recorded, in millionths",
    )
    moved: tuple[tuple[PositiveFloat, tuple[PositiveInt, ...]], ...] = Field(
        default=(
            (22_050 / 96, (3, 6, 9, 12, 24, 48)),
            (200, (2, 3, 4, 6, 8, 12, 16, 24)),
            (250, (2, 3, 4, 6, 8, 12, 16, 24, 32, 48)),
        ),
        min_length=1,
        description="of layer_images: bins so many Hz apart, and by how many of them upsampling moves an image",
    )
    frame_seconds: PositiveFloat = 0.025
    step_seconds: PositiveFloat = 0.010
    fft_samples: PositiveInt = 512
    min_hz: float = 20.0
    max_hz: float = 7_800.0
    normalise: Literal["clip", "band", "local"] = Field(
        default="clip", description="mean removed: one for the window, one for each band, or that of what is around"
    )
    around: tuple[PositiveInt, PositiveInt] = Field(
        default=(9, 9), description="frames and bands around each point whose mean is removed, where it is local"
    )
    floor_decibels: float = Field(
        default=50.0,
        gt=0,
        le=90,
        description="below the window's power, where a band's logarithm begins to bend: 50 is about the noise of G.711",
    )

    @field_validator("around")
    @classmethod
    def _has_a_middle(cls, sides: tuple[int, int]) -> tuple[int, int]:
        if not all(side % 2 for side in sides):
            raise ValueError(f"What is around a point is as wide on either side of it: odd. Received: {sides}.")
        return sides

    @property
    def floor(self) -> float:
        """What is added to a band's power, where white noise as strong as the window has 1."""
        return 10 ** (-self.floor_decibels / 10)


class BranchConfig(_Part):
    """A network of its own, with its own view of the window; an artifact fuses the logits of one or several."""

    family: str = Field(default="simple_cnn", description="one of training/families.py")
    options: dict[str, Any] = Field(default={}, description="keyword arguments of the family")
    front_end: FrontEndConfig = FrontEndConfig()
    bounds: tuple[float, float] | None = Field(
        default=None,
        description="of its logit, once it has learned: what a branch does not hear need not be evidence, and no few "
        "hundred clips support a certainty",
    )

    @field_validator("bounds")
    @classmethod
    def _have_room_between(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds and bounds[0] >= bounds[1]:
            raise ValueError(f"Bounds are a lower and a higher one. Received: {bounds}.")
        return bounds


class AugmentConfig(_Part):
    """Probabilities of each change to a training window, drawn alike for both classes; in the order they are made."""

    speed: Probability = Field(default=0.0, description="played up to 10 % slower or faster, the pitch with it")
    reverb: Probability = Field(default=0.0, description="a small room: 0.1 to 0.5 s of reverberation, 0 to 20 dB down")
    filter: Probability = Field(default=0.0, description="a smooth random frequency response, ±12 dB at most")
    noise: Probability = Field(default=0.0, description="coloured noise at 10 to 40 dB SNR")
    hum: Probability = Field(default=0.0, description="lines of the mains, 20 to 55 dB below the speech")
    rawboost: Probability = Field(default=0.0, description="RawBoost's noise, of the kind below")
    rawboost_kind: Kind = Field(default="1+2", description="kinds of training/rawboost.py: + in series, | in parallel")
    level: Probability = Field(default=0.0, description="a peak of -40 to 0 dB of full scale, in 16 bits")
    clip: Probability = Field(default=0.0, description="peaks cut or bent by 1 to 12 dB")
    resample: Probability = Field(default=0.0, description="to a rate of 8 to 32 kHz and back, well or crudely")
    band_limit: Probability = Field(default=0.0, description="300 to 3,400 Hz, up to 4 kHz, or up to 7 kHz")
    narrowband: Probability = Field(default=0.0, description="to 8 kHz and back, half of them through G.711")
    codec: Probability = Field(default=0.0, description="through one of `codecs`, at a random level")
    codecs: tuple[str, ...] = Field(
        default=TRAINING_CODECS, min_length=1, description="names of training/channels.py, each as likely"
    )
    packet_loss: Probability = Field(default=0.0, description="1 to 15 % of packets lost, half of them concealed")

    @field_validator("codecs")
    @classmethod
    def _exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            named(name)
        return names


class FitConfig(_Part):
    """How it learns."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    epochs: PositiveInt = 60
    epoch_windows: int | None = Field(default=None, gt=0, description="default: twice the clips of the smaller class")
    batch_size: int = Field(default=64, ge=4)
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: PositiveFloat = 2e-3
    weight_decay: NonNegativeFloat = 1e-3
    loss: str = Field(default="cross_entropy", description="one of training/losses.py")
    label_smoothing: Probability = 0.02
    averaging: float = Field(
        default=0.1, ge=0, lt=1, description="share of all steps that the average of the weights reaches back over"
    )
    balance: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="draw corpora and attacks by their size to this power: 0 all alike, 1 as they are",
    )
    pairs: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="of a batch, bonafide clips with a copy made of each, where there are copies",
    )
    not_speech: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="of the spoofs without a pair, those that nobody spoke: made, or of a corpus, attack not_speech",
    )
    not_speech_codec: Probability = Field(
        default=0.0, description="of those signals, that one goes through a codec, if it is more than `augment` has"
    )
    mixup: float = Field(default=0.0, ge=0, le=1, description="of the windows, those mixed with another")
    distillation: float = Field(
        default=0.5, ge=0, le=1, description="of a spoken window's label, what teachers say of it, where there are any"
    )
    mixed_precision: bool = Field(
        default=False,
        description="networks learn in bfloat16 on a GPU or a CPU with AMX; front ends, heads and losses in float32",
    )
    mask: float = Field(default=0.0, ge=0, lt=1, description="widest share of bands, and of frames, hidden at a time")


class Config(_Part):
    """Everything that decides what a run makes, but the corpora."""

    name: FamilyName = Field(default="simple_cnn", description="the family in the store that its artifact belongs to")
    branches: dict[str, BranchConfig] = Field(default={"main": BranchConfig()}, min_length=1)
    fusion: Literal["fitted", "mean"] | dict[str, NonNegativeFloat] = Field(
        default="fitted", description="weights of the branches: fitted on dev, all alike, or that of each"
    )
    parts: tuple[dict[str, Any], ...] = Field(
        default=(), description="whole configurations of the runs that its branches come from, where there are several"
    )
    shares: tuple[float, ...] = Field(
        default=(),
        description="of each of the parts, where its weights are their mean and not branches beside branches",
    )
    start: str | None = Field(default=None, description="SHA-256 of the learner whose weights it began with")
    teachers: tuple[str, ...] = Field(default=(), description="SHA-256 of each model that it learned from")
    input: InputConfig = InputConfig()
    pooling: Pooling = Field(default="speech_weighted_mean", description="of a clip's windows, when it is served")
    augment: AugmentConfig = AugmentConfig()
    fit: FitConfig = FitConfig()

    @field_validator("branches")
    @classmethod
    def _can_be_named(cls, branches: dict[str, BranchConfig]) -> dict[str, BranchConfig]:
        for name in branches:
            if name in _LAYERS or not _BRANCH.fullmatch(name):
                rule = f"A branch is named {_BRANCH.pattern}, and not {', '.join(_LAYERS)}"
                raise ValueError(f"{rule}. Received: {name!r}.")
        return branches

    @model_validator(mode="after")
    def _weighs_its_branches(self) -> Self:
        if isinstance(self.fusion, dict) and self.fusion.keys() != self.branches.keys():
            has = ", ".join(self.branches)
            raise ValueError(f"Weights are of all branches, {has}. Received: of {', '.join(self.fusion) or 'none'}.")
        return self


def load(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file and apply ``key.sub_key=value`` overrides, the values in JSON or as text.

    Raises
    ------
    ValueError
        An override without ``=``; a file that is no JSON object; a key that does not exist, or a value that it cannot
        have: each is named.
    """
    data = read_object(path, what="A configuration") if path else {}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"An override reads key.sub_key=value. Received: {text!r}.")
        try:
            override(data, name, json.loads(value))
        except json.JSONDecodeError:
            override(data, name, value)
    return validated(Config, data, what="A configuration")


def validated(kind: type[T], data: Any, *, what: str) -> T:
    """Data as what they are to be, or a ValueError that names each key and each value that `what` cannot have."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}: {e['input']!r}" for e in error.errors())
        raise ValueError(f"{what} has keys and values of its table. Received: {faults}.") from None


def override(data: dict[str, Any], name: str, value: Any) -> None:
    """Set ``key.sub_key`` of a configuration's data, in place."""
    *parents, leaf = name.split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise ValueError(f"What is set is a key, or one within another. Received: {name}, and {parent} is a value.")
    data[leaf] = value


def read_object(path: Path, *, what: str) -> dict[str, Any]:
    """The JSON object of a file, or a ValueError that says which of them, `what`, is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{what} is JSON. Received: {path}: {error}.") from None
    if not isinstance(data, dict):
        raise ValueError(f"{what} is a JSON object. Received: {path}, which is a {type(data).__name__}.")
    return data
