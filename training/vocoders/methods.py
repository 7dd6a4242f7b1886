"""The table of methods. A new one is one more row, at the end: attacks are named by their place."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from training.vocoders import codecs, source_filter, spectra, units, world

Waveform = npt.NDArray[np.float32]
Generator = Literal["istft", "upsampling"]


class Method(Protocol):
    """Makes a clip's speech again, at `sample_rate` Hz, with settings drawn from `rng`: float32 (n,) -> (about n,)."""

    def __call__(self, waveform: Waveform, /, *, sample_rate: int, rng: np.random.Generator) -> Waveform: ...


METHODS: dict[str, Method] = {
    "world": world.plain,
    "world_pitch": world.repitched,
    "world_formants": world.reshaped,
    "world_statistical": world.statistical,
    "griffin_lim": spectra.from_linear,
    "griffin_lim_mel": spectra.from_mel,
    "phase": spectra.rephased,
    "blur": spectra.blurred,
    "lpc": source_filter.lpc,
    "lpc_codec": source_filter.lpc_codec,
    "sinusoidal": source_filter.sinusoidal,
    "transform_codec": codecs.transform_codec,
    "upsampling": codecs.upsampled,
    "concatenation": units.concatenated,
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A neural vocoder: its generator, and whether an adversary helps to train it."""

    generator: Generator
    adversarial: bool


# Methods that have to be trained first (`neural_fit.fit`).
NEURAL: dict[str, Variant] = {
    "neural_istft": Variant("istft", adversarial=False),
    "neural_istft_gan": Variant("istft", adversarial=True),
    "neural_upsampling": Variant("upsampling", adversarial=False),
    "neural_upsampling_gan": Variant("upsampling", adversarial=True),
}
