"""A Keras model -> the same function as an ONNX graph, for serving without TensorFlow.

tf2onnx has every operation that a family is made of, but not a complex spectrum. So the short-time transform is first
replaced by a layer that gives the same numbers from two products of matrices: ONNX Runtime's own STFT takes three
times as long. And a mean over several axes is taken along one at a time: ONNX Runtime adds up what it averages one by
one in float32, and where many are alike, as at the floor of a logarithm, rounds each the same way.
"""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops

Matrix = npt.NDArray[np.float32]

_OPSET = 18


def export(model: Path, path: Path) -> Path:
    """Write the model of a ``.keras`` file, waveform (batch, window_samples) -> logit (batch,), as ONNX.

    Nothing is believed of it yet: whoever publishes it compares the two.

    Returns
    -------
    `path`
    """
    import tf2onnx  # noqa: PLC0415 (imports onnx, which no other command needs)

    real = convertible(keras.saving.load_model(model, compile=False, safe_mode=True))
    signature = [tf.TensorSpec((None, *real.input_shape[1:]), tf.float32, name="windows")]
    function = tf.function(lambda windows: real(windows, training=False), input_signature=signature, autograph=False)
    graph, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    path.write_bytes(graph.SerializeToString())
    return path


def convertible(model: keras.Model) -> keras.Model:
    """A functional model, with the layers of the one given, that ONNX Runtime computes, and as exactly.

    Raises
    ------
    ValueError
        The model has a short-time transform that `Spectrum` does not do.
    """

    def called(operation: Any, *arguments: Any, **keywords: Any) -> Any:
        replace = _REPLACEMENTS.get(type(operation).__name__)  # Keras has no public name for these
        return replace(operation, *arguments) if replace else operation(*arguments, **keywords)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=called)


def _spectrum(operation: Any, waveform: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    if operation.window != "hann" or operation.center:
        raise ValueError(
            "What converts is an STFT under a Hann window, center=False. "
            f"Received: window={operation.window!r}, center={operation.center}."
        )
    spectrum = Spectrum(
        frame_samples=operation.sequence_length,
        step_samples=operation.sequence_stride,
        fft_samples=operation.fft_length,
        name=f"real_{operation.name}",
    )
    real, imaginary = spectrum(waveform)
    return real, imaginary


def _mean(operation: Any, x: keras.KerasTensor) -> keras.KerasTensor:
    axes = range(len(x.shape)) if operation.axis is None else operation.axis
    for axis in sorted({axis % len(x.shape) for axis in np.atleast_1d(axes).tolist()}, reverse=True):
        x = ops.mean(x, axis=axis, keepdims=operation.keepdims)
    return x


class Spectrum(keras.layers.Layer):  # type: ignore[misc]
    """What `keras.ops.stft` gives under a Hann window, ``center=False``. No artifact has this layer.

    The window is symmetric about its middle, and 0 where it begins. Around there, cosines see only the even part of a
    frame and sines only the odd one, and each is half as long: half the products of a plain matrix.

    Input: (batch, samples). Output: real and imaginary part, (batch, frames, fft_samples // 2 + 1) each.

    Parameters
    ----------
    frame_samples, fft_samples : even
    """

    def __init__(self, *, frame_samples: int, step_samples: int, fft_samples: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        if frame_samples % 2 or fft_samples % 2:
            raise ValueError(f"Frames and transforms are of even length. Received: {frame_samples} and {fft_samples}.")
        self._frame, self._step, self._fft = frame_samples, step_samples, fft_samples

    def call(self, waveform: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        before = (self._fft - self._frame) // 2  # the frame's place among zeros
        count = 1 + (waveform.shape[-1] - self._fft) // self._step
        # Frames are put together from blocks, each a stretch of memory: to gather samples takes twice as long.
        block = math.gcd(self._frame, self._step)
        apart, length = self._step // block, self._frame // block
        blocks = (count - 1) * apart + length
        stretch = ops.reshape(waveform[:, before : before + blocks * block], (-1, blocks, block))
        places = [slice(first, first + (count - 1) * apart + 1, apart) for first in range(length)]
        frames = ops.concatenate([stretch[:, place] for place in places], axis=-1)
        half = self._frame // 2
        later, earlier = frames[:, :, half:], frames[:, :, half:0:-1]
        cosines, sines = _kernels(half, self._fft)
        return ops.matmul(later + earlier, cosines), ops.matmul(later - earlier, sines)


def _kernels(half: int, fft_samples: int) -> tuple[Matrix, Matrix]:
    """Even and odd part of a frame -> its real and imaginary part, float32 (half, fft_samples // 2 + 1) each."""
    offset = np.arange(half)[:, None]  # samples from the middle
    window = 0.5 + 0.5 * np.cos(np.pi * offset / half)
    window[0] /= 2  # the sum of both has the middle twice
    bins = np.arange(fft_samples // 2 + 1)
    window = window * np.where(bins % 2, -1, 1)  # the middle of a frame is that of the transform
    radians = 2 * np.pi * offset * bins / fft_samples
    return (window * np.cos(radians)).astype(np.float32), (-window * np.sin(radians)).astype(np.float32)


_REPLACEMENTS = {"STFT": _spectrum, "Mean": _mean}
