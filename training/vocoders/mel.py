"""What every neural vocoder hears: natural logarithms of the magnitudes in 80 mel bands, 62.5 frames a second."""

from functools import cache
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
from keras import ops

from training.vocoders import frames

Waveform = npt.NDArray[np.float32]

HOP = 256
BANDS = 80
FFT = 1024
EDGE = (FFT - HOP) // 2  # samples that the first frame begins before the waveform, and the last ends after it
_FLOOR = 1e-5  # of a mel band, as HiFi-GAN has it
_LEAST_POWER = 1e-12  # of a bin, so that the root has a slope


def log_mel(waveforms: Waveform, *, sample_rate: int) -> npt.NDArray[np.float32]:
    """Natural logarithms of mel magnitudes: float32 (..., n), n a multiple of the hop, -> (..., n / hop, bands)."""
    padded = np.pad(waveforms, [(0, 0)] * (waveforms.ndim - 1) + [(EDGE, EDGE)], mode="reflect")
    magnitude = np.abs(librosa.stft(padded, n_fft=FFT, hop_length=HOP, center=False))
    mel = filterbank(sample_rate) @ magnitude
    return np.asarray(np.swapaxes(np.log(np.maximum(mel, _FLOOR)), -1, -2), np.float32)


def log_mel_of_tensor(samples: Any, *, sample_rate: int) -> Any:
    """The same of a tensor, with a gradient: float32 (batch, n) -> (batch, n / hop, bands)."""
    padded = ops.pad(samples, [[0, 0], [EDGE, EDGE]], mode="reflect")
    magnitude = frames.magnitudes(padded, size=FFT, hop=HOP, floor=_LEAST_POWER)
    return ops.log(ops.maximum(ops.matmul(magnitude, filterbank(sample_rate).T), _FLOOR))


@cache
def filterbank(sample_rate: int) -> npt.NDArray[np.float32]:
    """The weight of each bin in each band, float32 (bands, bins)."""
    return np.asarray(librosa.filters.mel(sr=sample_rate, n_fft=FFT, n_mels=BANDS), np.float32)
