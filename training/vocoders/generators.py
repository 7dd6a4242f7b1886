"""The generators of neural vocoders: a log mel spectrogram -> the waveform, by two kinds in two sizes.

``istft`` and ``vocos`` predict magnitudes and phases of short frames (H. Siuzdak, "Vocos", 2023, arXiv:2306.00814),
``upsampling`` and ``hifigan`` stretch frames to samples (J. Kong et al., "HiFi-GAN", 2020, arXiv:2010.05646). The first
of each pair is a hundredth of the published size and learns for minutes on a CPU; the second is of the order of the
published ones, and takes a GPU.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from training.vocoders import frames
from training.vocoders.mel import BANDS, EDGE, FFT, HOP
from training.vocoders.methods import Generator

_CHANNELS: dict[Generator, int] = {"istft": 128, "upsampling": 128, "vocos": 384, "hifigan": 256}
_STRIDES = (8, 8, 4)  # their product is the hop
_DILATIONS = (1, 2, 4)
_MOST_LOG_MAGNITUDE = 6.0


def build(generator: Generator, *, channels: int | None = None) -> keras.Model:
    """A generator, log mel (batch, frames, bands) -> what `waveforms` makes samples of."""
    width = channels or _CHANNELS[generator]
    mel = keras.Input((None, BANDS))
    x = layers.Conv1D(width, 7, padding="same")(mel)
    match generator:
        case "istft":
            made = _spectrum(x, width, blocks=4)
        case "vocos":
            made = _spectrum(layers.LayerNormalization()(x), width, blocks=8)
        case "upsampling":
            made = _samples(x, width)
        case "hifigan":
            made = _fused_samples(x, width)
    return keras.Model(mel, made, name=generator)


def waveforms(generator: Callable[[Any], Any], mel: Any) -> Any:
    """Run a generator: log mel (batch, frames, bands) -> samples (batch, frames * hop), both tensors of float32."""
    made = generator(mel)
    if made.shape[-1] == 1:
        return ops.reshape(made, (-1, mel.shape[1] * HOP))
    log_magnitude, phase = ops.split(made, 2, axis=-1)
    magnitude = ops.exp(ops.minimum(log_magnitude, _MOST_LOG_MAGNITUDE))
    short = ops.irfft((magnitude * ops.cos(phase), magnitude * ops.sin(phase)), fft_length=FFT)
    window = frames.hann(FFT)
    overlapped = (window**2).reshape(-1, HOP).sum(axis=0)[0]  # the squared windows add up to this everywhere
    return frames.overlap_add(short * (window / overlapped), hop=HOP)[:, EDGE:-EDGE]


def _spectrum(x: keras.KerasTensor, channels: int, *, blocks: int) -> keras.KerasTensor:
    """ConvNeXt blocks at the frames' rate, then a logarithmic magnitude and a phase for each bin."""
    for _ in range(blocks):
        y = layers.DepthwiseConv1D(7, padding="same")(x)
        y = layers.LayerNormalization()(y)
        y = layers.Dense(3 * channels, activation="gelu")(y)
        x = x + layers.Dense(channels)(y)
    return layers.Dense(FFT + 2)(layers.LayerNormalization()(x))


def _samples(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    """Transposed convolutions, each with two residual convolutions: half the channels for every stride."""
    for number, stride in enumerate(_STRIDES, start=1):
        width = channels // 2**number
        x = layers.Conv1DTranspose(width, 2 * stride, strides=stride, padding="same")(layers.LeakyReLU(0.1)(x))
        for kernel in (3, 7):
            x = x + layers.Conv1D(width, kernel, padding="same")(layers.LeakyReLU(0.1)(x))
    return layers.Conv1D(1, 7, padding="same", activation="tanh")(layers.LeakyReLU(0.1)(x))


def _fused_samples(x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    """The same with HiFi-GAN's fusion of residual blocks of three receptive fields after every stride.

    A transposed convolution whose kernel is three strides long is written as a convolution that makes all samples of a
    stride at once: its gradient is a plain convolution too, which is what a GPU is fast at.
    """
    for number, stride in enumerate(_STRIDES, start=1):
        width = channels // 2**number
        x = layers.Conv1D(stride * width, 3, padding="same")(layers.LeakyReLU(0.1)(x))
        x = layers.Reshape((-1, width))(x)
        x = layers.Average()([_residual(x, width, kernel) for kernel in (3, 7, 11)])
    return layers.Conv1D(1, 7, padding="same", activation="tanh")(layers.LeakyReLU(0.1)(x))


def _residual(x: keras.KerasTensor, width: int, kernel: int) -> keras.KerasTensor:
    """Three pairs of a dilated convolution and a plain one.

    A dilated convolution is one along the columns of samples folded into rows of so many: no gradient of a dilated one
    (slow in XLA) is needed. Dilations divide every stride's number of samples, where HiFi-GAN has 1, 3 and 5.
    """
    for dilation in _DILATIONS:
        y = layers.Reshape((-1, dilation, width))(layers.LeakyReLU(0.1)(x))
        y = layers.Conv2D(width, (kernel, 1), padding="same")(y)
        y = layers.Reshape((-1, width))(layers.LeakyReLU(0.1)(y))
        x = x + layers.Conv1D(width, kernel, padding="same")(y)
    return x
