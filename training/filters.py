"""The constants of the front ends: filterbanks and the cosine transform, as matrices."""

import librosa
import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from training.config import FrontEndConfig

Matrix = npt.NDArray[np.float32]


def filterbank(config: FrontEndConfig, *, sample_rate: int) -> Matrix:
    """Triangular filters as a matrix, float32 (fft_samples // 2 + 1, bands), each of unit area in Hz.

    Of ``log_mel`` on Slaney's scale and with his normalisation, librosa's default; of all others spaced evenly, which
    keeps the upper half of the spectrum as fine as the lower (Müller et al. 2022, arXiv:2203.16263).

    Raises
    ------
    ValueError
        A band that is narrower than the bins, so that it holds none.
    """
    if config.kind == "log_mel":
        weights = librosa.filters.mel(
            sr=sample_rate,
            n_fft=config.fft_samples,
            n_mels=config.bands,
            fmin=config.min_hz,
            fmax=config.max_hz,
        )
    else:
        edges = np.linspace(config.min_hz, config.max_hz, config.bands + 2)
        bins = np.fft.rfftfreq(config.fft_samples, 1 / sample_rate)
        rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
        falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
        weights = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])[:, None]
    empty = np.flatnonzero(weights.sum(axis=1) == 0)
    if empty.size:
        raise ValueError(
            f"Each band covers at least one of {config.fft_samples // 2 + 1} bins. "
            f"Received: {config.bands} bands, of which {empty.size} are empty; use fewer, or a longer FFT."
        )
    return np.ascontiguousarray(weights.T, dtype=np.float32)


def cosine_transform(bands: int, *, coefficients: int) -> Matrix:
    """The first coefficients of an orthonormal DCT-II as a matrix, float32 (bands, coefficients)."""
    return np.ascontiguousarray(dct(np.eye(bands), type=2, norm="ortho", axis=1)[:, :coefficients], dtype=np.float32)


def local_mean(bands: int, *, around: int) -> Matrix:
    """The mean of the `around` bands nearest to each as a matrix, float32 (bands, bands); of fewer at the edges."""
    apart = np.abs(np.subtract.outer(np.arange(bands), np.arange(bands)))
    near = (apart <= around // 2).astype(np.float32)
    return np.ascontiguousarray(near / near.sum(axis=0), dtype=np.float32)
