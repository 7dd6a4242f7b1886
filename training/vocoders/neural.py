"""Small neural vocoders: a log mel spectrogram -> the waveform, by two kinds of generator.

``istft`` predicts magnitudes and phases of short frames (H. Siuzdak, "Vocos", 2023, arXiv:2306.00814), ``upsampling``
stretches frames to samples by transposed convolutions (J. Kong et al., "HiFi-GAN", 2020, arXiv:2010.05646). They are a
hundredth of the size of either, and learn for minutes: what they leave in speech counts, not how it sounds.
"""

from functools import cache
from pathlib import Path
from typing import Any

import keras
import librosa
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers

from training.vocoders.methods import Generator

Waveform = npt.NDArray[np.float32]

HOP = 256
BANDS = 80
_FFT = 1024
_LEVEL = 0.1  # RMS of what the generators hear and make
_FLOOR = 1e-5  # of a mel band, as HiFi-GAN has it
_STRIDES = (8, 8, 4)  # their product is the hop
_MOST_LOG_MAGNITUDE = 6.0


def log_mel(waveforms: Waveform, *, sample_rate: int) -> npt.NDArray[np.float32]:
    """Natural logarithms of mel magnitudes: float32 (..., n), n a multiple of the hop, -> (..., n / hop, bands)."""
    edge = (_FFT - HOP) // 2
    padded = np.pad(waveforms, [(0, 0)] * (waveforms.ndim - 1) + [(edge, edge)], mode="reflect")
    magnitude = np.abs(librosa.stft(padded, n_fft=_FFT, hop_length=HOP, center=False))
    mel = _filterbank(sample_rate) @ magnitude
    return np.asarray(np.swapaxes(np.log(np.maximum(mel, _FLOOR)), -1, -2), np.float32)


def at_level(waveform: Waveform) -> Waveform:
    """At the level that the generators know; silence stays silence."""
    return np.asarray(waveform * (_LEVEL / (np.sqrt(np.mean(np.square(waveform))) + 1e-9)), np.float32)


def build(generator: Generator, *, channels: int = 128) -> keras.Model:
    """A generator, log mel (batch, frames, bands) -> what `waveforms` makes samples of."""
    mel = keras.Input((None, BANDS))
    x = layers.Conv1D(channels, 7, padding="same")(mel)
    head = _spectrum if generator == "istft" else _samples
    return keras.Model(mel, head(x, channels), name=generator)


def waveforms(model: keras.Model, mel: Any) -> Any:
    """Run a generator: log mel (batch, frames, bands) -> samples (batch, frames * hop), both tensors of float32."""
    made = model(mel)
    if model.name == "upsampling":
        return tf.reshape(made, (tf.shape(mel)[0], -1))
    log_magnitude, phase = tf.split(made, 2, axis=-1)
    magnitude = tf.exp(tf.minimum(log_magnitude, _MOST_LOG_MAGNITUDE))
    spectrum = tf.complex(magnitude * tf.cos(phase), magnitude * tf.sin(phase))
    window = tf.signal.inverse_stft_window_fn(HOP)
    samples = tf.signal.inverse_stft(spectrum, _FFT, HOP, window_fn=window)
    edge = (_FFT - HOP) // 2
    return samples[:, edge:-edge]


def resynthesise(waveform: Waveform, *, sample_rate: int, rng: np.random.Generator, model: Path) -> Waveform:
    """A method, of the generator that is saved at `model`. It has nothing to draw but the place of the first frame."""
    before = 2 * HOP + int(rng.integers(HOP))
    after = 2 * HOP + -(before + waveform.size) % HOP
    padded = np.pad(at_level(waveform), (before, after), mode="reflect")
    mel = log_mel(padded[np.newaxis], sample_rate=sample_rate)
    made = waveforms(_load(model), tf.constant(mel)).numpy()[0]
    return np.asarray(made[before : before + waveform.size], np.float32)


def _spectrum(x: keras.KerasTensor, channels: int, blocks: int = 4) -> keras.KerasTensor:
    """ConvNeXt blocks at the frames' rate, then a logarithmic magnitude and a phase for each bin."""
    for _ in range(blocks):
        y = layers.DepthwiseConv1D(7, padding="same")(x)
        y = layers.LayerNormalization()(y)
        y = layers.Dense(3 * channels, activation="gelu")(y)
        x = x + layers.Dense(channels)(y)
    return layers.Dense(_FFT + 2)(layers.LayerNormalization()(x))


def _samples(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    """Transposed convolutions, each with two residual convolutions: half the channels for every stride."""
    for number, stride in enumerate(_STRIDES, start=1):
        width = channels // 2**number
        x = layers.Conv1DTranspose(width, 2 * stride, strides=stride, padding="same")(layers.LeakyReLU(0.1)(x))
        for kernel in (3, 7):
            x = x + layers.Conv1D(width, kernel, padding="same")(layers.LeakyReLU(0.1)(x))
    return layers.Conv1D(1, 7, padding="same", activation="tanh")(layers.LeakyReLU(0.1)(x))


@cache
def _filterbank(sample_rate: int) -> npt.NDArray[np.float32]:
    return np.asarray(librosa.filters.mel(sr=sample_rate, n_fft=_FFT, n_mels=BANDS), np.float32)


@cache
def _load(path: Path) -> keras.Model:
    return keras.saving.load_model(path, compile=False)
