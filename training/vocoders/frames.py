"""Frames of waveforms as tensors, on every backend of Keras: cut, transformed, added up again."""

from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops


def cut(samples: Any, *, size: int, hop: int) -> Any:
    """Overlapping frames, their size a multiple of the hop: float32 (batch, n) -> (batch, count, size)."""
    pieces = samples.shape[1] // hop
    short = ops.reshape(samples[:, : pieces * hop], (-1, pieces, hop))
    overlap = size // hop
    count = pieces - overlap + 1
    return ops.concatenate([short[:, first : first + count] for first in range(overlap)], axis=-1)


def overlap_add(frames: Any, *, hop: int) -> Any:
    """The sum of overlapping frames: float32 (batch, count, size) -> (batch, (count - 1) * hop + size)."""
    count, size = frames.shape[1:]
    overlap = size // hop
    short = ops.reshape(frames, (-1, count, overlap, hop))
    shifted = (ops.pad(short[:, :, n], [[0, 0], [n, overlap - 1 - n], [0, 0]]) for n in range(overlap))
    return ops.reshape(sum(shifted), (-1, (count + overlap - 1) * hop))


def magnitudes(samples: Any, *, size: int, hop: int, floor: float) -> Any:
    """Of Hann windows' Fourier transforms, with `floor` under the root: (batch, n) -> (batch, count, size / 2 + 1)."""
    real, imaginary = ops.rfft(cut(samples, size=size, hop=hop) * hann(size))
    return ops.sqrt(ops.square(real) + ops.square(imaginary) + floor)


def hann(size: int) -> npt.NDArray[np.float32]:
    """The periodic Hann window."""
    return np.asarray(np.hanning(size + 1)[:-1], np.float32)
