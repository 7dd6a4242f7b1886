"""Bonafide speech -> a neural vocoder that has learned for some minutes, with or without adversaries.

References: R. Yamamoto et al., "Parallel WaveGAN", 2020 (arXiv:1910.11480: the loss of several resolutions);
K. Kumar et al., "MelGAN", 2019 (arXiv:1910.06711: the matching of an adversary's features); J. Kong et al., "HiFi-GAN",
2020 (arXiv:2010.05646: the mel loss and the weights of the three).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from tqdm import tqdm

from training.vocoders import adversaries, compiled, generators
from training.vocoders.frames import magnitudes
from training.vocoders.mel import HOP, log_mel_of_tensor
from training.vocoders.methods import Loss, Variant
from training.vocoders.neural import at_level

Waveform = npt.NDArray[np.float32]

_SEGMENT = 32 * HOP
_RESOLUTIONS = (256, 512, 1024)  # samples in a window; a quarter between two
_WEIGHTS: dict[Loss, tuple[float, float]] = {"spectral": (1.0, 2 / 3), "mel": (45.0, 2.0)}  # of distance, each feature
_FLOOR = 1e-5


def fit(
    clips: Sequence[Waveform], variant: Variant, path: Path, *, sample_rate: int, steps: int, seed: int
) -> list[float]:
    """Train a generator and save it at `path`, whole or not at all.

    Parameters
    ----------
    clips : float32 (n,) each
        Bonafide speech.
    steps : int
        Of the variant's batch of segments of 8,192 samples.

    Returns
    -------
    The distance of spectra, or of mel spectra, at each step.

    Raises
    ------
    ValueError
        No clip is as long as a segment.
    """
    long_enough = [at_level(clip) for clip in clips if clip.size >= _SEGMENT]
    if not long_enough:
        raise ValueError(f"A vocoder learns from clips of {_SEGMENT} samples or more. Received: none of {len(clips)}.")
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    generator = generators.build(variant.generator)
    opposing = adversaries.build(variant.adversaries, segment=_SEGMENT)
    optimizer, opponent = _optimizers(variant.loss, steps)
    losses = _Losses(variant.loss, sample_rate)
    learner = compiled.learner(compiled.Contest(generator, opposing, losses, optimizer, opponent))
    history = []
    real = _segments(long_enough, rng, count=variant.batch)
    for number in tqdm(range(steps), desc=path.stem, unit="step", disable=None):
        distance = learner.step(real, opposed=bool(opposing) and number >= int(steps * variant.joins))
        real = _segments(long_enough, rng, count=variant.batch)  # while a GPU is at work on those before
        history.append(float(distance))
    learner.finish()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"new-{path.name}")
    generator.save(temporary)
    temporary.replace(path)
    return history


@dataclass(frozen=True, slots=True)
class _Losses:
    """Adversaries by least squares; the generator by them, their features and a distance of spectra."""

    kind: Loss
    sample_rate: int

    def hear(self, real: Any) -> Any:
        return log_mel_of_tensor(real, sample_rate=self.sample_rate)

    def of_generator(self, real: Any, made: Any, judges: Sequence[compiled.Judge]) -> tuple[Any, Any]:
        if self.kind == "mel":
            distance = ops.mean(ops.abs(self.hear(real) - self.hear(made)))
        else:
            distance = spectral_loss(real, made)
        of_distance, of_feature = _WEIGHTS[self.kind]
        loss, half = of_distance * distance, real.shape[0]
        for judge in judges:
            *features, verdict = judge(ops.concatenate([real, made]))
            loss += ops.mean(ops.square(1 - verdict[half:]))
            for x in features:
                loss += of_feature * ops.mean(ops.abs(ops.stop_gradient(x[:half]) - x[half:]))
        return loss, distance

    def of_adversaries(self, real: Any, made: Any, judges: Sequence[compiled.Judge]) -> Any:
        loss, half = ops.zeros(()), real.shape[0]
        for judge in judges:
            *_, verdict = judge(ops.concatenate([real, made]))
            loss += ops.mean(ops.square(1 - verdict[:half])) + ops.mean(ops.square(verdict[half:]))
        return loss


def spectral_loss(real: Any, made: Any) -> Any:
    """Distances of magnitudes, relative and logarithmic, at several resolutions: (batch, n) twice -> ()."""
    total = 0.0
    for size in _RESOLUTIONS:
        a, b = (magnitudes(samples, size=size, hop=size // 4, floor=_FLOOR) for samples in (real, made))
        total += _norm(a - b) / _norm(a) + ops.mean(ops.abs(ops.log(a) - ops.log(b)))
    return total / len(_RESOLUTIONS)


def _norm(x: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(x)))


def _optimizers(loss: Loss, steps: int) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
    """The generator's and the adversaries'."""
    if loss == "mel":
        rates = (keras.optimizers.schedules.CosineDecay(4e-4, steps, alpha=0.05) for _ in range(2))
        first, second = (keras.optimizers.AdamW(r, weight_decay=0.01, beta_1=0.8, beta_2=0.99) for r in rates)
        return first, second
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.05)
    first, second = (keras.optimizers.Adam(r, beta_1=0.8, clipnorm=1.0) for r in (rate, 3e-4))
    return first, second


def _segments(clips: Sequence[Waveform], rng: np.random.Generator, *, count: int) -> Waveform:
    """Draw so many segments, float32 (count, segment), each from any clip."""
    drawn = []
    for index in rng.integers(len(clips), size=count):
        first = rng.integers(clips[index].size - _SEGMENT + 1)
        drawn.append(clips[index][first : first + _SEGMENT])
    return np.stack(drawn)
