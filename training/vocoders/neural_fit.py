"""Bonafide speech -> a neural vocoder that has learned for some minutes, with or without an adversary.

References: R. Yamamoto et al., "Parallel WaveGAN", 2020 (arXiv:1910.11480: the loss of several resolutions);
K. Kumar et al., "MelGAN", 2019 (arXiv:1910.06711: the adversary on samples and the matching of its features).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers
from tqdm import tqdm

from training.vocoders.methods import Variant
from training.vocoders.neural import HOP, at_level, build, log_mel, waveforms

Waveform = npt.NDArray[np.float32]

_SEGMENT = 32 * HOP
_BATCH = 8
_RESOLUTIONS = (256, 512, 1024)  # samples in a window; a quarter between two
_FEATURE_WEIGHT = 2.0
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
        Of 8 segments of 8,192 samples; an adversary joins after half of them.

    Returns
    -------
    The spectral loss of each step.

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
    generator = build(variant.generator)
    adversaries = [_on_samples(), _on_spectra()]
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps, alpha=0.05)
    optimizer, opponent = (keras.optimizers.Adam(r, beta_1=0.8, clipnorm=1.0) for r in (rate, 3e-4))
    step = _step(generator, adversaries, optimizer, opponent)
    history = []
    for number in tqdm(range(steps), desc=path.stem, unit="step", disable=None):
        real = _segments(long_enough, rng)
        mel = log_mel(real, sample_rate=sample_rate)
        opposed = variant.adversarial and number >= steps // 2
        history.append(float(step(tf.constant(real), tf.constant(mel), opposed)))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"new-{path.name}")
    generator.save(temporary)
    temporary.replace(path)
    return history


def spectral_loss(real: Any, made: Any) -> Any:
    """Distances of magnitudes, relative and logarithmic, at several resolutions: (batch, n) twice -> ()."""
    total = 0.0
    for size in _RESOLUTIONS:
        a, b = (_magnitude(samples, size) for samples in (real, made))
        total += tf.norm(a - b) / tf.norm(a) + tf.reduce_mean(tf.abs(tf.math.log(a) - tf.math.log(b)))
    return total / len(_RESOLUTIONS)


def _step(
    generator: keras.Model,
    adversaries: Sequence[keras.Model],
    optimizer: keras.optimizers.Optimizer,
    opponent: keras.optimizers.Optimizer,
) -> Any:
    """One step of learning, compiled: (real samples, log mel, whether opposed) -> the spectral loss."""
    judged = [weight for adversary in adversaries for weight in adversary.trainable_variables]
    optimizer.build(generator.trainable_variables)
    opponent.build(judged)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(real: Any, mel: Any, opposed: bool) -> Any:
        with tf.GradientTape(persistent=True) as tape:
            made = waveforms(generator, mel)
            spectral = spectral_loss(real, made)
            loss, verdict = spectral, 0.0
            if opposed:
                for adversary in adversaries:
                    *_, of_copy = adversary(tf.stop_gradient(made))
                    *features, of_real = adversary(real)
                    *imitated, of_made = adversary(made)
                    verdict += tf.reduce_mean(tf.square(1 - of_real)) + tf.reduce_mean(tf.square(of_copy))
                    loss += tf.reduce_mean(tf.square(1 - of_made))
                    for a, b in zip(features, imitated, strict=True):
                        distance = tf.reduce_mean(tf.abs(tf.stop_gradient(a) - b))
                        loss += _FEATURE_WEIGHT / len(features) * distance
        weights = generator.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        if opposed:
            opponent.apply(tape.gradient(verdict, judged), judged)
        return spectral

    return step


def _on_samples() -> keras.Model:
    """An adversary that hears samples: (batch, n) -> its features, then its verdicts."""
    samples = keras.Input((_SEGMENT,))
    x, features = layers.Reshape((_SEGMENT, 1))(samples), []
    for width, stride in ((16, 4), (32, 4), (64, 4)):
        x = layers.LeakyReLU(0.2)(layers.Conv1D(width, 4 * stride + 1, strides=stride, padding="same")(x))
        features.append(x)
    return keras.Model(samples, [*features, layers.Conv1D(1, 3, padding="same")(x)])


def _on_spectra() -> keras.Model:
    """An adversary that sees logarithmic magnitudes: (batch, n) -> its features, then its verdicts."""
    samples = keras.Input((_SEGMENT,))
    magnitude = layers.Lambda(lambda x: tf.math.log(_magnitude(x, 512))[..., tf.newaxis], (61, 257, 1))(samples)
    x, features = magnitude, []
    for width in (16, 32, 32):
        x = layers.LeakyReLU(0.2)(layers.Conv2D(width, (3, 5), strides=(1, 3), padding="same")(x))
        features.append(x)
    return keras.Model(samples, [*features, layers.Conv2D(1, 3, padding="same")(x)])


def _magnitude(samples: Any, size: int) -> Any:
    return tf.sqrt(tf.square(tf.abs(tf.signal.stft(samples, size, size // 4))) + _FLOOR)


def _segments(clips: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
    """Draw so many segments, float32 (batch, segment), each from any clip."""
    drawn = []
    for index in rng.integers(len(clips), size=_BATCH):
        first = rng.integers(clips[index].size - _SEGMENT + 1)
        drawn.append(clips[index][first : first + _SEGMENT])
    return np.stack(drawn)
