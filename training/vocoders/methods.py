"""The table of methods. A new one is one more row, at the end: attacks are named by their place."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from training.vocoders import codecs, combs, conversion, source_filter, spectra, units, world

Waveform = npt.NDArray[np.float32]
Generator = Literal["istft", "upsampling", "vocos", "hifigan"]
Adversaries = Literal["none", "small", "large"]
Loss = Literal["spectral", "mel"]


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
    "filtering": conversion.filtered,
    "comb": combs.combed,
}

LINES_ALONE = "comb"  # leaves nothing that a network on bands could learn from


@dataclass(frozen=True, slots=True)
class Variant:
    """A neural vocoder: its generator, and how it learns and is used."""

    generator: Generator
    adversaries: Adversaries = "none"
    joins: float = 0.5  # after this share of the steps they do
    loss: Loss = "spectral"  # beside the adversaries'
    batch: int = 8  # segments in a step
    frames: int = 1  # a spectrogram's length is a multiple of so many
    smoothed: bool = False  # half of the copies are of smoothed spectrograms


# Methods that have to be trained first (`neural_fit.fit`).
NEURAL: dict[str, Variant] = {
    "neural_istft": Variant("istft"),
    "neural_istft_gan": Variant("istft", "small"),
    "neural_upsampling": Variant("upsampling"),
    "neural_upsampling_gan": Variant("upsampling", "small"),
    "neural_hifigan": Variant("hifigan", "large", joins=0.0, loss="mel", batch=32, frames=64, smoothed=True),
    "neural_vocos": Variant("vocos", "large", joins=0.0, loss="mel", batch=32, frames=64, smoothed=True),
}
